"""Figures of sweeps: response curves, and a heat map of two parameters, of the measurement that chose a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from reprbench.grammar import show_value
from reprbench.plotting import COLORS, line, new_axes, new_figure
from reprbench.report.choice import Choice, Tried
from reprbench.report.curves import axis_label
from reprbench.report.escape import figure_text
from reprbench.report.text import capitalized, decimals_for, fixed, value_order

CHOSEN = COLORS[1]
MOST_CELLS = 20
"""Of one side of a heat map; with more its numbers cannot be read."""
LOG_FROM = 10
"""The ratio of the largest to the smallest value from which an axis is logarithmic."""


def draw_sweep(choice: Choice) -> Figure:
    """Return the figure of a sweep: one parameter as a curve, two of a grid as a heat map, others a panel each."""
    names = list(choice.sweep.parameters)
    figure = _heat_map(choice, names) if _is_grid(choice, names) else _panels(choice, names)
    figure.suptitle(figure_text(_cut(choice.sweep.row, figure.get_figwidth())), fontsize=9)
    return figure


def _cut(text: str, width: float) -> str:
    """Return as much of a title as a figure of `width` inches has room for: a letter takes about 0.075."""
    room = int(width / 0.075)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _is_grid(choice: Choice, names: Sequence[str]) -> bool:
    listed = [isinstance(values, list) and len(values) <= MOST_CELLS for values in choice.sweep.parameters.values()]
    return len(names) == 2 and all(listed)


class _Axis:
    """The places of a parameter's values: themselves if they are numbers, or else their order."""

    def __init__(self, values: Iterable[Any]) -> None:
        unique = {show_value(value): value for value in values}
        self.values = sorted(unique.values(), key=value_order)
        self.labels = list(map(show_value, self.values))
        self.numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in self.values)
        self.log = self.numeric and 0 < LOG_FROM * self.values[0] <= self.values[-1]

    def order(self, value: Any) -> int:
        return self.labels.index(show_value(value))

    def place(self, value: Any) -> float:
        return float(value) if self.numeric else float(self.order(value))

    def label(self, axes: Axes, name: str, each: bool) -> None:
        """Label the x axis, with a tick at `each` value if these are few; values that were drawn may lie close."""
        axes.set_xlabel(figure_text(name))
        if self.log:
            axes.set_xscale("log")
        if not self.numeric or (each and len(self.values) <= 8):
            axes.xaxis.set_major_locator(FixedLocator([self.place(value) for value in self.values]))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter("{x:g}")
        if not self.numeric:
            axes.set_xticklabels([figure_text(label) for label in self.labels])
            axes.set_xlim(-0.5, len(self.labels) - 0.5)


def _panels(choice: Choice, names: Sequence[str]) -> Figure:
    """Return a panel for each parameter: a curve if it is the only one, otherwise a point for each setting."""
    # Where all settings have one value, there is nothing to see.
    names = [name for name in names if len({show_value(one.setting[name]) for one in choice.settings}) > 1] or names[:1]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure(max(columns * 2.6, 4.0), rows * 2.3 + 0.3)
    panels = new_axes(figure, rows, columns, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        axis = _Axis(one.setting[name] for one in choice.settings)
        axis.label(axes, name, isinstance(choice.sweep.parameters[name], list))
        _draw_points(axes, axis, choice, name, joined=len(names) == 1)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel(figure_text(capitalized(axis_label(choice.sweep.by, choice.unit))))
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
    )
    return figure


def _draw_points(axes: Axes, axis: _Axis, choice: Choice, name: str, joined: bool) -> None:
    known = [(axis.place(one.setting[name]), one.value) for one in choice.settings if one.value]
    x, y = [place for place, _ in known], [value.mean for _, value in known]
    if joined:
        spread = [value.std or 0.0 for _, value in known]
        line(axes, x, y, "mean ± std over folds", 0, spread)
    else:
        axes.plot(x, y, "o", color=COLORS[0], label="a setting")
    if choice.chosen and choice.chosen.value:
        place = axis.place(choice.chosen.setting[name])
        axes.plot([place], [choice.chosen.value.mean], "*", color=CHOSEN, markersize=11, label="chosen", clip_on=False)
    if holes := [axis.place(one.setting[name]) for one in choice.settings if one.value is None]:
        low = [0.02] * len(holes)
        axes.plot(holes, low, "x", color="black", transform=axes.get_xaxis_transform(), label="no value", clip_on=False)


def _heat_map(choice: Choice, names: Sequence[str]) -> Figure:
    """Return a cell for each pair of values: the first parameter down, the second across."""
    down, across = (
        _Axis([*choice.sweep.parameters[name], *(one.setting[name] for one in choice.settings)]) for name in names
    )
    tried = {(down.order(one.setting[names[0]]), across.order(one.setting[names[1]])): one for one in choice.settings}
    means = np.full((len(down.values), len(across.values)), np.nan)
    for place, one in tried.items():
        means[place] = one.value.mean if one.value else np.nan
    margin = 1.9 + 0.06 * max(map(len, down.labels))
    figure = new_figure(margin + 0.75 * len(across.values), 1.1 + 0.42 * len(down.values))
    axes = new_axes(figure)[0, 0]
    axes.grid(False)
    image = axes.imshow(means, cmap="viridis_r" if choice.better == "lower" else "viridis", aspect="auto")
    figure.colorbar(image, ax=axes).set_label(figure_text(axis_label(choice.sweep.by, choice.unit)), fontsize=8)
    axes.set_xticks(range(len(across.values)), [figure_text(label) for label in across.labels])
    axes.set_yticks(range(len(down.values)), [figure_text(label) for label in down.labels])
    axes.set_xlabel(figure_text(names[1]))
    axes.set_ylabel(figure_text(names[0]))
    _write_cells(axes, means, tried, choice)
    return figure


def _write_cells(axes: Axes, means: Any, tried: Mapping[tuple[int, int], Tried], choice: Choice) -> None:
    decimals = decimals_for([float(one) for one in means[np.isfinite(means)]], choice.unit)
    middle = (np.nanmin(means) + np.nanmax(means)) / 2 if np.isfinite(means).any() else 0.0
    for row, column in np.ndindex(means.shape):
        mean, one = means[row, column], tried.get((row, column))
        # The dark end of the colors is that of the worse values.
        bright = mean < middle if choice.better == "lower" else mean > middle
        color = "black" if bright or np.isnan(mean) else "white"
        text = "no value" if np.isnan(mean) else fixed(float(mean), decimals)
        axes.text(column, row, text, ha="center", va="center", fontsize=8 if text != "no value" else 6, color=color)
        if one is not None and one is choice.chosen:
            frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=CHOSEN, linewidth=2.5)
            axes.add_patch(frame)
