"""Numbers as reports print them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from reprbench.printable import printable_json
from reprbench.trial import DataRecord

MOST_FIXED = 1e12
"""Larger numbers are printed as 1.23e+45, so that no column is as wide as their digits."""


def fixed(value: float, decimals: int = 1, sign: str = "") -> str:
    """Return a number with so many decimals, or with three figures and an exponent; ``sign="+"`` shows a plus too."""
    return f"{value:{sign}.{decimals}f}" if abs(value) < MOST_FIXED else f"{value:{sign}.2e}"


def plus_minus(value: float, spread: float | None, decimals: int = 1) -> str:
    """Return a value as a table prints it."""
    text = fixed(value, decimals)
    return text if spread is None else f"{text} ± {fixed(spread, decimals)}"


def decimals_for(values: Iterable[float | None], unit: str) -> int:
    """Return how many decimals a column needs: one for percentages, otherwise three figures of its median size."""
    sizes = sorted(abs(value) for value in values if value)
    if unit == "%" or not sizes:
        return 1
    return min(max(2 - math.floor(math.log10(sizes[len(sizes) // 2])), 1), 8)


def images_text(data: DataRecord) -> str:
    """Return how many images the splits of a dataset have."""
    return f"{data.unlabeled} unlabeled, {data.train} train, {data.test} test images"


def contents_text(data: DataRecord) -> str:
    """Return how many images and classes a dataset has."""
    return f"{images_text(data)}; {data.classes} classes"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in a suitable unit."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def rough_text(seconds: float) -> str:
    """Return a duration of at least a minute that is only roughly known."""
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.1f} h"


def count_text(count: int | None) -> str:
    """Return a count with three figures, in thousands (k) to trillions (T) where that is shorter."""
    if count is None:
        return ""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def memory_text(memory: int | None) -> str:
    """Return bytes in megabytes."""
    return "" if memory is None else f"{memory / 2**20:.0f} MB"


def place_text(at: Iterable[tuple[str, object]]) -> str:
    """Return coordinates as text: ``corruption mask, level 0.4``."""
    return ", ".join(f"{name} {value}" for name, value in at)


def value_order(value: object) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size and before words."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))  # type: ignore[arg-type]


def folds_text(counts: Collection[int]) -> str:
    """Return how often values were measured, from the number of folds of each; 0 if a value belongs to no fold."""
    several = sorted(set(counts) - {0})
    if not several:
        return "measured once"
    if several == [1]:
        return "on 1 fold"
    return f"mean ± standard deviation (ddof = 0) over {'/'.join(map(str, several))} folds"


def json_text(value: object, default: Callable[[Any], object] | None = None) -> str:
    """Return indented JSON and a line end; `default` is that of `json.dumps`, whose own indentation is slow."""
    compact = json.dumps(value, ensure_ascii=False, allow_nan=False, default=default)
    return msgspec.json.format(printable_json(compact), indent=2) + "\n"


def capitalized(text: str) -> str:
    """Return `text` with a capital first letter, the others unchanged (PSNR stays PSNR)."""
    return text[:1].upper() + text[1:]
