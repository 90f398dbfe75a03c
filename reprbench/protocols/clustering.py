"""k-means on the codes of the test images, and how well its clusters agree with the classes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from reprbench.features import Matrix
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.codes import CodeProtocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.probes.clusters import Agreement

NAMED_CLASSES, NUMBERED_CLASSES = 20, 12
"""The most classes of which the figure shows names, and numbers."""


class Clustering(CodeProtocol):
    """k-means with as many clusters as classes on the codes of the test images; labels only judge the clusters.

    The clusters are those of the whole test split: like all protocols it judges images that the learner has not seen,
    and no label or training image takes part. Features are not standardized: their scales matter, though neither
    scaling all of them nor permuting them does. k-means (scikit-learn: Lloyd's algorithm from k-means++) is run several
    times with other seeds, each of which keeps the best of `n_init` starts.

    Metrics, each at {"run"}; tables show the mean over runs
    --------------------------------------------------------
    accuracy (%) : after the one-to-one matching of clusters and classes that makes it largest (H. Kuhn, "The Hungarian
        method for the assignment problem", 1955).
    NMI : mutual information, normalized by the arithmetic mean of both entropies, in [0, 1].
    ARI : Rand index, adjusted for chance (L. Hubert, P. Arabie, "Comparing partitions", 1985): 0 by chance, at most 1.

    Parameters
    ----------
    layers, pooling, grid : how maps are made into codes, as in `View`.
    metric : "cosine" divides codes by their length first.
    runs : how many seeds of k-means.
    n_init : starts of each.
    """

    name = "clustering"
    version = 1
    headlines = ("accuracy", "NMI", "ARI")

    metric: Literal["euclidean", "cosine"] = "euclidean"
    runs: PositiveInt = 5
    n_init: PositiveInt = 5

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return how well the clusters of every run agree with the classes; draw the first."""
        dataset = subject.dataset
        if len(dataset.test) < len(dataset.classes):
            return Outcome(missing=f"{self.name} needs a test image for each of {len(dataset.classes)} classes")
        (wanted,) = self.reads(dataset, subject.supervised)
        codes = self._codes(subject.features(wanted))
        if np.array_equal(codes.min(axis=0), codes.max(axis=0)):
            return Outcome(missing=f"{self.name}: all images have the same code")
        found = self._agreements(subject, codes, seed)
        outcome = Outcome([one for run, agreed in enumerate(found) for one in _measurements(agreed, {"run": run})])
        outcome.figures["confusion"] = confusion_figure(found[0].confusion, dataset.classes)
        return outcome

    def _codes(self, features: Matrix) -> NDArray[np.float32]:
        codes = np.array(features, dtype=np.float32)
        if self.metric == "cosine":
            codes /= np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return codes

    def _agreements(self, subject: Subject, codes: NDArray[np.float32], seed: int) -> list[Agreement]:
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        from reprbench.probes.clusters import agreement, cluster

        seeds = subject.generator(f"{self.name}/k-means", seed).integers(2**31, size=self.runs)
        labels, count = subject.dataset.test_labels, len(subject.dataset.classes)
        found = []
        # One thread: sums in another order would give other bits.
        with threadpool_limits(1), warnings.catch_warnings():
            # There may be fewer distinct codes than clusters, some of which are empty then.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for run, one in enumerate(seeds.tolist()):
                subject.progress(self.name, run / self.runs)
                found.append(agreement(cluster(codes, count, one, self.n_init), labels, count))
        return found


def _measurements(agreed: Agreement, at: dict[str, Any]) -> list[Measurement]:
    return [
        Measurement("accuracy", 100 * agreed.accuracy, "%", "higher", at),
        Measurement("NMI", agreed.mutual_information, "", "higher", at),
        Measurement("ARI", agreed.rand_index, "", "higher", at),
    ]


def confusion_figure(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> Figure:
    """Draw the share of each class (row) in the cluster that is matched to a class (column)."""
    from reprbench.plotting import new_axes, new_figure

    count = len(classes)
    shares = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = min(6.0, 2.2 + 0.28 * count)
    figure = new_figure(side + 0.7, side)
    axes = new_axes(figure)[0, 0]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.grid(False)
    axes.set(xlabel="matched cluster", ylabel="class")
    if count <= NAMED_CLASSES:
        axes.set_xticks(range(count), classes, rotation=90)
        axes.set_yticks(range(count), classes)
    for row, column in np.ndindex(confusion.shape) if count <= NUMBERED_CLASSES else ():
        color = "white" if shares[row, column] > 55 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=6, color=color)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of the class (%)", size=9)
    return figure
