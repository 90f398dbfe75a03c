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
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from reprbench.errors import UserError
from reprbench.registry import Entry
from reprbench.spec import mistakes, show_value

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
    from reprbench.capabilities import Decodes, Reconstructs, Resumes

    model = learner.parameters_model(cls)
    capabilities = [c for c in (Reconstructs, Decodes, Resumes) if issubclass(cls, c)]
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
        supervised=cls.kind == "supervised",
        control=cls.kind == "control",
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
    """Return a parameter's type and bounds as a user writes values: ``int > 0``, ``[float ≥ 0, ≤ 1, …]``."""
    return _type_text(info.annotation, info.metadata)


def _type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(inner[0], [*inner[1:], *metadata])
    if origin is Literal:
        name = " or ".join(map(show_value, inner))
    elif origin in (Union, UnionType):
        name = " or ".join(map(_type_text, inner))
    elif origin is tuple:
        name = f"[{', '.join('…' if one is Ellipsis else _type_text(one) for one in inner)}]"
    else:
        name = {str: "text", type(None): "null"}.get(annotation, getattr(annotation, "__name__", str(annotation)))
    # A field may stand inside a type, with bounds of its own. Validators have none, and are not for people.
    marks = [mark for one in metadata for mark in getattr(one, "metadata", [one])]
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"), ("min_length", "length ≥"))
    bounds = [f"{sign} {getattr(mark, at)}" for mark in marks for at, sign in signs if hasattr(mark, at)]
    return f"{name} {', '.join(bounds)}".rstrip()


def main() -> None:
    """Read questions from standard input; append one JSON line an answer to the file named by the only argument."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as output:
        for item in json.load(sys.stdin):
            found = answer(Question(Entry(**item.pop("entry")), **item))
            output.write(json.dumps(asdict(found)) + "\n")
            output.flush()


if __name__ == "__main__":
    main()
