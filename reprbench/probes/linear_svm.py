"""A fold's linear classifier: C chosen by cross-validation inside the fold, applied to any number of test matrices.

The classifier is the linear SVM, or another whose `fit` is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reprbench.errors import UserError
from reprbench.images import Indices, Labels
from reprbench.probes.machines import LinearSVMs, fit_svms
from reprbench.probes.standardize import Matrix, Scale, Standardizer, row_blocks, standardize

if TYPE_CHECKING:
    import torch


_TOGETHER = 2**23  # elements of the features of inner folds that are trained together


class Machines(Protocol):
    """Classifiers of one set of examples, for every cost of a grid."""

    @property
    def costs(self) -> tuple[float, ...]:
        """The grid, as given."""

    def judged(self, x: Matrix, labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return how many rows of standardized `x` are classified correctly, and what the best cost has most of.

        Both are sums over rows, one for every cost.
        """


M = TypeVar("M", bound=Machines)
Trained = TypeVar("Trained", bound=Machines, covariant=True)


class Fit(Protocol[Trained]):
    """A function that trains machines on each of several sets of standardized examples, as `fit_svms` does."""

    def __call__(
        self,
        parts: Sequence[tuple[Matrix, Labels]],
        n_classes: int,
        costs: Sequence[float],
        *,
        device: torch.device | str,
    ) -> Sequence[Trained]:
        """Return the machines of each set."""


@dataclass(frozen=True)
class CostChoice:
    """The cost that cross-validation chose.

    Attributes
    ----------
    cost : float
        The smallest, i.e. most regularized, of the best: those with the highest accuracy, or what else the machines
        are judged by.
    accuracies : tuple of float
        The cross-validated accuracy of every cost, in [0, 1], in the order of the grid; empty for a single cost.
    at_edge : "lower", "upper" or None
        Whether `cost` is the smallest or the largest of several, so that a better one may lie outside the grid.
    """

    cost: float
    accuracies: tuple[float, ...]
    at_edge: Literal["lower", "upper"] | None


def select_cost(
    x: Matrix,
    labels: Labels,
    n_classes: int,
    costs: Sequence[float],
    *,
    inner_folds: int = 5,
    generator: np.random.Generator,
    device: torch.device | str = "cpu",
    scale: Scale = "feature",
    fit: Fit[Machines] = fit_svms,
) -> CostChoice:
    """Choose C by stratified cross-validation on the rows of `x` (n, d), which are not standardized yet.

    Standardization, too, is fitted only on the training part of each inner fold. An accuracy is the share of all rows
    that were classified correctly when held out, so that ties are exact. A single cost needs no cross-validation.

    Raises
    ------
    UserError
        If there are fewer rows than inner folds.
    """
    if len(costs) == 1:
        return CostChoice(costs[0], (), None)
    if len(x) < inner_folds:
        raise UserError(f"{inner_folds} inner folds need as many labeled images, not {len(x)}; set inner_folds lower")
    right, worth = np.zeros(len(costs), dtype=np.int64), np.zeros(len(costs))
    divisions = list(_divisions(labels, inner_folds, generator))
    # Small inner folds are trained together: operations on all of them take little longer than on one.
    together = max(1, _TOGETHER // x.size)
    for start in range(0, inner_folds, together):
        some = divisions[start : start + together]
        trained = _fit_raw(x, labels, [rows for rows, _ in some], n_classes, costs, device, scale, fit)
        for (machines, standardizer), (_, held_out) in zip(trained, some, strict=True):
            counted, found = _judged(machines, standardizer, x, labels, held_out)
            right, worth = right + counted, worth + found
    best = min(cost for cost, one in zip(costs, worth, strict=True) if one == worth.max())
    return CostChoice(best, tuple((right / len(x)).tolist()), _edge(best, costs))


def _edge(cost: float, costs: Sequence[float]) -> Literal["lower", "upper"] | None:
    """Return at which end of a grid of several costs `cost` lies."""
    edges: dict[float, Literal["lower", "upper"]] = {min(costs): "lower", max(costs): "upper"}
    return edges.get(cost) if len(edges) > 1 else None


@dataclass(frozen=True)
class TrainedFold(Generic[M]):
    """A classifier trained on a fold; it can be applied to any number of test matrices.

    Attributes
    ----------
    choice : CostChoice
        The cost it was trained with, and how that was chosen.
    machines : such as LinearSVMs
        For that cost alone.
    standardizer : Standardizer
        Fitted to the fold.
    """

    choice: CostChoice
    machines: M
    standardizer: Standardizer

    def count_right(self, x: Matrix, labels: Labels) -> int:
        """Return how many rows of `x` (m, d), not standardized, are classified correctly.

        Raises
        ------
        Diverged
            If features are NaN or infinite.
        """
        return int(_judged(self.machines, self.standardizer, x, labels)[0][0])

    def accuracy(self, x: Matrix, labels: Labels) -> float:
        """Return the share of the rows of `x` (m, d), read in blocks, that are classified correctly, in [0, 1]."""
        return self.count_right(x, labels) / len(x)


FoldClassifier = TrainedFold[LinearSVMs]


def train_with(
    fit: Fit[M],
    x: Matrix,
    labels: Labels,
    n_classes: int,
    costs: Sequence[float],
    generator: np.random.Generator,
    *,
    inner_folds: int = 5,
    device: torch.device | str = "cpu",
    scale: Scale = "feature",
) -> TrainedFold[M]:
    """Choose C within the fold and train machines with it on the whole fold.

    `fit` trains machines, `x` holds features (n, d), not standardized, `labels` (n,) are in 0 … `n_classes` − 1,
    `costs` is the grid of C, `generator` draws the inner folds, and `scale` is that of `standardize`.

    Raises
    ------
    Diverged
        If features are NaN or infinite.
    """
    choice = select_cost(
        x, labels, n_classes, costs, inner_folds=inner_folds, generator=generator, device=device, scale=scale, fit=fit
    )
    return TrainedFold(choice, *_fit_raw(x, labels, [None], n_classes, [choice.cost], device, scale, fit)[0])


train_fold = partial(train_with, fit_svms)
"""Choose C within the fold and train a linear SVM with it on the whole fold; see `train_with`."""


def _fit_raw(
    x: Matrix,
    labels: Labels,
    sets: Sequence[Indices | None],
    n_classes: int,
    costs: Sequence[float],
    device: torch.device | str,
    scale: Scale,
    fit: Fit[M],
) -> list[tuple[M, Standardizer]]:
    """Train on each set of rows, None for all; only the standardized rows are in memory, no copy of `x`."""
    standardizers = [standardize(x, rows, scale) for rows in sets]
    parts = [
        (standardizer.apply(x, rows), labels if rows is None else labels[rows])
        for standardizer, rows in zip(standardizers, sets, strict=True)
    ]
    return list(zip(fit(parts, n_classes, costs, device=device), standardizers, strict=True))


def _judged(
    machines: Machines, standardizer: Standardizer, x: Matrix, labels: Labels, rows: Indices | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what `Machines.judged` does of `rows`, all by default, which are not standardized, read in blocks."""
    right, worth = np.zeros(len(machines.costs), dtype=np.int64), np.zeros(len(machines.costs))
    chosen = labels if rows is None else labels[rows]
    for block, values in row_blocks(x, rows):
        counted, found = machines.judged(standardizer.apply(values), chosen[block])
        right, worth = right + counted, worth + found
    return right, worth


def _divisions(labels: Labels, n_folds: int, generator: np.random.Generator) -> Iterator[tuple[Indices, Indices]]:
    """Yield, for each fold, the rows to train on and the held-out rows."""
    fold_of = _stratify(labels, n_folds, generator)
    for fold in range(n_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _stratify(labels: Labels, n_folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each row: sizes, also within each class, differ by at most one example."""
    order = np.lexsort((generator.permutation(len(labels)), labels))
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds
