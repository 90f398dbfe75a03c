"""What the codes of a learner look like, layer by layer: how many directions and units they use, and how sparsely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reprbench.features import Matrix, View, checked
from reprbench.probes.standardize import row_blocks
from reprbench.protocols.base import Curve, Features, Headline, Measurement, Outcome, Protocol, Subject, first_fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.data.dataset import Dataset

MOST_UNITS = 4096
"""Of a wider layer so many random units stand for all in the effective rank: a covariance of 128 MB in float64, whose
eigenvalues take some ten seconds."""
DEAD = 1e-5
"""A unit whose values differ by no more than this share of its largest magnitude is constant: in float32, means over
the positions of a map are equal up to some 1e-6 only."""


@dataclass(frozen=True)
class LayerStats:
    """The statistics of one layer.

    Attributes
    ----------
    units : columns of its matrix.
    dead : how many of them are constant over all images.
    ranked : of how many the effective rank is; fewer than `units` in a layer of more than `MOST_UNITS`.
    effective_rank : in [1, ranked]; 0 if all those units are constant.
    lifetime_sparsity : in [0, 1]; None with fewer than two images or without a live unit.
    population_sparsity : in [0, 1]; None with fewer than two live units, or if these are 0 for every image.
    """

    units: int
    dead: int
    ranked: int
    effective_rank: float
    lifetime_sparsity: float | None
    population_sparsity: float | None


class CodeStats(Protocol):
    """Statistics of the code of every layer on the test images; neither way is better, and no label is read.

    A unit is a channel of a map, its value the mean over all positions, or an entry of a vector.

    Metrics, each at {"layer", "depth"}
    -----------------------------------
    effective rank : of the centered matrix of images × units (O. Roy, M. Vetterli, "The effective rank", 2007): the
        exponential of the entropy of its singular values, not their squares, divided by their sum. Of a layer of more
        than 4096 units, 4096 random ones stand for all, the same for every method and seed.
    units : how many.
    dead units (%) : those that are constant over all test images.
    lifetime sparsity, population sparsity : S = (1 − (E|a|)²/E[a²]) / (1 − 1/n) in [0, 1] (E. Rolls, M. Tovee 1995; W.
        Vinje, J. Gallant 2000), with magnitudes, as values may be negative: over the n images for every live unit,
        then the mean over units; over the n live units for every image, then the mean over images. Images for which
        all live units are 0 say nothing about the latter and are left out.
    """

    name = "code-stats"
    version = 1
    headlines = ("effective rank",)

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the means of all channels on the whole test split."""
        trained = first_fit(dataset, supervised)
        rows = np.arange(len(dataset.test), dtype=np.int64)
        return [Features(trained, "test", rows, View(layers="all", pooling="mean", grid=1))]

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the statistics of every layer, from the input to the code."""
        (wanted,) = self.reads(subject.dataset, subject.supervised)
        widths = _widths(subject, wanted.view)
        features = subject.features(wanted)
        found: list[LayerStats] = []
        for number, (width, end) in enumerate(zip(widths.values(), np.cumsum([*widths.values()]), strict=True)):
            subject.progress(self.name, number / len(widths))
            found.append(layer_stats(features[:, end - width : end]))
        names = list(widths)
        places = [{"layer": name, "depth": depth} for depth, name in enumerate(names, start=1)]
        outcome = Outcome(
            headlines=[Headline("effective rank", {"layer": names[-1]})],
            figures={"layers": layers_figure(names, found)},
        )
        for stats, at in zip(found, places, strict=True):
            outcome.measurements += _measurements(stats, at)
            if stats.ranked < stats.units:
                outcome.warnings.append(
                    f"the effective rank of layer {at['layer']} is that of {stats.ranked} of its {stats.units} units"
                )
        silent = [name for name, stats in zip(names, found, strict=True) if stats.dead == stats.units]
        if silent:
            outcome.warnings.append(f"all units are dead in {', '.join(silent)}")
        if len(names) > 1:
            measured = {m.metric for m in outcome.measurements}
            outcome.curves = [Curve(metric, "depth", x_label="layer") for metric in sorted(measured - {"units"})]
        return outcome


def _widths(subject: Subject, view: View) -> dict[str, int]:
    """Return how many columns each layer has in `view`, by encoding one test image."""
    from reprbench.state import evaluating

    learner = subject.learner(subject.trained)
    with evaluating(learner):
        maps = checked(learner.encode(subject.dataset.test.batch(slice(0, 1), subject.device)), 1)
        return {name: view.matrix({name: layer}).shape[1] for name, layer in maps.items()}


def _measurements(stats: LayerStats, at: dict[str, Any]) -> list[Measurement]:
    found = [
        Measurement("effective rank", stats.effective_rank, at=at),
        Measurement("units", stats.units, at=at),
        Measurement("dead units", 100 * stats.dead / stats.units, "%", at=at),
    ]
    if stats.lifetime_sparsity is not None:
        found.append(Measurement("lifetime sparsity", stats.lifetime_sparsity, at=at))
    if stats.population_sparsity is not None:
        found.append(Measurement("population sparsity", stats.population_sparsity, at=at))
    return found


def layer_stats(codes: Matrix) -> LayerStats:
    """Return the statistics of the codes (images, units), which are read three times, block by block."""
    images, units = codes.shape
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    magnitudes, squares = np.zeros(units), np.zeros(units)
    for _, values in row_blocks(codes):
        block = values.astype(np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        magnitudes += np.abs(block).sum(axis=0)
        squares += np.square(block).sum(axis=0)
    live = high - low > DEAD * np.maximum(np.abs(low), np.abs(high))
    lifetime = None
    if images > 1 and live.any():
        lifetime = float(_sparsity(magnitudes[live], squares[live], images).mean())
    ranked = _ranked(units)
    return LayerStats(
        units=units,
        dead=int(units - live.sum()),
        ranked=units if ranked is None else len(ranked),
        effective_rank=effective_rank(codes, np.flatnonzero(live) if ranked is None else ranked[live[ranked]]),
        lifetime_sparsity=lifetime,
        population_sparsity=_population_sparsity(codes, live),
    )


def _ranked(units: int) -> NDArray[np.int64] | None:
    """Return the units that stand for all of a layer's in its effective rank; None for every one."""
    from reprbench.data.folds import named_generator, random_rows

    if units <= MOST_UNITS:
        return None
    return random_rows(units, MOST_UNITS, named_generator("code-stats units"))


def effective_rank(codes: Matrix, columns: NDArray[np.int64]) -> float:
    """Return the effective rank of `columns` of the codes (n, D), centered; 0 if there are none.

    The singular values are the roots of the eigenvalues of the covariance, in float64.
    """
    from scipy.linalg import eigvalsh

    if len(columns) == 0:
        return 0.0
    mean = np.zeros(len(columns))
    for _, values in row_blocks(codes):
        mean += values[:, columns].sum(axis=0, dtype=np.float64)
    mean /= len(codes)
    covariance = np.zeros((len(columns), len(columns)))
    for _, values in row_blocks(codes):
        centered = values[:, columns] - mean
        covariance += centered.T @ centered
    eigenvalues = eigvalsh(covariance, overwrite_a=True, check_finite=False)
    # What rounding leaves of eigenvalues that are 0; their roots would add up.
    kept = eigenvalues[eigenvalues > eigenvalues.max() * len(columns) * np.finfo(np.float64).eps]
    shares = np.sqrt(kept) / np.sqrt(kept).sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _population_sparsity(codes: Matrix, live: NDArray[np.bool_]) -> float | None:
    count = int(live.sum())
    if count < 2:
        return None
    found = []
    for _, values in row_blocks(codes):
        block = values[:, live].astype(np.float64)
        magnitudes, squares = np.abs(block).sum(axis=1), np.square(block).sum(axis=1)
        active = squares > 0
        found.append(_sparsity(magnitudes[active], squares[active], count))
    sparsities = np.concatenate(found)
    return float(sparsities.mean()) if len(sparsities) else None


def _sparsity(magnitudes: NDArray[np.float64], squares: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return S of each from the sums of |a| and a² over `count` values, of which one at least is not 0."""
    activity = np.square(magnitudes / count) / (squares / count)
    # Rounding alone leads out of [0, 1].
    return np.clip((1 - activity) / (1 - 1 / count), 0, 1)


def layers_figure(names: Sequence[str], found: Sequence[LayerStats]) -> Figure:
    """Return four small panels against the layers: rank and dead units as shares, and both sparsities."""
    from reprbench.plotting import COLORS, line, new_axes, new_figure

    panels: list[tuple[str, list[float | None]]] = [
        ("effective rank (% of units)", [100 * stats.effective_rank / stats.ranked for stats in found]),
        ("dead units (%)", [100 * stats.dead / stats.units for stats in found]),
        ("lifetime sparsity", [stats.lifetime_sparsity for stats in found]),
        ("population sparsity", [stats.population_sparsity for stats in found]),
    ]
    # Names of layers stand upright below the panels; about 0.065 inches a letter.
    figure = new_figure(max(4.6, 0.7 + 0.42 * len(names)), 3.4 + 0.065 * max(map(len, names)))
    axes = new_axes(figure, 2, 2, sharex=True)
    places = range(len(names))
    for number, (panel, (label, values)) in enumerate(zip(axes.flat, panels, strict=True)):
        known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
        x, y = [place for place, _ in known], [value for _, value in known]
        if len(names) == 1:
            panel.bar(x, y, width=0.4, color=COLORS[number])
        else:
            line(panel, x, y, label, number)
        top = 100 if "%" in label else 1
        panel.set_title(label, fontsize=9)
        panel.set(ylim=(-0.04 * top, 1.04 * top), xlim=(-0.5, len(names) - 0.5))
        panel.set_xticks(places, names, rotation=90 if len(names) > 1 else 0)
        panel.grid(False, axis="x")
    return figure
