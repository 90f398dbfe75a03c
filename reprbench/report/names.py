"""Names that distinguish rows where no footnote stands: in charts, legends and captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reprbench.report.row import Row, of_several_seeds, row_name
from reprbench.trial import RowKey


def chart_names(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row of a table: its label, and of seed, budget and precision those that rows differ in."""
    several, fits = of_several_seeds(rows), _fits(row.key for row in rows)
    return [
        ", ".join([row_name(row, several), *fits[row.key], *(["superseded"] if row.superseded else [])]) for row in rows
    ]


def method_names(keys: Iterable[RowKey]) -> dict[RowKey, str]:
    """Return a name for each method, whatever its seed: its label, and budget and precision where these differ."""
    return {key: ", ".join([key.label, *fit]) for key, fit in _fits(keys).items()}


def _fits(keys: Iterable[RowKey]) -> dict[RowKey, list[str]]:
    """Return of each key's budget and precision what distinguishes it from others of its label."""
    budgets: dict[str, set[str]] = {}
    precisions: dict[str, set[str]] = {}
    unique = list(dict.fromkeys(keys))
    for key in unique:
        budgets.setdefault(key.label, set()).add(str(key.budget))
        precisions.setdefault(key.label, set()).add(key.precision)
    return {
        key: [
            *([str(key.budget)] if len(budgets[key.label]) > 1 else []),
            *([key.precision] if len(precisions[key.label]) > 1 else []),
        ]
        for key in unique
    }
