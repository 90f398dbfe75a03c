"""The formats of reports: terminal, Markdown, LaTeX, CSV, JSON, HTML, and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reprbench.report.grid import Grid
    from reprbench.report.pivot import Pivot
    from reprbench.report.table import Table

    Shown = Sequence[Table | Pivot]


def as_terminal(shown: Shown) -> str:
    """Return tables or pivots for a terminal."""
    from reprbench.report.formats import text

    return text.as_terminal(_grids(shown), _ranks(shown))


def as_markdown(shown: Shown) -> str:
    """Return tables or pivots as GitHub's Markdown."""
    from reprbench.report.formats import text

    return text.as_markdown(_grids(shown), _ranks(shown))


def as_latex(shown: Shown) -> str:
    """Return a LaTeX document of tables, rows in the benchmark's order and under its headings, or of pivots."""
    from reprbench.report.formats.latex import as_document

    return as_document(_grids(shown, by_group=True))


def as_csv(shown: Shown) -> str:
    """Return one flat CSV of tables or pivots."""
    from reprbench.report.formats import records

    return records.as_csv(shown)


def as_json(shown: Shown) -> str:
    """Return tables or pivots as JSON."""
    from reprbench.report.formats import records

    return records.as_json(shown)


FORMATS: dict[str, Callable[[Shown], str]] = {
    "table": as_terminal,
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
}


def _grids(shown: Shown, by_group: bool = False) -> list[Grid]:
    from reprbench.report.grid import table_grid
    from reprbench.report.pivot import Pivot, pivot_grid

    return [pivot_grid(one) if isinstance(one, Pivot) else table_grid(one, by_group) for one in shown]


def _ranks(shown: Shown) -> list[str]:
    """Return a line for each protocol whose methods can be ranked over several datasets."""
    from reprbench.report.ranks import ranks_over_datasets
    from reprbench.report.table import Table

    return [str(ranks) for ranks in ranks_over_datasets([one for one in shown if isinstance(one, Table)])]
