"""Checks what a protocol returns: the types of its parts, and bounds on what the store keeps and tables show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reprbench.errors import UserError
from reprbench.evaluation import MOST_FIGURES, MOST_GRAMS
from reprbench.measurement import Curve, Headline, Measurement
from reprbench.probes.cka import unpacked
from reprbench.protocols.base import KeptGram, Outcome

MOST_MEASUREMENTS = 100_000
MOST_OTHERS = 1000
LONGEST_TEXT = 200
"""Characters of a metric, a unit, a coordinate, a title."""
LARGEST_INTEGER = 2**53
"""The largest integer coordinate; floats, and readers of JSON in other languages, hold smaller ones exactly."""

_PARTS: dict[str, tuple[Any, type, int]] = {
    "measurements": (Sequence, Measurement, MOST_MEASUREMENTS),
    "warnings": (Sequence, str, MOST_OTHERS),
    "headlines": (Sequence, Headline, MOST_OTHERS),
    "curves": (Sequence, Curve, MOST_OTHERS),
    "figures": (Mapping, str, MOST_FIGURES),
    "grams": (Mapping, str, MOST_GRAMS),
}
"""The type of each part of an outcome, that of what is in it, and how many there may be."""


def checked_outcome(returned: Any, protocol: str) -> Outcome:
    """Return what a protocol's `evaluate` returned.

    Raises
    ------
    UserError
        If it is not an `Outcome`, or a part of it has another type or is out of bounds; in one line.
    """
    if not isinstance(returned, Outcome):
        raise UserError(f"{protocol} returned {type(returned).__name__}; expected an Outcome")
    if problem := next(_problems(returned), None):
        raise UserError(f"{protocol} returned an Outcome that cannot be kept: {problem}")
    return returned


def _problems(outcome: Outcome) -> Iterator[str]:
    for name, (kind, of, most) in _PARTS.items():
        part: Any = getattr(outcome, name)
        if not isinstance(part, kind) or isinstance(part, str):
            yield f"{name} is of type {type(part).__name__}; expected a {kind.__name__.lower()}"
        elif len(part) > most:
            yield f"{name} has {len(part)} parts; expected at most {most}"
        elif wrong := [type(one).__name__ for one in part if not isinstance(one, of)]:
            yield f"{name} has something of type {wrong[0]}; expected {of.__name__}"
    if isinstance(outcome.grams, Mapping):
        yield from filter(None, map(_gram_problem, outcome.grams.values()))
    if not isinstance(outcome.missing, str):
        yield f"missing is of type {type(outcome.missing).__name__}; expected a text"
    kept: list[Any] = [*outcome.measurements, *outcome.headlines, *outcome.curves]
    for one in kept:
        texts = {name: getattr(one, name) for name in ("metric", "unit", "x", "title", "x_label") if hasattr(one, name)}
        for name, text in texts.items():
            if not isinstance(text, str) or len(text) > LONGEST_TEXT:
                yield f"the {name} {_short(text)}; expected a text of at most {LONGEST_TEXT} characters"
        yield from _coordinate_problems(one.at)


def _gram_problem(gram: Any) -> str:
    if not isinstance(gram, KeptGram) or not isinstance(gram.images, str):
        return f"grams has something of type {type(gram).__name__}; expected KeptGram"
    try:
        unpacked(gram.packed)
    except (AttributeError, TypeError, ValueError) as error:
        return f"a Gram matrix: {error}"
    return ""


def _coordinate_problems(at: Any) -> Iterator[str]:
    """Yield what is out of bounds; values that are neither texts nor numbers are refused when they are stored."""
    if not isinstance(at, Mapping):
        yield f"coordinates of type {type(at).__name__}; expected a dict"
        return
    for name, value in at.items():
        if not isinstance(name, str):
            yield f"the name of a coordinate {_short(name)}; expected a text"
        elif any(len(text) > LONGEST_TEXT for text in (name, value) if isinstance(text, str)):
            yield f"the coordinate {_short(name)}: {_short(value)}; expected at most {LONGEST_TEXT} characters"
        elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            yield f"the coordinate {_short(name)} is too large; expected at most 2^53"


def _short(value: Any) -> str:
    """Return a value for a message; one that cannot be shown by its type."""
    if not isinstance(value, str | float | None):
        return f"of type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
