"""Typed, validated user input: calls like ``dae[noise=0.3]`` and budgets, and the messages about mistakes in them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reprbench.choices import one_of_each
from reprbench.errors import UserError, did_you_mean
from reprbench.grammar import (
    DEEPEST,
    LARGEST_INTEGER,
    LONGEST_PARAMETERS,
    brief,
    is_parameter_name,
    is_unicode,
    read_call,
    read_calls,
    show_parameters,
)
from reprbench.grammar import show_value as show_value

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?<!\.)")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What no file can be called on Windows, whatever its suffix."""
_LONGEST_LINE = 1000


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{brief(name)} is not a valid name; use letters A-Z, digits, '.', '_' and '-' (at most 64), "
            "with a letter or digit first and no '.' last"
        )
    if _DEVICE.fullmatch(name):
        raise ValueError(f"{brief(name)} is not a valid name: Windows has a device of that name; use another")
    return name


Name = Annotated[str, AfterValidator(_checked_name)]
"""A text that can be a folder's name on every system, see `check_name`."""


def check_line(text: str) -> str:
    """Return `text` without outer spaces if it can be shown on one line; raise a `ValueError` otherwise."""
    text = text.strip()
    if not 1 <= len(text) <= _LONGEST_LINE:
        raise ValueError(f"expected 1 to {_LONGEST_LINE} characters, not {len(text)}")
    wrong = next((character for character in text if unicodedata.category(character) in _NOT_IN_LINES), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is a control character; expected one line of text")
    return text


_NOT_IN_LINES = ("Cc", "Cs", "Zl", "Zp")
"""The Unicode categories of control characters, halves of characters, and separators of lines and paragraphs."""

Line = Annotated[str, AfterValidator(check_line)]
"""A text that is shown on one line, such as a label: not empty, bounded, without control characters."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be a folder's name; raise a `UserError` that begins with `what` otherwise."""
    try:
        return _checked_name(name)
    except ValueError as error:
        raise UserError(f"{what}: {error}") from None


def _checked_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Reject what a trial cannot keep as JSON, or `parse_call` would not parse to the same value."""
    for name, value in parameters.items():
        if not is_parameter_name(name):
            raise ValueError(f"{brief(name)} cannot be a parameter")
        problem = _problem(value)
        if problem:
            raise ValueError(f"{name}: {problem}")
    length = len(show_parameters(parameters))
    if length > LONGEST_PARAMETERS:
        raise ValueError(f"{length} characters; expected at most {LONGEST_PARAMETERS}")
    return parameters


def _problem(value: Any, depth: int = 1) -> str:
    """Return what is wrong with a parameter's value; empty if nothing is."""
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        too_deep = f"more than {DEEPEST} nested lists"
        return too_deep if depth > DEEPEST else next(filter(None, (_problem(item, depth + 1) for item in items)), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, not {value}"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return f"{brief(value)} is larger than 2^63 - 1; write it like 1e20"
    if isinstance(value, str) and not is_unicode(value):
        return f"{brief(value)} is not Unicode"
    known = value is None or isinstance(value, bool | int | float | str)
    return "" if known else f"expected a number, true, false, null, a text or a list of these, not {brief(value)}"


@dataclass(frozen=True)
class Call:
    """A name and parameters, as in ``kmeans[n_centroids=1600]``.

    It is a dataclass, so that pydantic can read it from user input (a mapping, or as a `CallField` also a text), and
    msgspec from stored trials.

    Attributes
    ----------
    name : of a method, protocol or dataset.
    parameters : by name: finite numbers, booleans, None, texts, lists of these, and mappings of them. `parse_call`
        reads what `str` returns, except for mappings, which can only be written in YAML.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Name
    parameters: Annotated[dict[str, Any], AfterValidator(_checked_parameters)] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.parameters)))

    def __str__(self) -> str:
        inner = show_parameters(self.parameters)
        return f"{self.name}[{inner}]" if inner else self.name

    def with_parameters(self, /, **parameters: Any) -> Call:
        """Return the call with `parameters` added or replaced."""
        return Call(name=self.name, parameters={**self.parameters, **parameters})


def parse_call(text: str) -> Call:
    """Parse ``name`` or ``name[param=value,other=value]``; see `reprbench.grammar` for the values.

    Raises
    ------
    UserError
        In one line, if `text` cannot be parsed or its name is not valid.

    Examples
    --------
    >>> parse_call('npz[path="a,b",image_size=8]').parameters
    {'path': 'a,b', 'image_size': 8}
    """
    return named_call(*read_call(text), text)


def parse_calls(text: str) -> list[Call]:
    """Parse calls separated by commas; commas inside brackets and quotes do not separate."""
    return [named_call(name, parameters, text) for name, parameters in read_calls(text)]


def named_call(name: str, parameters: dict[str, Any], text: str) -> Call:
    """Return the call; raise a `UserError` that begins with `text`, where it was read, if the name is not valid."""
    return Call(name=check_name(name, brief(text)), parameters=parameters)


def _as_call(value: Any) -> Any:
    if isinstance(value, Call | dict):
        return value
    if not isinstance(value, str):
        raise ValueError("expected name, name[param=value] or a mapping with name and parameters")
    try:
        return parse_call(value)
    except UserError as error:
        raise ValueError(str(error)) from None


CallField = Annotated[Call, BeforeValidator(_as_call)]

Count = Annotated[int, Field(strict=True, gt=0, le=LARGEST_INTEGER)]
"""A whole number from 1; true, 1.0 and "1" are not accepted."""


class Budget(BaseModel):
    """How long a fit may take; the first limit that is reached ends it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Count | None = None
    """Passes over the images."""
    images: Count | None = None
    """Images seen, including repetitions."""
    seconds: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    """Seconds of fitting; a fit that is limited by time is not reproducible bit for bit."""

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.epochs is None and self.images is None and self.seconds is None:
            raise ValueError("a budget needs epochs, images or seconds")
        return self

    def steps(self, count: int, batch_size: int) -> float:
        """Return the optimizer steps this budget allows on `count` images; infinite when only time limits it."""
        an_epoch = max(1, count // batch_size)
        by_epochs = math.inf if self.epochs is None else self.epochs * an_epoch
        by_images = math.inf if self.images is None else math.ceil(self.images / min(batch_size, count))
        return min(by_epochs, by_images)

    def __str__(self) -> str:
        # Counts in full, so that two budgets do not look alike.
        seconds = None if self.seconds is None else f"{self.seconds:g}"
        limits = [(self.epochs, "epoch"), (self.images, "image"), (seconds, "second")]
        return ", ".join(f"{value} {name}{'' if str(value) == '1' else 's'}" for value, name in limits if value)


def mistakes(
    error: ValidationError, what: str, known: Collection[str] = (), types: Mapping[str, str] | None = None
) -> list[str]:
    """Return one line for each mistake that pydantic found in `what`; unknown names get the nearest known one.

    Parameters
    ----------
    known : the names that `what` may have; as the ``model_fields`` of a pydantic model, they also determine the names
        inside of them.
    types : of those, by name, as they are shown for one that is missing.
    """
    found = error.errors(include_url=False)
    # A list whose items are wrong is not reported as too short, too.
    inner = {mistake["loc"][:depth] for mistake in found for depth in range(len(mistake["loc"]))}
    alone = one_of_each([mistake for mistake in found if mistake["loc"] not in inner])
    return [f"{what}: {_mistake(mistake, known, types or {})}" for mistake in alone]


def _mistake(mistake: ErrorDetails, known: Collection[str], types: Mapping[str, str]) -> str:
    place = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        names = _names_beside(mistake["loc"], known)
        near = did_you_mean(str(mistake["loc"][-1])[:80], names)
        return f"unknown {brief(place)}.{near}" + ("" if near else f" Known: {', '.join(names) or 'none'}")
    message, kind, given = mistake["msg"].removeprefix("Value error, "), mistake["type"], mistake["input"]
    if kind == "missing" and not mistake.get("ctx"):  # a method may say itself what is missing
        message = "must be given" + (f" ({types[place]})" if place in types else "")
    message = message.replace("a valid tuple", "a list").removesuffix(" for <class 'pathlib.Path'>")
    # A list or mapping is not shown itself, as what is wrong is inside it, unless it should not be one.
    is_inside = isinstance(given, list | tuple | dict) and not kind.endswith("_type")
    if kind != "missing" and not is_inside and brief(given) not in message:
        message += f", not {brief(given)}"
    if kind == "string_type" and isinstance(given, int | float):
        message += "; put quotes around it"
    return f"{place if place.isprintable() else brief(place)}: {message}" if place else message


def _names_beside(place: Sequence[int | str], known: Collection[str]) -> Collection[str]:
    """Return the names that the last part of `place` could have been."""
    for part in place[:-1]:
        if isinstance(part, str):
            known = _inner_names(known[part].annotation) if isinstance(known, Mapping) and part in known else ()
    return known


def _inner_names(annotation: Any) -> Collection[str]:
    """Return the fields of the first model inside an annotation such as ``tuple[Row, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    if is_dataclass(annotation):
        return [one.name for one in fields(annotation)]
    return next(filter(None, map(_inner_names, get_args(annotation))), ())
