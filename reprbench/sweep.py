"""Sweeps: a method with several values for some of its parameters, and the settings that are tried of them."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reprbench.errors import UserError
from reprbench.grammar import (
    Alternatives,
    brief,
    is_parameter_name,
    read_alternatives,
    read_call,
    read_calls,
    show_parameters,
    show_value,
)
from reprbench.measurement import LARGEST
from reprbench.spec import Call, Count, Line, mistakes, named_call

MOST_SETTINGS = 1_000
FIGURES = 3
"""Of numbers that are drawn, so that they can be read in a table and typed again."""

Setting = dict[str, Any]
"""The values of the swept parameters."""


@dataclass(frozen=True)
class Distribution:
    """From which values of a parameter are drawn: "log" is uniform in the logarithm, "int" in whole numbers."""

    kind: Literal["log", "uniform", "int"]
    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        """Return a value, of `FIGURES` figures unless it is a whole number."""
        share = generator.random()  # the only draws that Python promises to keep
        if self.kind == "int":
            return int(self.low) + math.floor(share * (int(self.high) - int(self.low) + 1))
        if self.kind == "log":
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(float(f"{value:.{FIGURES}g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.kind}({self.low:g}, {self.high:g})"


_NUMBER = r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*"
_DISTRIBUTION = re.compile(rf"(log|uniform|int)\({_NUMBER},{_NUMBER}\)")
_BEGUN = re.compile(rf"(log|uniform|int)\({_NUMBER}")


def _values(given: Any) -> tuple[Any, ...] | Distribution:
    """Return the values of a parameter as they are written in a benchmark's file."""
    if isinstance(given, Distribution):
        return given
    if isinstance(given, list | tuple):
        if len({show_value(value) for value in given}) < max(len(given), 2):
            raise ValueError("expected at least two values, each once")
        if large := [value for value in given if isinstance(value, int | float) and abs(value) > LARGEST]:
            raise ValueError(f"{brief(large[0])} is too large to be swept; expected at most {LARGEST:g}")
        return tuple(given)
    match = _DISTRIBUTION.fullmatch(given) if isinstance(given, str) else None
    if match is None and isinstance(given, str) and _BEGUN.fullmatch(given):
        raise ValueError(f"{brief(given)} ends at a comma: within braces of YAML, write it in quotes")
    if match is None:
        raise ValueError(
            f"expected a list of values, or log(a, b), uniform(a, b) or int(a, b) with numbers, not {brief(given)}"
        )
    return _distribution(match[1], float(match[2]), float(match[3]))


def _distribution(kind: Any, low: float, high: float) -> Distribution:
    shown = f"{kind}({low:g}, {high:g})"
    if not -LARGEST <= low < high <= LARGEST:
        raise ValueError(f"{shown}: expected two numbers up to {LARGEST:g}, the smaller first")
    if kind == "log" and low <= 0:
        raise ValueError(f"{shown}: expected numbers above 0")
    if kind == "int" and not (low.is_integer() and high.is_integer() and max(-low, high) <= 2**53):
        raise ValueError(f"{shown}: expected whole numbers")
    return Distribution(kind, low, high)


def _parameter(name: str) -> str:
    if not is_parameter_name(name):
        raise ValueError(f"{brief(name)} cannot be a parameter")
    return name


Values = Annotated[Any, BeforeValidator(_values)]


class Tune(BaseModel):
    """What is swept, how many settings are tried, and by which measurement one is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: Annotated[dict[Annotated[str, AfterValidator(_parameter)], Values], Field(min_length=1)]
    """By parameter, a tuple of values or a `Distribution`."""
    tries: Count | None = None
    """Draw so many settings at random; by default every combination of the values is a setting."""
    by: Line | None = None
    """The metric; by default the first that the protocols offer."""

    @model_validator(mode="after")
    def _counts(self) -> Tune:
        drawn = [name for name, values in self.parameters.items() if isinstance(values, Distribution)]
        combinations = math.inf if drawn else math.prod(map(len, self.parameters.values()))
        if drawn and self.tries is None:
            raise ValueError(f"{drawn[0]} is drawn from a distribution; tries says how many settings to draw")
        if self.tries == 1:
            raise ValueError("tries: 1; expected at least 2 settings to choose from")
        if (self.tries or 0) > combinations:
            raise ValueError(f"tries: {self.tries}; the values have only {combinations} combinations")
        if (self.tries or combinations) > MOST_SETTINGS:
            raise ValueError(f"{self.tries or combinations} settings; expected at most {MOST_SETTINGS}; give tries")
        return self

    def settings(self, name: str) -> list[Setting]:
        """Return the settings: all combinations, or `tries` different ones from the random generator called `name`."""
        if self.tries is None:
            return [dict(zip(self.parameters, one, strict=True)) for one in product(*self.parameters.values())]
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
        generator = random.Random(seed)  # noqa: S311 (nothing secret)
        found: dict[str, Setting] = {}
        # Distributions of whole numbers may not hold so many settings.
        for _ in range(100 * self.tries):
            setting = {key: _drawn(values, generator) for key, values in self.parameters.items()}
            found.setdefault(show_parameters(setting), setting)
            if len(found) == self.tries:
                break
        return list(found.values())


def _drawn(values: tuple[Any, ...] | Distribution, generator: random.Random) -> Any:
    return (
        values.draw(generator)
        if isinstance(values, Distribution)
        else values[math.floor(generator.random() * len(values))]
    )


@dataclass(frozen=True)
class Sweep:
    """A call whose parameters have several values, as in ``ae[lr=1e-3|1e-4]``.

    Attributes
    ----------
    call : the method, and the parameters that have one value.
    tune : the others.
    """

    call: Call
    tune: Tune

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.call.name

    def __hash__(self) -> int:
        return hash((self.call, tuple(self.tune.parameters)))

    def __str__(self) -> str:
        swept = {name: _shown(values) for name, values in self.tune.parameters.items()}
        inner = [show_parameters(self.call.parameters), *(f"{name}={text}" for name, text in swept.items())]
        return f"{self.name}[{','.join(filter(None, inner))}]"


def _shown(values: tuple[Any, ...] | Distribution) -> str:
    return str(values) if isinstance(values, Distribution) else show_value(Alternatives(values))


def parse_methods(text: str) -> list[Call | Sweep]:
    """Parse calls separated by commas, whose parameters may have alternatives: ``pca,ae[lr=1e-3|1e-4]``.

    Raises
    ------
    UserError
        In one line, if `text` cannot be parsed, a name is not valid, or values are repeated.
    """
    return [_call_or_sweep(name, parameters, text) for name, parameters in read_calls(text, swept=True)]


def parse_method(text: str) -> Call | Sweep:
    """Parse one call, whose parameters may have alternatives."""
    return _call_or_sweep(*read_call(text, swept=True), text)


def _call_or_sweep(name: str, parameters: dict[str, Any], text: str) -> Call | Sweep:
    swept = {key: value.values for key, value in parameters.items() if isinstance(value, Alternatives)}
    call = named_call(name, {key: value for key, value in parameters.items() if key not in swept}, text)
    return Sweep(call, tune_of(swept, brief(text))) if swept else call


def tune_of(swept: Mapping[str, tuple[Any, ...]], what: str) -> Tune:
    """Return all combinations of the values; raise a `UserError` that begins with `what` if they are not valid."""
    try:
        return Tune(parameters=dict(swept))
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, what, Tune.model_fields))) from None


def parse_values(text: str, context: str) -> Any:
    """Parse a value, or several as `Alternatives`; the message names `context`, the text that the user wrote."""
    try:
        found = read_alternatives(text)
    except UserError as error:
        raise UserError(f"{brief(context)}: {error}") from None
    if isinstance(found, Alternatives):
        tune_of({context.partition("=")[0].strip().rpartition(".")[2]: found.values}, f"--set {brief(context)}")
    return found
