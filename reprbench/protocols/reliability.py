"""Reliability diagrams: what came true against the probability predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprbench.probes.calibration import Calibration


def reliability_diagram(
    shown: Calibration, *, observed: str, points: str, diagonal: str, text: str
) -> tuple[Figure, Axes]:
    """Return the diagram, and the axes below it for a histogram of the probability.

    Error bars are ± one standard error of the observed share.

    Parameters
    ----------
    observed : the label of the vertical axis.
    points, diagonal : the labels of the legend.
    text : shown in the lower right corner.
    """
    from reprbench.plotting import COLORS, new_axes, new_figure

    figure = new_figure(3.5, 4.2)
    upper, lower = new_axes(figure, 2, 1, sharex=True, height_ratios=(2.2, 1))[:, 0]
    upper.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, label=diagonal)
    look: dict[str, Any] = {"fmt": "o", "color": COLORS[0], "elinewidth": 0.8, "markersize": 4}
    upper.errorbar(shown.predicted, shown.observed, shown.standard_errors, label=points, **look)
    upper.set(ylabel=observed, xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))
    upper.legend(loc="upper left", fontsize=8, frameon=False)
    upper.text(0.98, 0.03, text, transform=upper.transAxes, ha="right", va="bottom", fontsize=8)
    figure.align_ylabels()
    return figure, lower
