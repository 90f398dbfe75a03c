"""The protocol convergence: how the difference between images and their reconstructions shrinks during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from reprbench.capabilities import Reconstructs
from reprbench.errors import UserError
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Protocol, Snapshots, Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_EPOCHS = 6
SHOWN_IMAGES = 3
HALF_RANGE = 0.5
"""The histograms cover −0.5 … 0.5; values beyond are counted in the outermost bins."""
CHANNELS = {1: ("gray",), 3: ("red", "green", "blue")}
ALL = "all"
COLORS = {"gray": "#444444", "red": "#D62728", "green": "#2CA02C", "blue": "#1F77B4", ALL: "#000000"}
SPREAD, MEAN, SHARE = "spread", "|mean|", "share within tolerance"
PANELS = {
    SPREAD: "standard deviation of x − x̂",
    MEAN: "|mean of x − x̂|",
    SHARE: "share of |x − x̂| ≤ {tolerance:g} (%)",
}
"""The labels of the y axes."""

Differences = NDArray[np.float64]


class Convergence(Protocol):
    """The differences x − x̂ of a few images over the epochs of a fit, channel by channel (AME-AE, Fig. 2).

    The images are eight of those that the learner is fitted to, the same for every method on the same data. Learners
    trained by the shared loop keep their reconstructions after 0, 1, 2, 5, 10, 20, … epochs and at the end.
    """

    name = "convergence"
    version = 2
    headlines = (SHARE,)
    needs = (Reconstructs,)

    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    bins: Annotated[int, Field(ge=3, le=1001)] = 41
    epochs: tuple[NonNegativeFloat, ...] = ()
    """The recorded epochs that the figure shows; by default at most six, including the first and the last."""

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return three numbers of x − x̂ for each recorded epoch and channel, and for all channels together.

        They are the standard deviation, the absolute value of the mean, and the share within the tolerance (%).
        """
        snapshots = subject.snapshots(subject.trained)
        if snapshots is None:
            method = type(subject.learner(subject.trained)).method_name
            return Outcome(missing=f"{self.name}: the fit of {method} keeps no reconstructions as it learns")
        shown = self._shown(snapshots.epochs)
        outcome = Outcome(headlines=[Headline(SHARE, {"epoch": snapshots.epochs[-1], "channel": ALL})])
        for epoch, reconstructions in zip(snapshots.epochs, snapshots.reconstructions, strict=True):
            for channel, differences in by_channel(snapshots.originals, reconstructions).items():
                outcome.measurements += self._measure(differences, {"epoch": epoch, "channel": channel})
        at = {"channel": ALL}
        share = f"x − x̂ within ±{self.tolerance:g} (%)"
        outcome.curves = [
            Curve(SPREAD, "epoch", at, "standard deviation of x − x̂"),
            Curve(SHARE, "epoch", at, share),
        ]
        outcome.figures["figure2"] = draw_histograms(snapshots, shown, self.bins)
        outcome.figures["course"] = draw_course(outcome.measurements, self.tolerance)
        return outcome

    def _measure(self, differences: Differences, at: dict[str, Any]) -> list[Measurement]:
        within = float((np.abs(differences) <= self.tolerance).mean())
        return [
            Measurement(SPREAD, float(differences.std()), "", "lower", at),
            Measurement(MEAN, abs(float(differences.mean())), "", "lower", at),
            Measurement(SHARE, 100 * within, "%", "higher", at),
        ]

    def _shown(self, recorded: list[float]) -> list[int]:
        """Return the indices, among the recorded epochs, of those that the figure shows."""
        if unknown := sorted(set(self.epochs) - set(recorded)):
            raise UserError(
                f"{self.name}: nothing was recorded after {_listed(unknown)} epochs; "
                f"set epochs to some of {_listed(recorded)}"
            )
        if self.epochs:
            return [place for place, epoch in enumerate(recorded) if epoch in self.epochs]
        count = min(SHOWN_EPOCHS, len(recorded))
        return [round(place) for place in np.linspace(0, len(recorded) - 1, count)]


def by_channel(originals: NDArray[np.float32], reconstructions: NDArray[np.float32]) -> dict[str, Differences]:
    """Return the differences x − x̂ of images (N, C, H, W) as vectors: of each channel, by name, and of all."""
    if reconstructions.shape != originals.shape:
        raise TypeError(f"reconstruct returned {reconstructions.shape} for images of shape {originals.shape}")
    differences = originals.astype(np.float64) - reconstructions
    found = {name: differences[:, place].ravel() for place, name in enumerate(CHANNELS[originals.shape[1]])}
    return {**found, ALL: differences.ravel()}


def density(differences: Differences, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centers of the bins, and the density of the differences in each; it integrates to 1."""
    clipped = np.clip(differences, -HALF_RANGE, HALF_RANGE)
    heights, edges = np.histogram(clipped, bins, (-HALF_RANGE, HALF_RANGE), density=True)
    return (edges[:-1] + edges[1:]) / 2, heights


def draw_histograms(snapshots: Snapshots, shown: list[int], bins: int) -> Figure:
    """Return Fig. 2: some images and their reconstructions, and histograms of all differences with `bins` bins.

    `shown` holds the indices of the shown epochs in `snapshots`.
    """
    from reprbench.plotting import new_axes, new_figure

    images = min(SHOWN_IMAGES, len(snapshots.originals))
    figure = new_figure(1.15 * (len(shown) + 1) + 0.4, 1.1 * images + 1.75)
    axes = new_axes(figure, images + 1, len(shown) + 1, height_ratios=[1.0] * images + [1.35])
    figure.set_layout_engine("constrained", w_pad=0.04, h_pad=0.03, wspace=0, hspace=0)
    columns = [("original x", snapshots.originals)]
    columns += [(f"epoch {snapshots.epochs[place]:g}", snapshots.reconstructions[place]) for place in shown]
    for number, (title, column) in enumerate(columns):
        _draw_images(axes[:-1, number], title, column)
    empty, *histograms = axes[-1]
    for panel, place in zip(histograms, shown, strict=True):
        panel.sharey(histograms[0])
        _histogram(panel, by_channel(snapshots.originals, snapshots.reconstructions[place]), bins)
        panel.tick_params(labelleft=panel is histograms[0])
    histograms[0].set_ylabel("density")
    _draw_legend(empty, histograms[0], f"{len(snapshots.originals)} images")
    return figure


def _draw_images(column: NDArray[Any], title: str, images: NDArray[np.float32]) -> None:
    from reprbench.plotting import show_image

    column[0].set_title(title, fontsize=8)
    for panel, image in zip(column, images, strict=False):
        show_image(panel, image)


def _draw_legend(empty: Axes, histogram: Axes, title: str) -> None:
    """Name the lines of a histogram in a panel of their own."""
    empty.set_axis_off()
    handles, labels = histogram.get_legend_handles_labels()
    empty.legend(
        handles, labels, title=title, loc="center", fontsize=8, title_fontsize=8, frameon=False, handlelength=1.2
    )


def _histogram(axes: Axes, differences: dict[str, Differences], bins: int) -> None:
    for channel, values in differences.items():
        if channel != ALL:
            axes.plot(*density(values, bins), color=COLORS[channel], label=channel, linewidth=1.1)
    axes.set_box_aspect(1.15)
    axes.set_xlim(-HALF_RANGE, HALF_RANGE)
    axes.set_xticks([-HALF_RANGE, 0, HALF_RANGE], ["−.5", "0", ".5"])
    axes.set_xlabel("x − x̂")


def draw_course(measurements: list[Measurement], tolerance: float) -> Figure:
    """Return the three measurements against the epochs, a line per channel and, for color images, one for all."""
    from reprbench.plotting import line, new_axes, new_figure

    channels = list(dict.fromkeys(m.at["channel"] for m in measurements))
    if len(channels) == 2:
        channels.remove(ALL)  # the same as gray
    figure = new_figure(8.4, 2.6)
    for axes, (metric, label) in zip(new_axes(figure, 1, len(PANELS))[0], PANELS.items(), strict=True):
        for number, channel in enumerate(channels):
            points = [
                (m.at["epoch"], m.value) for m in measurements if (m.metric, m.at["channel"]) == (metric, channel)
            ]
            epochs, values = zip(*points, strict=True)
            line(axes, epochs, values, channel, number, color=COLORS[channel])
        axes.set_ylim(bottom=0)
        _epoch_axis(axes, list(epochs))
        axes.set_ylabel(label.format(tolerance=tolerance))
    if len(channels) > 1:
        axes.legend(fontsize=8, frameon=False)
    return figure


def _epoch_axis(axes: Axes, epochs: list[float]) -> None:
    """Put ticks at the recorded epochs; a long axis is logarithmic after epoch 1, so that it can include 0."""
    long = epochs[-1] > 10
    labels = [f"{epoch:g}" for epoch in epochs]
    if long:
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xlim(-0.2, 1.2 * epochs[-1])
        if len(epochs) > 1 and epochs[-1] < 1.8 * epochs[-2]:
            labels[-2] = ""  # the two would overlap
    axes.set_xticks(epochs, labels)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("epoch (logarithmic after 1)" if long else "epoch")


def _listed(epochs: list[float]) -> str:
    return ", ".join(f"{epoch:g}" for epoch in epochs)
