"""Figures across methods: the stored curves of all rows of a table, and average ranks over datasets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from reprbench.plotting import COLORS, MARKERS, line, new_axes, new_figure, save_png
from reprbench.report.measured import ByFold, by_fold, find_evaluation, matching
from reprbench.report.ranks import Ranks
from reprbench.report.table import Table
from reprbench.report.text import capitalized
from reprbench.trial import Curve, Trial

Points = dict[float, ByFold]
"""Values by x and fold."""

DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Panel:
    """One curve of all methods that have it.

    Attributes
    ----------
    curve : what is drawn.
    unit : of the metric.
    lines : points by the method's label, in the order of the table.
    """

    curve: Curve
    unit: str
    lines: Mapping[str, Points]


def draw_all(tables: Sequence[Table], trials: Iterable[Trial], ranks: Sequence[Ranks], folder: Path) -> list[Path]:
    """Write a PNG for each curve of each table, and for each critical-difference diagram; return the paths."""
    by_folder = {trial.folder: trial for trial in trials}
    written = []
    several = Counter((table.benchmark, table.protocol) for table in tables)
    for table in tables:
        for metric, panels in panels_of(table, by_folder).items():
            parts = [table.benchmark, table.protocol, metric]
            if several[table.benchmark, table.protocol] > 1:
                parts.insert(1, table.digest[:8])
            # Two x of one metric (a level, an epoch) are two figures.
            for x in dict.fromkeys(panel.curve.x for panel in panels):
                same = [panel for panel in panels if panel.curve.x == x]
                path = folder / f"{_file_name([*parts, x])}.png"
                save_png(draw_curves(same), path)
                written.append(path)
    for one in ranks:
        path = folder / f"{_file_name(['ranks', one.protocol])}.png"
        save_png(draw_ranks(one), path)
        written.append(path)
    return written


def panels_of(table: Table, trials: Mapping[str, Trial]) -> dict[str, list[Panel]]:
    """Return the stored curves of a table's rows, by metric; over the seeds of a method the values are averaged."""
    kinds: dict[str, Curve] = {}
    lines: dict[str, dict[str, list[Points]]] = {}
    units: dict[str, str] = {}
    for row in table.rows:
        trial = trials.get(row.trial)
        evaluation = find_evaluation(trial, table.protocol) if trial else None
        for curve in evaluation.curves if evaluation else ():
            kind = f"{curve.metric} {curve.x} {sorted(curve.at.items())}"
            found = (
                [one for one in matching(evaluation, curve.metric, curve.at) if curve.x in one.at] if evaluation else []
            )
            if found:
                kinds.setdefault(kind, curve)
                units.setdefault(kind, found[0].unit)
                places = sorted({float(one.at[curve.x]) for one in found})
                points = {x: by_fold([one for one in found if float(one.at[curve.x]) == x]) for x in places}
                lines.setdefault(kind, {}).setdefault(row.label, []).append(points)
    panels: dict[str, list[Panel]] = {}
    for kind, curve in kinds.items():
        merged = {label: _over_seeds(seeds) for label, seeds in lines[kind].items()}
        panels.setdefault(curve.metric, []).append(Panel(curve, units[kind], merged))
    return panels


def _over_seeds(seeds: Sequence[Points]) -> Points:
    """Return the mean over seeds of each fold, where all seeds have it."""
    return {
        x: {
            fold: sum(one[x][fold] for one in seeds) / len(seeds)
            for fold in folds
            if all(fold in one[x] for one in seeds)
        }
        for x, folds in seeds[0].items()
        if all(x in one for one in seeds)
    }


def draw_curves(panels: Sequence[Panel]) -> Figure:
    """Return a figure with a panel for each curve of one metric: mean over the folds, ± standard deviation shaded."""
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    # A letter of the legend takes about 0.06 inches; beside a single panel it stands as well as beside four.
    legend = 0.6 + 0.06 * max(map(len, labels))
    figure = new_figure(
        columns * (2.6 if columns > 1 else 3.0) + legend, max(rows * 2.1, 2.4, 0.3 + 0.17 * len(labels))
    )
    axes = new_axes(figure, rows, columns, sharey=True).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel, labels)
    for place, axis in enumerate(axes):
        if place >= len(panels):
            axis.set_axis_off()
        elif place % columns == 0:
            unit = panels[0].unit
            axis.set_ylabel(capitalized(panels[0].curve.metric) + (f" ({unit})" if unit else ""))
    handles = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    shown = [label for label in labels if label in handles]
    figure.legend([handles[label] for label in shown], shown, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _draw_panel(axes: Axes, panel: Panel, labels: Sequence[str]) -> None:
    for label, points in panel.lines.items():
        number = labels.index(label)
        places = sorted(points)
        values = [list(points[x].values()) for x in places]
        spread = [float(np.std(found)) for found in values] if max(map(len, values), default=0) > 1 else None
        style = DASHES[number // len(COLORS) % len(DASHES)]
        line(axes, places, [float(np.mean(found)) for found in values], label, number, spread, linestyle=style)
    curve = panel.curve
    axes.set_xlabel(curve.x_label or curve.x)
    if curve.at:
        axes.set_title(_panel_title(curve), fontsize=9)
    if curve.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted({x for points in panel.lines.values() for x in points})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")


def _panel_title(curve: Curve) -> str:
    """Return what distinguishes the panel: its title without the metric, which stands at the axis."""
    rest = re.sub(rf"^{re.escape(curve.metric)}( \([^)]*\))?(, |$)", "", curve.title, flags=re.IGNORECASE)
    return capitalized(rest or ", ".join(str(value) for value in curve.at.values()))


def draw_ranks(ranks: Ranks) -> Figure:
    """Return a critical-difference diagram (Demšar 2006, figure 1): methods at their average ranks, 1 at the left.

    A bar joins methods that Nemenyi's test does not tell apart.
    """
    ordered = sorted(ranks.average.items(), key=lambda item: item[1])
    count, half = len(ordered), (len(ordered) + 1) // 2
    groups = _groups([rank for _, rank in ordered], ranks.critical_difference)
    first_label = 0.55 + 0.22 * len(groups)
    bottom = first_label + 0.3 * half
    longest = max(len(label) for label in ranks.average)
    margin = (count - 1) * (0.35 + 0.035 * longest)
    figure = new_figure(5.6, 0.9 + 0.55 * bottom)
    axes = new_axes(figure)[0, 0]
    axes.set(xlim=(1 - margin, count + margin), ylim=(bottom + 0.15, -1.3))
    axes.set_axis_off()
    axes.plot([1, count], [0, 0], color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, -0.12], color="black", linewidth=1)
        axes.text(tick, -0.2, str(tick), ha="center", va="bottom", fontsize=8)
    for place, (label, rank) in enumerate(ordered):
        left = place < half
        level = first_label + 0.3 * (place if left else count - 1 - place)
        end = 1 - 0.04 * count if left else count + 0.04 * count
        axes.plot([rank, rank, end], [0, level, level], color=COLORS[place % len(COLORS)], linewidth=1.1)
        axes.plot([rank], [0], color=COLORS[place % len(COLORS)], marker=MARKERS[place % len(MARKERS)], markersize=4)
        text = f"{label}  {rank:.2f}" if left else f"{rank:.2f}  {label}"
        shift = -0.02 * count if left else 0.02 * count
        axes.text(end + shift, level, text, ha="right" if left else "left", va="center", fontsize=8)
    for place, (low, high) in enumerate(groups):
        axes.plot(
            [low - 0.03, high + 0.03], [0.3 + 0.22 * place] * 2, color="black", linewidth=3, solid_capstyle="butt"
        )
    # A difference wider than the axis is drawn as wide as the axis; its number says how wide it is.
    width = min(ranks.critical_difference, count - 1)
    axes.plot([1, 1 + width], [-0.85, -0.85], color="black", linewidth=1, marker="|", markersize=6)
    axes.text(
        1 + width / 2,
        -0.95,
        f"critical difference {ranks.critical_difference:.2f}",
        ha="center",
        va="bottom",
        fontsize=8,
    )
    return figure


def _groups(ranks: Sequence[float], critical: float) -> list[tuple[float, float]]:
    """Return first and last rank of each largest run of ascending `ranks` that lie within the critical difference."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= critical)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return [(ranks[first], ranks[last]) for first, last in runs]


def _file_name(parts: Iterable[str]) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in parts)
