"""Asks method classes about themselves in another process, so that a plugin's import can harm nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from reprbench.errors import UserError
from reprbench.registry import Entry
from reprbench.spec import mistakes

if TYPE_CHECKING:
    from reprbench.learner import Learner


@dataclass(frozen=True)
class Question:
    """A method and the parameters it would be called with."""

    entry: Entry
    parameters: Mapping[str, Any] = field(default_factory=dict)
    offered: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters, used if the method has them."""
    shape: tuple[int, int, int] | None = None
    """(channels, height, width) of the images it would be given, if that is asked too."""


@dataclass(frozen=True)
class Description:
    """What a method class says of itself; `problem` alone if it could not be imported."""

    problem: str = ""
    traceback: str = ""
    mistakes: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    """Which of the offered parameters the method has."""
    parameters: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    supervised: bool = False
    control: bool = False
    capabilities: list[str] = field(default_factory=list)


def describe(questions: Sequence[Question]) -> list[Description]:
    """Answer all questions; one process answers as many as it survives."""
    answers: list[Description] = []
    while len(answers) < len(questions):
        answers += _ask(questions[len(answers) :])
    return answers


def _ask(questions: Sequence[Question]) -> list[Description]:
    with tempfile.TemporaryDirectory(prefix="reprbench-") as folder:
        output = Path(folder, "answers")
        output.touch()
        asked = json.dumps([asdict(question) for question in questions])
        command = [sys.executable, "-m", "reprbench.runner.describe", str(output)]
        done = subprocess.run(command, input=asked, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        answers = [Description(**json.loads(line)) for line in output.read_text(encoding="utf-8").splitlines()]
        if len(answers) < len(questions):
            reason = f"importing it ended the process with status {done.returncode}"
            answers.append(Description(problem=reason, traceback=done.stderr[-4000:]))
        return answers


def answer(question: Question) -> Description:
    """Import the method of one question here and describe it."""
    try:
        cls = question.entry.load()
    except Exception as error:  # whatever a plugin raises is its own problem, told in its row
        return Description(
            problem=f"{type(error).__name__}: {' '.join(str(error).split())}", traceback=traceback.format_exc()
        )
    from reprbench import learner

    model = learner.parameters_model(cls)
    capabilities = [c for c in (learner.Reconstructs, learner.Decodes, learner.Resumes) if issubclass(cls, c)]
    applied = {name: value for name, value in question.offered.items() if name in model.model_fields}
    wrong: list[str] = []
    parameters: dict[str, Any] = {}
    try:
        parameters = model.model_validate({**question.parameters, **applied}).model_dump(mode="json")
    except ValidationError as error:
        wrong = mistakes(error, f"method {question.entry.name}", model.model_fields)
    else:
        wrong = _refusals(cls, parameters, question)
    return Description(
        mistakes=wrong,
        applied=list(applied),
        parameters=parameters,
        types={name: type_text(info) for name, info in model.model_fields.items()},
        summary=next(iter((cls.__doc__ or "").strip().splitlines()), ""),
        supervised=cls.supervised,
        control=cls.control,
        capabilities=[c.__name__ for c in capabilities],
    )


def _refusals(cls: type[Learner], parameters: Mapping[str, Any], question: Question) -> list[str]:
    """Return why the method cannot learn from images of the asked shape, as its `build` says: at most one line."""
    import torch

    from reprbench.learner import make

    if question.shape is None:
        return []
    try:
        with torch.device("meta"):  # nothing is computed there, and no memory used
            make(cls, parameters, question.shape)
    except UserError as error:
        return [f"method {question.entry.name}: {error}"]
    except Exception:
        return []  # what else goes wrong, perhaps on this device alone, is told by the trial
    return []


def type_text(info: Any) -> str:
    """Return a parameter's type and bounds, for people."""
    name = str(getattr(info.annotation, "__name__", info.annotation)).replace("typing.", "")
    if "[" not in name and getattr(info.annotation, "__args__", None):
        name = str(info.annotation).replace("typing.", "")
    return ", ".join([name, *(str(bound) for bound in info.metadata)])


def main() -> None:
    """Read questions from standard input; append one JSON line an answer to the file named by the only argument."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as output:
        for item in json.load(sys.stdin):
            found = answer(Question(Entry(**item.pop("entry")), **item))
            output.write(json.dumps(asdict(found)) + "\n")
            output.flush()


if __name__ == "__main__":
    main()
