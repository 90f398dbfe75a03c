"""The figures of the protocol robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reprbench.data.common_corruptions import CommonKind
from reprbench.data.corruptions import CORRUPTIONS, Kind, corrupted
from reprbench.protocols.base import Measurement
from reprbench.protocols.folds import over_folds
from reprbench.protocols.over_severities import PROBE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprbench.data.dataset import Dataset

SHOWN_IMAGES = 8
IDENTITY = " of the identity"
"""The suffix of metrics of the corrupted images themselves."""


def curves_figure(
    measurements: Sequence[Measurement], levels: Mapping[Kind, Sequence[float]], name: str, reconstructs: bool
) -> Figure:
    """Draw the metrics against the level, one row per metric and one column per corruption."""
    from reprbench.plotting import new_axes, new_figure

    metrics = {"MSE": "MSE", "SSIM": "SSIM"} if reconstructs else {}
    metrics[PROBE] = "Probe accuracy (%)"
    figure = new_figure(max(3.5, 2.1 * len(levels)), 0.5 + 1.7 * len(metrics))
    axes = new_axes(figure, len(metrics), len(levels), sharex="col", sharey="row")
    for column, kind in zip(axes.T, levels, strict=True):
        column[0].set_title(CORRUPTIONS[kind].title)
        column[-1].set_xlabel(CORRUPTIONS[kind].level)
        for panel, metric in zip(column, metrics, strict=True):
            _draw_panel(panel, measurements, metric, kind, name)
    for panel, label in zip(axes[:, 0], metrics.values(), strict=True):
        panel.set_ylabel(label)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _draw_panel(panel: Axes, measurements: Sequence[Measurement], metric: str, kind: Kind, name: str) -> None:
    """Draw a metric against the level of a corruption, with that of the identity, which has no probe."""
    from reprbench.plotting import line

    at = {"corruption": kind}
    if metric != PROBE:
        x, identity, _ = over_folds(measurements, metric + IDENTITY, "level", at)
        line(panel, x, identity, "identity", color="0.5", marker="", linestyle="--")
    x, means, spread = over_folds(measurements, metric, "level", at)
    line(panel, x, means, name, spread=spread)


def common_images(dataset: Dataset, kinds: Sequence[CommonKind], severity: int) -> Figure:
    """Draw a few images under each common corruption, below the clean ones."""
    from reprbench.plotting import image_grid

    clean = corrupted(dataset, "gaussian-noise", 0, SHOWN_IMAGES)
    rows = [clean, *(corrupted(dataset, kind, severity, SHOWN_IMAGES) for kind in kinds)]
    pixels = [images.pixels(slice(None)) / np.float32(255) for images in rows]
    return image_grid(pixels, ["clean", *kinds], title=f"Test images at severity {severity}")


def common_curves(measurements: Sequence[Measurement], kinds: Sequence[CommonKind]) -> Figure:
    """Draw the probe accuracy against the severity, a line for each common corruption."""
    from reprbench.plotting import COLORS, line, new_axes, new_figure

    figure = new_figure(4.6, max(2.6, 0.5 + 0.2 * len(kinds)))
    panel = new_axes(figure)[0, 0]
    for number, kind in enumerate(kinds):
        x, means, _ = over_folds(measurements, PROBE, "level", {"corruption": kind})
        line(panel, x, means, kind, number, linestyle="-" if number < len(COLORS) else "--")
    panel.set(xlabel="severity (0 is clean)", ylabel="Probe accuracy (%)")
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure
