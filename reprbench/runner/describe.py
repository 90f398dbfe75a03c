"""Describes the classes of methods and protocols: the process in which they are imported, see `descriptions`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from reprbench.errors import UserError
from reprbench.extras import lacking
from reprbench.file_parameter import is_file, parameters_as_given, parameters_by_content
from reprbench.learner import Kind
from reprbench.parameters import changed_parameters, default_of
from reprbench.registry import Entry
from reprbench.signatures import class_problem
from reprbench.source import code_identity, packages
from reprbench.spec import Call, mistakes, show_value
from reprbench.texts import described, traceback_of
from reprbench.trial import Code

if TYPE_CHECKING:
    from reprbench.learner import Learner


class Question(msgspec.Struct, frozen=True):
    """A method or protocol, and the parameters it would be called with.

    Attributes
    ----------
    entry : where it comes from.
    parameters : of the call.
    offered : further parameters, used if the class has them.
    shape : (channels, height, width) of the images a method would be given; None to not check that.
    counts : the number of images of each split that it would be evaluated on.
    """

    entry: Entry
    parameters: Mapping[str, Any] = {}
    offered: Mapping[str, Any] = {}
    shape: tuple[int, int, int] | None = None
    counts: Mapping[str, int] = {}


class Description(msgspec.Struct, kw_only=True):
    """The description of a class; only `problem` and `traceback` if it cannot be used.

    Attributes
    ----------
    problem, traceback : why it cannot be imported or is not what it is registered as.
    mistakes : what is wrong with the parameters, one line each.
    applied : which of the offered parameters it has.
    parameters : all of them, with their defaults; files as they were named.
    identifying : the same, with files by content.
    changed : those that are not the defaults.
    defaults : of the parameters that need not be given.
    types : of the parameters, in the notation of values.
    summary : the first line of the docstring.
    code : identifies the state of its code.
    packages : the distributions that its code imports from.
    kind : of a method.
    capabilities : those that a method has, or a protocol needs.
    headlines, selects : the metrics that a protocol shows, and those that it measures without the test split.
    other_datasets : those that a protocol evaluates on besides the learner's own.
    """

    problem: str = ""
    traceback: str = ""
    mistakes: list[str] = []
    applied: list[str] = []
    parameters: dict[str, Any] = {}
    identifying: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    types: dict[str, str] = {}
    summary: str = ""
    code: Code = Code()
    packages: list[str] = []
    kind: Kind = "unsupervised"
    capabilities: list[str] = []
    headlines: list[str] = []
    selects: list[str] = []
    other_datasets: list[Call] = []


class Answer(msgspec.Struct):
    """The answer to the question with this number."""

    number: int
    description: Description


def answer(question: Question) -> Description:
    """Import the class of one question here and describe it; whatever a plugin raises is shown in its row."""
    try:
        return _describe(question.entry.load(), question)
    except BaseException as error:
        return Description(problem=described(error), traceback=traceback_of(error))


def _describe(cls: Any, question: Question) -> Description:
    from reprbench.protocols.base import Protocol

    found = _protocol(cls, question.entry) if question.entry.kind == "protocol" else _method(cls)
    if found.problem:
        return found
    model = _model(cls, question.entry)
    found.types = {name: type_text(info) for name, info in model.model_fields.items()}
    found.defaults = _defaults(model)
    found.summary = next(iter((cls.__doc__ or "").strip().splitlines()), "")
    found.code, found.packages = _code_and_packages(cls, question.entry)
    if question.entry.kind == "method" and (missing := lacking(cls.extra)):
        found.mistakes = [f"method {question.entry.name} {missing}"]
        return found
    applied = {name: value for name, value in question.offered.items() if name in model.model_fields}
    found.applied = list(applied)
    given = {**question.parameters, **applied}
    try:
        validated = model.model_validate(given)
        _fill(found, validated, given)
        if isinstance(validated, Protocol):
            found.selects, found.other_datasets = list(validated.selects), list(validated.other_datasets)
    except ValidationError as error:
        what = f"{question.entry.kind} {question.entry.name}"
        found.mistakes = mistakes(error, what, model.model_fields, found.types)
    else:
        found.mistakes = _refusals(cls, given, question)
    return found


@cache
def _code_and_packages(cls: type, entry: Entry) -> tuple[Code, list[str]]:
    """Read the files of a class once, however many questions concern it: this process is a short one."""
    return code_of(cls, entry), packages([entry.file()], entry.root())


def code_of(cls: type, entry: Entry) -> Code:
    """Return what identifies the code of a class as it is now in its files."""
    return msgspec.convert(code_identity(cls, entry.file(), entry.root()), Code)


def _method(cls: type[Learner]) -> Description:
    from reprbench.capabilities import Classifies, Decodes, Precomputed, Reconstructs, Resumes

    capabilities = tuple(c for c in (Reconstructs, Decodes, Classifies, Resumes, Precomputed) if issubclass(cls, c))
    if problem := class_problem(cls, capabilities):
        return Description(problem=problem)
    return Description(kind=cls.kind, capabilities=[one.__name__ for one in capabilities])


def _protocol(cls: Any, entry: Entry) -> Description:
    from reprbench.protocols.base import Protocol

    if not (isinstance(cls, type) and issubclass(cls, Protocol)):
        return Description(problem=f"{entry.name!r} is not a class derived from reprbench.Protocol")
    if cls.name != entry.name:
        return Description(problem=f'the class is not called {entry.name!r}; use @register_protocol("{entry.name}")')
    if problem := class_problem(cls):
        return Description(problem=problem)
    if not isinstance(getattr(cls, "headlines", None), tuple | list):
        return Description(problem=f"{cls.__name__}.headlines: expected a tuple of the metrics that tables show")
    return Description(capabilities=[need.__name__ for need in cls.needs], headlines=list(map(str, cls.headlines)))


@cache
def _model(cls: Any, entry: Entry) -> type[BaseModel]:
    """Return the model of the parameters; made once, however many questions concern the class."""
    if entry.kind == "protocol":
        return cast(type[BaseModel], cls)
    from reprbench.learner import parameters_model

    return parameters_model(cls)


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults as written in the class, as JSON."""
    values = {name: default_of(field) for name, field in model.model_fields.items() if not field.is_required()}
    return cast(dict[str, Any], to_jsonable_python(values, fallback=str))


def _fill(found: Description, validated: BaseModel, given: Mapping[str, Any]) -> None:
    """Add the parameters in their three forms."""
    found.parameters = parameters_as_given(validated, given)
    found.identifying = parameters_by_content(validated)
    changed = [*changed_parameters(validated, given), *(validated.model_extra or {})]
    found.changed = {name: found.parameters[name] for name in changed}


def _refusals(cls: type[Learner], parameters: Mapping[str, Any], question: Question) -> list[str]:
    """Return why the method cannot learn from images of the given shape, from its `build`: at most one line."""
    import torch

    from reprbench.capabilities import miscounted
    from reprbench.learner import Learner, make

    if question.shape is None or question.entry.kind != "method":
        return []
    if cls.build is Learner.build and cls.__init__ is Learner.__init__:  # it looks at no image there
        return []
    try:
        with torch.device("meta"):  # without computation or memory
            learner = make(cls, parameters, question.shape)
            if wrong := miscounted(learner, question.counts):
                raise UserError(wrong)
    except UserError as error:
        return [f"method {question.entry.name}: {error}"]
    except Exception:
        return []  # other errors, which may be those of this device, are left to the trial
    return []


def type_text(info: Any) -> str:
    """Return a parameter's type and bounds in the notation of values: ``int > 0``, ``[float ≥ 0, ≤ 1, …]``."""
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
        known = {str: "text", Call: "call", type(None): "null", Path: "file" if any(map(is_file, metadata)) else "path"}
        name = known[annotation] if annotation in known else getattr(annotation, "__name__", str(annotation))
    # A type may contain a field, with bounds of its own. Validators have none, and are not shown.
    marks = [mark for one in metadata for mark in getattr(one, "metadata", [one])]
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"), ("min_length", "length ≥"))
    bounds = [f"{sign} {getattr(mark, at)}" for mark in marks for at, sign in signs if hasattr(mark, at)]
    return f"{name} {', '.join(bounds)}".rstrip()


def main() -> None:
    """Answer the questions in the file named first; write one line of JSON each to the descriptor named second."""
    questions = msgspec.convert(json.loads(Path(sys.argv[1]).read_bytes()), list[Question])
    with os.fdopen(int(sys.argv[2]), "wb") as output:
        for number, question in enumerate(questions):
            output.write(_line(number, answer(question)))
            output.flush()
    # Threads and exit handlers of a plugin cannot keep it waiting.
    os._exit(0)


def _line(number: int, found: Description) -> bytes:
    try:
        return msgspec.json.encode(Answer(number, found)) + b"\n"
    except Exception as error:  # what a plugin gave cannot be written
        return msgspec.json.encode(Answer(number, Description(problem=described(error)))) + b"\n"


if __name__ == "__main__":
    main()
