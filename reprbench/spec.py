"""The typed, validated forms of what a user writes: calls like ``dae[noise=0.3]``, budgets, and how mistakes read."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from reprbench.errors import UserError, did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be a folder's name; raise a `UserError` that says what it was meant for otherwise."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{what}: {name!r} is no name; use letters, digits, '.', '_' and '-' (at most 64)")
    return name


class Call(BaseModel):
    """A name and parameters, as in ``kmeans[n_centroids=1600]``; written that way, or as a mapping, in files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        inner = ",".join(f"{key}={show_value(value)}" for key, value in self.parameters.items())
        return f"{self.name}[{inner}]" if inner else self.name

    def with_parameters(self, **parameters: Any) -> Call:
        """Return the call with `parameters` added or replaced."""
        return Call(name=self.name, parameters={**self.parameters, **parameters})


def show_value(value: Any) -> str:
    """Return a parameter's value as `parse_call` reads it back."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(show_value, value))}]"
    return str(value)


def parse_call(text: str) -> Call:
    """Parse ``name`` or ``name[param=value,other=value]``; values are YAML scalars or ``[lists]``."""
    match = re.fullmatch(r"\s*([^\[\]=,\s]+)\s*(?:\[(.*)\])?\s*", text, re.DOTALL)
    if match is None:
        raise UserError(f"cannot read {text!r}; expected name or name[param=value,other=value]")
    name, inner = match.groups()
    parameters: dict[str, Any] = {}
    for part in _split(inner or ""):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UserError(f"cannot read {part.strip()!r} in {text!r}; expected param=value")
        if key.strip() in parameters:
            raise UserError(f"{key.strip()!r} is given twice in {text!r}; give it once")
        parameters[key.strip()] = parse_value(value, text)
    return Call(name=check_name(name, repr(text)), parameters=parameters)


def parse_calls(text: str) -> list[Call]:
    """Parse calls separated by commas, those inside brackets not counted."""
    return [parse_call(part) for part in _split(text)]


def parse_value(text: str, context: str) -> Any:
    """Read one YAML value; numbers like 1e-3 become numbers, which YAML 1.1 alone does not do."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(
            f"cannot read the value {text.strip()!r} in {context!r}; quote it or write it plainly"
        ) from None
    return _with_numbers(value)


def _with_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value):
        return float(value)
    return value


def _split(text: str) -> Iterator[str]:
    """Yield the parts of `text` between commas that stand outside all brackets; empty parts are dropped."""
    depth, start = 0, 0
    for position, character in enumerate(text + ","):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            raise UserError(f"unbalanced brackets in {text!r}; expected name[param=value]")
        if character == "," and depth == 0:
            if text[start:position].strip():
                yield text[start:position]
            start = position + 1
    if depth:
        raise UserError(f"unbalanced brackets in {text!r}; expected name[param=value]")


def _as_call(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return parse_call(value)
        except UserError as error:
            raise ValueError(str(error)) from None
    return value


CallField = Annotated[Call, BeforeValidator(_as_call)]


class Budget(BaseModel):
    """How long a learner may learn; the first limit that is reached ends the fit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: PositiveInt | None = None
    images: PositiveInt | None = None
    """Images seen, counting repetitions."""
    seconds: PositiveFloat | None = None
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
        limits = [("epochs", self.epochs), ("images", self.images), ("seconds", self.seconds)]
        return ", ".join(f"{value:g} {name}" for name, value in limits if value is not None)


def mistakes(error: ValidationError, what: str, known: Collection[str] = ()) -> list[str]:
    """Return one line for each mistake that pydantic found in `what`; unknown names get the nearest known one."""
    lines = []
    found = error.errors(include_url=False)
    # A list whose items are wrong is not also too short.
    inner = {mistake["loc"][:depth] for mistake in found for depth in range(len(mistake["loc"]))}
    for mistake in found:
        if mistake["loc"] in inner:
            continue
        place = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            near = did_you_mean(str(mistake["loc"][-1]), known)
            lines.append(
                f"{what}: unknown {place!r}.{near}" + ("" if near else f" Known: {', '.join(known) or 'none'}")
            )
        else:
            given = "" if mistake["type"] == "missing" else f", not {mistake['input']!r}"
            message = mistake["msg"].removeprefix("Value error, ")
            given = "" if given.removeprefix(", not ") in message else given
            lines.append(f"{what}: {place + ': ' if place else ''}{message}{given}")
    return lines
