"""Figures across methods: the curves of all rows of a table, and average ranks over datasets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from reprbench.measurement import Curve
from reprbench.plotting import COLORS, MARKERS, line, new_axes, new_figure, save_png, similarity_map
from reprbench.report.curves import CurveKey, CurvePoint, RowCurve, at_values, axis_label, curve_key, curves_of
from reprbench.report.escape import figure_text
from reprbench.report.formats.sweeps import draw_sweep
from reprbench.report.ranks import Ranks
from reprbench.report.row import Source
from reprbench.report.seeds import by_method
from reprbench.report.similarity_maps import SimilarityMap, similarity_maps
from reprbench.report.table import Table
from reprbench.report.text import capitalized

DASHES = ("-", "--", ":", "-.")
LONGEST_NAME = 150
"""Characters of a file's name."""


@dataclass(frozen=True)
class PanelLine:
    """One method's line: its place in the table, which is the same in all panels, its name, and its points."""

    method: int
    name: str
    points: Sequence[CurvePoint]


@dataclass(frozen=True)
class Panel:
    """One curve of all methods that have it.

    Attributes
    ----------
    curve : what is drawn.
    unit : of the metric.
    lines : one for each method, in the order of the table.
    """

    curve: Curve
    unit: str
    lines: tuple[PanelLine, ...]


def draw_all(tables: Sequence[Table], ranks: Sequence[Ranks], folder: Path) -> list[Path]:
    """Write a PNG for each metric and x of each table's curves, each sweep, map, and critical-difference diagram.

    Returns
    -------
    The paths of the files, in `folder`.
    """
    paths = _Paths(folder)
    several = Counter((table.benchmark, table.protocol) for table in tables)
    for table in tables:
        digest = [table.data.digest[:8]] if several[table.benchmark, table.protocol] > 1 else []
        for (metric, x), panels in panels_of(table).items():
            save_png(draw_curves(panels), paths.new([table.benchmark, *digest, str(table.protocol), metric, x]))
        for choice in table.sweeps:
            save_png(draw_sweep(choice), paths.new([table.benchmark, *digest, "sweep", choice.sweep.row]))
        for found in similarity_maps(table):
            save_png(draw_similarity(found), paths.new([table.benchmark, *digest, str(table.protocol), found.name]))
    for one in ranks:
        save_png(draw_ranks(one), paths.new(["ranks", one.protocol]))
    return paths.given


def draw_similarity(found: SimilarityMap) -> Figure:
    """Return the map of the similarity between trials."""
    return similarity_map([figure_text(name) for name in found.rows], np.array(found.values))


class _Paths:
    """Gives each figure a path of its own in a folder, whatever its names contain."""

    def __init__(self, folder: Path) -> None:
        self.given: list[Path] = []
        self._folder = folder
        self._names: set[str] = set()

    def new(self, parts: Iterable[str]) -> Path:
        """Return a path that is named after `parts`, with a number if another figure has that name."""
        name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts)[:LONGEST_NAME]
        numbered = (f"{name}-{number}" for number in count(2))
        # Some file systems do not distinguish upper and lower case.
        free = next(one for one in chain([name], numbered) if one.casefold() not in self._names)
        self._names.add(free.casefold())
        self.given.append(self._folder / f"{free}.png")
        return self.given[-1]


def panels_of(table: Table) -> dict[tuple[str, str], list[Panel]]:
    """Return the panels of each figure of a table, by metric and x: its methods' curves, over all seeds of each.

    Rows that a later trial supersedes are left out.
    """
    found: dict[CurveKey, tuple[RowCurve, list[PanelLine]]] = {}
    for method, (name, sources) in enumerate(_methods(table)):
        for one in curves_of(sources):
            _, lines = found.setdefault(curve_key(one.curve), (one, []))
            lines.append(PanelLine(method, figure_text(name), one.points))
    panels: dict[tuple[str, str], list[Panel]] = {}
    for first, lines in found.values():
        panel = Panel(first.curve, first.unit, tuple(lines))
        panels.setdefault((first.curve.metric, first.curve.x), []).append(panel)
    return panels


def _methods(table: Table) -> list[tuple[str, list[Source]]]:
    """Return each method's name and sources, of all seeds that have an evaluation, in the order of the table.

    Settings of sweeps are left out: they have figures of their own.
    """
    measured = [row for row in table.rows if any(source.evaluation for source in row.sources)]
    rows = [row for row in measured if not row.only_setting]
    return [
        (rows[places[0]].method, [source for place in places for source in rows[place].sources if source.evaluation])
        for places in by_method(rows)
    ]


def draw_curves(panels: Sequence[Panel]) -> Figure:
    """Return a figure with a panel for each curve of one metric: mean over the folds, ± standard deviation shaded."""
    names = {one.method: one.name for panel in panels for one in panel.lines}
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(*_size(rows, columns, list(names.values())))
    axes = new_axes(figure, rows, columns, sharey=True).ravel()
    for axis, panel, title in zip(axes, panels, _panel_titles(panels), strict=False):
        _draw_panel(axis, panel, list(names))
        axis.set_title(figure_text(title), fontsize=9)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[: len(panels) : columns]:
        axis.set_ylabel(figure_text(capitalized(axis_label(panels[0].curve.metric, panels[0].unit))))
    handles = {
        one.method: drawn
        for axis, panel in zip(axes, panels, strict=False)
        for one, drawn in zip(panel.lines, axis.get_lines(), strict=True)
    }
    figure.legend(
        [handles[method] for method in names],
        list(names.values()),
        loc="outside right upper",
        fontsize=8,
        frameon=False,
    )
    return figure


def _size(rows: int, columns: int, names: Sequence[str]) -> tuple[float, float]:
    """Return width and height in inches: of the panels, and of the legend with its `names` next to them."""
    # A letter of the legend takes about 0.06 inches, whatever the number of panels.
    legend = 0.6 + 0.06 * max(map(len, names))
    return columns * (2.6 if columns > 1 else 3.0) + legend, max(rows * 2.1, 2.4, 0.3 + 0.17 * len(names))


def _panel_titles(panels: Sequence[Panel]) -> list[str]:
    """Return what distinguishes each panel: of several, the coordinates, since the metric is on the axis."""
    if len(panels) == 1:
        return [capitalized(panels[0].curve.title)]
    return [capitalized(at_values(panel.curve)) for panel in panels]


def _draw_panel(axes: Axes, panel: Panel, methods: Sequence[int]) -> None:
    for one in panel.lines:
        number, points = methods.index(one.method), one.points
        spread = [point.std or 0.0 for point in points] if any(point.std is not None for point in points) else None
        style = DASHES[number // len(COLORS) % len(DASHES)]
        x, mean = [point.x for point in points], [point.mean for point in points]
        line(axes, x, mean, one.name, number, spread, linestyle=style)
    curve = panel.curve
    axes.set_xlabel(figure_text(curve.x_label or curve.x))
    if curve.log:
        places = sorted({point.x for one in panel.lines for point in one.points})
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")


def draw_ranks(ranks: Ranks) -> Figure:
    """Return a critical-difference diagram (Demšar 2006, figure 1): methods at their average ranks, 1 at the left.

    A bar joins methods that Nemenyi's test does not distinguish.
    """
    ordered = sorted(((figure_text(label), rank) for label, rank in ranks.average.items()), key=lambda item: item[1])
    count, half = len(ordered), (len(ordered) + 1) // 2
    groups = _groups([rank for _, rank in ordered], ranks.critical_difference)
    first_label = 0.55 + 0.22 * len(groups)
    bottom = first_label + 0.3 * half
    margin = (count - 1) * (0.35 + 0.035 * max(len(label) for label, _ in ordered))
    figure = new_figure(5.6, 0.9 + 0.55 * bottom)
    axes = new_axes(figure)[0, 0]
    axes.set(xlim=(1 - margin, count + margin), ylim=(bottom + 0.15, -1.3))
    axes.set_axis_off()
    _draw_rank_axis(axes, count)
    for place, (label, rank) in enumerate(ordered):
        level = first_label + 0.3 * (place if place < half else count - 1 - place)
        _draw_rank(axes, label, rank, place, level, count)
    for place, (low, high) in enumerate(groups):
        level = 0.3 + 0.22 * place
        axes.plot([low - 0.03, high + 0.03], [level] * 2, color="black", linewidth=3, solid_capstyle="butt")
    _draw_critical_difference(axes, ranks.critical_difference, count)
    return figure


def _draw_rank_axis(axes: Axes, count: int) -> None:
    axes.plot([1, count], [0, 0], color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, -0.12], color="black", linewidth=1)
        axes.text(tick, -0.2, str(tick), ha="center", va="bottom", fontsize=8)


def _draw_rank(axes: Axes, label: str, rank: float, place: int, level: float, count: int) -> None:
    """Draw one of `count` methods: its rank on the axis and a line to its label at `level`; the better half is left."""
    color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
    left = place < (count + 1) // 2
    end = 1 - 0.04 * count if left else count + 0.04 * count
    shift = -0.02 * count if left else 0.02 * count
    text = f"{label}  {rank:.2f}" if left else f"{rank:.2f}  {label}"
    axes.plot([rank, rank, end], [0, level, level], color=color, linewidth=1.1)
    axes.plot([rank], [0], color=color, marker=marker, markersize=4)
    axes.text(end + shift, level, text, ha="right" if left else "left", va="center", fontsize=8)


def _draw_critical_difference(axes: Axes, difference: float, count: int) -> None:
    # A difference wider than the axis is drawn as wide as the axis; its label has the number.
    width = min(difference, count - 1)
    text = f"critical difference {difference:.2f}"
    axes.plot([1, 1 + width], [-0.85, -0.85], color="black", linewidth=1, marker="|", markersize=6)
    axes.text(1 + width / 2, -0.95, text, ha="center", va="bottom", fontsize=8)


def _groups(ranks: Sequence[float], critical: float) -> list[tuple[float, float]]:
    """Return first and last rank of each largest run of ascending `ranks` that lie within the critical difference."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= critical)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return [(ranks[first], ranks[last]) for first, last in runs]
