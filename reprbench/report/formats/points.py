"""A figure of tables: the first result of each row as a point, with the spread over its folds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reprbench.errors import UserError
from reprbench.plotting import COLORS, new_axes, new_figure
from reprbench.report.curves import axis_label
from reprbench.report.escape import figure_text
from reprbench.report.table import Table
from reprbench.report.text import capitalized

LONGEST_NAME = 60
"""Characters of a name that are drawn."""
LONGEST_TITLE, TITLE_WIDTH = 150, 48
"""Characters of a title that are drawn, and of one of its lines: as wide as a panel."""


def draw_points(tables: Sequence[Table]) -> Figure:
    """Return a figure with a panel for each table, in which something was measured; rows as in the table.

    A row without a result is named with its status, and has no point.

    Raises
    ------
    UserError
        If nothing was measured in any of the tables.
    """
    drawn = [table for table in tables if any(row.mean is not None for row in table.rows)]
    if not drawn:
        raise UserError("nothing to draw: no row has a result")
    rows = sum(len(table.rows) for table in drawn)
    width = 3.2 + 0.06 * min(LONGEST_NAME, max(len(row.name) for table in drawn for row in table.rows))
    figure = new_figure(width, 0.7 * len(drawn) + 0.24 * rows)
    heights = [len(table.rows) + 1 for table in drawn]
    for axes, table in zip(new_axes(figure, len(drawn), height_ratios=heights).ravel(), drawn, strict=True):
        _draw(axes, table)
    return figure


def _draw(axes: Axes, table: Table) -> None:
    places = range(len(table.rows))
    for place, row in zip(places, table.rows, strict=True):
        if row.result:
            summary = row.result.summary
            axes.errorbar(summary.mean, place, xerr=summary.std or None, fmt="o", color=COLORS[0], capsize=2)
    names = [row.name if row.mean is not None else f"{row.name}: {row.status}" for row in table.rows]
    axes.set_yticks(list(places), [figure_text(name, LONGEST_NAME) for name in names])
    axes.set_ylim(len(table.rows) - 0.5, -0.5)
    axes.set_xlabel(figure_text(capitalized(axis_label(table.metric, table.unit)), LONGEST_NAME), fontsize=9)
    title = textwrap.fill(figure_text(f"{table.data.title}: {table.protocol}", LONGEST_TITLE), TITLE_WIDTH)
    axes.set_title(title, loc="left", fontsize=9)
