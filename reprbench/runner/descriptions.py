"""Asks another process to describe classes, so that no plugin is imported here; its time and memory are limited."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Sequence

import msgspec

from reprbench.files import write_text
from reprbench.runner.child import Child
from reprbench.runner.describe import Answer, Description, Question
from reprbench.runner.received import decode
from reprbench.runner.working_folder import WorkingFolder
from reprbench.texts import TRACEBACK, clean, one_line, reason

SECONDS_EACH = 60.0
"""How long importing and building one class may take while a run is planned."""

_LOOK_SECONDS = 0.02
_QUESTIONS = "questions.json"


def describe(
    questions: Sequence[Question], seconds: float = SECONDS_EACH, memory: int | None = None
) -> list[Description]:
    """Answer all questions; if one ends its process or takes too much, another process answers the rest.

    Parameters
    ----------
    questions : about any classes.
    seconds : that importing and building one of them may take.
    memory : bytes that it may take, without mapped files.
    """
    answers: list[Description] = []
    while len(answers) < len(questions):
        answers += _ask(questions[len(answers) :], seconds, memory)
    return answers


def _ask(questions: Sequence[Question], seconds: float, memory: int | None) -> list[Description]:
    """Return the answers of one process: to all questions, or up to the first to which there is none, and why."""
    with contextlib.closing(WorkingFolder()) as folder:
        write_text(folder.path / _QUESTIONS, json.dumps(msgspec.to_builtins(questions)))
        with contextlib.closing(Child("reprbench.runner.describe", str(folder.path / _QUESTIONS))) as child:
            return _collect(child, len(questions), seconds, memory)


def _collect(child: Child, count: int, seconds: float, memory: int | None) -> list[Description]:
    answers: list[Description] = []
    began = time.monotonic()
    while len(answers) < count:
        ended = child.poll()  # before its last lines are read
        lines = child.lines()
        for line in lines[: count - len(answers)]:
            try:
                answers.append(_received(line, len(answers)))
            except ValueError as error:
                return [*answers, Description(problem=f"its description cannot be read: {reason(error)}")]
        if lines:
            began = time.monotonic()
        elif problem := _problem(child, ended, seconds if time.monotonic() - began > seconds else 0, memory):
            child.end()
            return [*answers, Description(problem=problem, traceback=child.output())]
        else:
            time.sleep(_LOOK_SECONDS)
    return answers


def _problem(child: Child, ended: int | None, late: float, memory: int | None) -> str:
    """Return why there will be no further answer; an empty string as long as there may be one."""
    if ended is not None:
        how = f"with status {ended}" if ended >= 0 else f"by {signal.Signals(-ended).name}"
        return f"importing it ended the process {how}"
    if late:
        return f"importing and building it took longer than {late:g} s"
    if memory is not None and child.memory() > memory:
        return f"importing and building it used more memory than --memory allows ({memory / 2**20:.0f} MB)"
    return ""


def _received(line: bytes, number: int) -> Description:
    """Return the answer to the question with this number, with texts that can be shown."""
    answered = decode(line, Answer)
    if answered.number != number:
        raise ValueError("it is missing")
    found = answered.description
    found.problem, found.traceback = one_line(found.problem), clean(found.traceback, TRACEBACK)
    found.mistakes = [one_line(mistake) for mistake in found.mistakes]
    found.types = {name: one_line(text) for name, text in found.types.items()}
    found.summary = one_line(found.summary)
    return found
