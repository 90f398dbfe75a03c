"""The history of a fit, as a CSV file: what it logged, a row for each epoch or report."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from reprbench.files import open_regular, replacing
from reprbench.texts import one_line

LARGEST = 64 * 2**20
"""Bytes of the largest history that is read."""

_LONGEST_NAME = 80


def write_history(path: Path, rows: Sequence[Mapping[str, float]], lasting: bool = True) -> None:
    """Write the rows of a run's log, with the union of their columns and all digits of numbers.

    What is not `lasting` may be lost if the machine fails.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path, lasting) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows that have a step, each with the finite numbers it has; none if the file cannot be read."""
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            return []
        names, *lines = csv.reader(io.StringIO(content.decode(errors="replace")))
    except (OSError, ValueError, csv.Error):
        return []
    names = [one_line(name, _LONGEST_NAME) for name in names]
    rows = [_numbers(names, line) for line in lines]
    return [row for row in rows if "step" in row]


def _numbers(names: Sequence[str], line: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in zip(names, line, strict=False):
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            found[name] = value
    return found
