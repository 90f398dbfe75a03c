"""One-vs-rest linear SVMs for all costs of a grid, trained on standardized features.

The machine is that of liblinear's `LinearSVC(loss="squared_hinge")`: ½‖w‖² + C·Σ max(0, 1 − y·f)² with f = w·x + b,
where b is the weight of a constant feature 1 and is regularized like the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprbench.errors import Diverged
from reprbench.images import Labels
from reprbench.probes.conjugate import Design, Truncated
from reprbench.probes.coordinates import Dual, Primal
from reprbench.probes.newton import minimize
from reprbench.probes.standardize import Matrix

TOLERANCE = 1e-6
"""The proven relative error of the objective at which a machine counts as solved."""

_EXACT = 1e-10  # the relative error at which a machine that is solved directly stops: a step more than for TOLERANCE
_ONE_THREAD = 2**17  # elements of a set; up to that, threads wait for one another in Python longer than they compute
_ROW_SPACE = 4000  # examples; beyond that, their Gram matrix has too many elements
_FEW_FEATURES = 3  # with so many times more examples than features the equations of the features are fewer
_DIRECT = 513  # features and bias; beyond that, with many examples, conjugate gradients are faster
_DOUBLE = 2**25  # elements; up to that, a matrix is kept in float64
_BLOCK = 2**25  # elements of what machines are solved with in memory at a time
_ARRAYS = 16  # numbers for every example of a machine
_COLUMNS = 1024  # columns of a matrix that are converted at a time
_ROWS = 256  # rows of a Gram matrix that are computed at a time


@dataclass(frozen=True)
class LinearSVMs:
    """One-vs-rest machines for every cost of a grid.

    Attributes
    ----------
    costs : tuple of float
        The grid, as given.
    weights : float64 array of shape (n_costs, K, d)
    biases : float64 array of shape (n_costs, K)
    gaps : float64 array of shape (n_costs, K)
        Proven bounds of the relative error of each objective; at most `TOLERANCE` unless float32 is too coarse.
    device : torch.device or str
        Where scores are computed.
    """

    costs: tuple[float, ...]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    gaps: NDArray[np.float64]
    device: torch.device | str = "cpu"

    def scores(self, x: Matrix) -> NDArray[np.float32]:
        """Return f for the rows of `x` (n, d), shape (n_costs, n, K).

        Raises
        ------
        Diverged
            If a score is NaN or infinite, as it is for such features.
        """
        n_costs, n_classes, width = self.weights.shape
        weights = torch.from_numpy(self.weights.reshape(-1, width)).to(self.device).float().T.contiguous()
        scores = torch.from_numpy(np.asarray(x, dtype=np.float32)).to(self.device) @ weights
        scores += torch.from_numpy(self.biases.reshape(-1)).to(self.device).float()
        if not bool(torch.isfinite(scores).all()):
            raise Diverged("the features hold NaN or infinite values")
        return scores.reshape(len(x), n_costs, n_classes).transpose(0, 1).cpu().numpy()

    def predict(self, x: Matrix) -> NDArray[np.int64]:
        """Return the class of the largest f for the rows of `x` (n, d), shape (n_costs, n)."""
        classes: NDArray[np.int64] = self.scores(x).argmax(axis=2)
        return classes

    def judged(self, x: Matrix, labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return, for every cost, how many rows of `x` are classified correctly, twice: C is chosen by accuracy."""
        right = (self.predict(x) == labels).sum(axis=1)
        return right, right.astype(np.float64)


def fit_svms(
    parts: Sequence[tuple[Matrix, Labels]],
    n_classes: int,
    costs: Sequence[float],
    *,
    device: torch.device | str = "cpu",
) -> list[LinearSVMs]:
    """Train, for each set of examples, one machine per class and cost against all other classes.

    With few features the machines are solved in these, with few examples in the dual, all sets together and in float64,
    practically exactly; otherwise one set after the other, by conjugate gradients in float32.

    Parameters
    ----------
    parts : for each set, standardized features, float (n, d), with the same d for all, and labels (n,) in
        0 … `n_classes` − 1; a class may have no example.
    costs : the values of C > 0.
    device : where to compute.
    """
    for x, labels in parts:
        _check(x, labels, n_classes, costs)
    matrices = [torch.from_numpy(np.asarray(x)).to(device) for x, _ in parts]
    signs = _signs([labels for _, labels in parts], n_classes).to(device)
    grid = sorted(set(costs))
    most, width = signs.shape[2], matrices[0].shape[1] + 1
    if most <= _ROW_SPACE and most < _FEW_FEATURES * width:
        found: Iterable[Found] = _solve_dual(matrices, signs, grid)
    elif width <= _DIRECT and most * width <= _DOUBLE:
        found = _solve_primal(matrices, signs, grid)
    else:
        found = map(_solve_large, matrices, signs, repeat(grid))
    return [_given(costs, grid, weights, gaps, device) for weights, gaps in found]


Found = tuple[Tensor, Tensor]
"""Weights with the bias last (K, costs, d + 1) and gaps (K, costs) of the machines of one set."""


def _given(
    costs: Sequence[float], grid: Sequence[float], weights: Tensor, gaps: Tensor, device: torch.device | str
) -> LinearSVMs:
    """Return machines found for an ascending grid in the order of `costs`."""
    order = [grid.index(cost) for cost in costs]
    arranged, bounds = weights.transpose(0, 1)[order].cpu().numpy(), gaps.T[order].cpu().numpy()
    return LinearSVMs(tuple(costs), arranged[..., :-1], arranged[..., -1], bounds, device)


def _signs(labels: Sequence[Labels], n_classes: int) -> Tensor:
    """Return +1 for the examples of each class, −1 for the others, 0 for padding, float64 of shape (sets, K, n)."""
    signs = torch.zeros(len(labels), n_classes, max(map(len, labels)), dtype=torch.float64)
    for target, of_set in zip(signs, labels, strict=True):
        classes = torch.arange(n_classes)[:, None]
        target[:, : len(of_set)] = 2.0 * (torch.from_numpy(np.asarray(of_set, dtype=np.int64)) == classes) - 1
    return signs


def _solve_primal(matrices: Sequence[Tensor], signs: Tensor, costs: Sequence[float]) -> Iterator[Found]:
    """Solve the machines of all sets in their weights."""
    padded = signs.new_zeros(len(signs), signs.shape[2], matrices[0].shape[1] + 1)
    for target, matrix in zip(padded, matrices, strict=True):
        target[: len(matrix), :-1], target[: len(matrix), -1] = matrix, 1
    vectors, gaps = _solve(Primal, padded, signs, costs)
    return zip(vectors, gaps, strict=True)


def _solve_dual(matrices: Sequence[Tensor], signs: Tensor, costs: Sequence[float]) -> Iterator[Found]:
    """Solve the machines of all sets in the amounts of their examples."""
    padded = signs.new_zeros(len(signs), signs.shape[2], signs.shape[2])
    for target, matrix in zip(padded, matrices, strict=True):
        target[: len(matrix), : len(matrix)] = _gram(matrix)
    vectors, gaps = _solve(Dual, padded, signs, costs)
    for number, (matrix, amounts, bounds) in enumerate(zip(matrices, vectors, gaps, strict=True)):
        if bounds.max() > TOLERANCE:
            amounts, bounds = _solve_rotated(padded[number], signs[number], costs)
        kept = amounts[..., : len(matrix)]
        parts = [kept @ columns.double() for columns in _columns(matrix)]
        yield torch.cat([*parts, kept.sum(2, keepdim=True)], 2), bounds


def _solve_rotated(gram: Tensor, signs: Tensor, costs: Sequence[float]) -> Found:
    """Return the amounts (K, costs, n) of one set's examples, and gaps, solved in the directions that the set spans.

    In many more examples than directions a large C makes amounts so large, and their sums so small, that rounding
    errors of the dual matter.
    """
    values, vectors = torch.linalg.eigh(gram)
    # The loss is below the rounding errors of the Gram matrix.
    spanned = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    values, vectors = values[spanned], vectors[:, spanned]
    found, gaps = _solve(Primal, (vectors * values.sqrt())[None], signs[None], costs)
    return found[0] @ (vectors / values.sqrt()).T, gaps[0]


def _solve(
    kind: type[Primal] | type[Dual], padded: Tensor, signs: Tensor, costs: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return the coordinates (sets, K, costs, width) and the gaps (sets, K, costs) of all machines.

    A thread has its own share of the machines: that is faster than if it has its share of every operation.
    """
    sets = [number for number in range(len(signs)) for _ in range(signs.shape[1])]
    several = signs.device.type == "cpu" and padded[0].numel() > _ONE_THREAD
    threads = torch.get_num_threads() if several else 1
    each = signs.shape[2] * _ARRAYS + padded.shape[2] ** 2 * (kind is Primal)
    count = max(1, min(-(-len(sets) // threads), _BLOCK // (threads * each)))
    shares = [slice(start, start + count) for start in range(0, len(sets), count)]

    def solve(share: slice) -> tuple[Tensor, Tensor]:
        found = minimize(kind(padded, sets[share]), signs.flatten(0, 1)[share], costs, _EXACT)
        return torch.stack([one.vectors for one in found], 1), torch.stack([one.gap for one in found], 1)

    with _one_thread(), ThreadPoolExecutor(min(threads, len(shares))) as pool:
        vectors, gaps = zip(*pool.map(solve, shares), strict=True)
    machines = signs.shape[:2]
    return torch.cat(vectors).view(*machines, len(costs), -1), torch.cat(gaps).view(*machines, len(costs))


def _solve_large(matrix: Tensor, signs: Tensor, costs: Sequence[float]) -> Found:
    """Solve the machines of one set in their weights, without ever making their equations."""
    design = Design(matrix.double() if matrix.numel() <= _DOUBLE else matrix.float(), constant=True)
    found = minimize(Truncated(design), signs[:, : len(matrix)], costs, TOLERANCE)
    return torch.stack([one.vectors for one in found], 1), torch.stack([one.gap for one in found], 1)


def _columns(matrix: Tensor) -> Iterator[Tensor]:
    for start in range(0, matrix.shape[1], _COLUMNS):
        yield matrix[:, start : start + _COLUMNS]


def _gram(matrix: Tensor) -> Tensor:
    """Return the products of all rows of [x, 1] with one another, (n, n) in float64."""
    gram = torch.ones(len(matrix), len(matrix), dtype=torch.float64, device=matrix.device)
    for columns in _columns(matrix):
        double = columns.double()
        for start in range(0, len(matrix), _ROWS):
            # The half above the diagonal is the other one's mirror image.
            rows = double[start : start + _ROWS]
            gram[start:, start : start + _ROWS].addmm_(double[start:], rows.T)
    return gram.tril() + gram.tril(-1).T


@contextmanager
def _one_thread() -> Iterator[None]:
    """Work with one thread of torch's own, which small operations would spend their time waiting for."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def _check(x: Matrix, labels: Labels, n_classes: int, costs: Sequence[float]) -> None:
    if x.ndim != 2 or len(x) == 0 or labels.shape != (len(x),):
        raise ValueError(f"expected features (n, d) and labels (n,), not {x.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels lie in 0 … {n_classes - 1}, not in {labels.min()} … {labels.max()}")
    if len(costs) == 0 or min(costs) <= 0:
        raise ValueError(f"the costs are positive numbers, not {list(costs)}")
