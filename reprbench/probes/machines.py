"""One-vs-rest linear SVMs for all costs of a grid, trained on standardized features.

The machine is that of liblinear's `LinearSVC(loss="squared_hinge")`: ½‖w‖² + C·Σ max(0, 1 − y·f)² with f = w·x + b,
where b is the weight of a constant feature 1 and is regularized like the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprbench.errors import Diverged
from reprbench.images import Labels
from reprbench.probes.newton import Design, Problem, Solution, Spectrum, leading_spectrum, minimize
from reprbench.probes.standardize import Matrix

TOLERANCE = 1e-6
"""The proven relative error of the objective at which a machine counts as solved."""

_COLUMNS = 1024  # columns of a matrix that are converted at a time
_ROW_SPACE = 4000  # examples; beyond that, the eigenvectors of their Gram matrix cost more than they save
_ONE_THREAD = 2**21  # elements; up to that, a second thread gains little and may lose much
_DOUBLE = 2**24  # elements; up to that, a matrix is also kept in float64


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
    """

    costs: tuple[float, ...]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    gaps: NDArray[np.float64]

    def scores(self, x: Matrix) -> NDArray[np.float32]:
        """Return f for the rows of `x` (n, d), shape (n_costs, n, K).

        Raises
        ------
        Diverged
            If a score is NaN or infinite, as it is for such features.
        """
        n_costs, n_classes, width = self.weights.shape
        weights = torch.from_numpy(self.weights.reshape(-1, width)).float().T.contiguous()
        scores = torch.from_numpy(np.asarray(x, dtype=np.float32)) @ weights
        scores += torch.from_numpy(self.biases.reshape(-1)).float()
        if not bool(torch.isfinite(scores).all()):
            raise Diverged("the features hold NaN or infinite values")
        return scores.reshape(len(x), n_costs, n_classes).transpose(0, 1).numpy()

    def predict(self, x: Matrix) -> NDArray[np.int64]:
        """Return the class of the largest f for the rows of `x` (n, d), shape (n_costs, n)."""
        classes: NDArray[np.int64] = self.scores(x).argmax(axis=2)
        return classes


def fit_svm(
    x: Matrix, labels: Labels, n_classes: int, costs: Sequence[float], *, device: torch.device | str = "cpu"
) -> LinearSVMs:
    """Train one machine per class and cost, each against all other classes.

    With at most 4000 examples and no fewer features, the features are rotated once onto the eigenvectors of the
    examples' Gram matrix; a larger matrix is not rotated, and used in float32. The costs are solved in ascending order,
    each from the solution of the one before: half the work of solving them independently.

    Parameters
    ----------
    x : standardized features, float (n, d).
    labels : shape (n,), in 0 … `n_classes` − 1; a class may have no example.
    costs : the values of C > 0.
    device : where to compute.
    """
    _check(x, labels, n_classes, costs)
    matrix = torch.from_numpy(np.asarray(x)).to(device)
    rotated = len(x) <= min(x.shape[1], _ROW_SPACE)
    design, spectrum, back = _rotate(matrix) if rotated else _keep(matrix)
    solutions = _solve(design, spectrum, _signs(labels, n_classes).to(device), sorted(set(costs)))
    weights = torch.stack([solutions[cost].weights for cost in costs])
    features, biases = _unrotate(weights, matrix, back) if back is not None else (weights[..., :-1], weights[..., -1])
    gaps = torch.stack([solutions[cost].gap for cost in costs])
    return LinearSVMs(tuple(costs), features.cpu().numpy(), biases.cpu().numpy(), gaps.cpu().numpy())


def _signs(labels: Labels, n_classes: int) -> Tensor:
    """Return +1 for the examples of each class and −1 for the others, float64 of shape (K, n)."""
    classes = torch.arange(n_classes)[:, None]
    return (2.0 * (torch.from_numpy(np.asarray(labels, dtype=np.int64)) == classes) - 1).double()


def _solve(design: Design, spectrum: Spectrum, signs: Tensor, costs: Sequence[float]) -> dict[float, Solution]:
    """Return the machines of each of the ascending costs, in rotated coordinates if the design is rotated."""
    weights = signs.new_zeros(len(signs), design.width)
    solutions: dict[float, Solution] = {}
    with _threads_for(design.matrix):
        for cost in costs:
            solutions[cost] = minimize(Problem(design, signs, cost), weights, spectrum, TOLERANCE)
            weights = solutions[cost].weights
    return solutions


def _rotate(matrix: Tensor) -> tuple[Design, Spectrum, Tensor | None]:
    """Rotate [x, 1] (n, d + 1) to r ≤ n coordinates; also return B (n, r) with weights = [x, 1]ᵀ·B·rotated weights."""
    gram = _gram(matrix)
    with _threads_for(gram):
        values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)
    # The loss is below the rounding errors of the Gram matrix.
    rank = int((values > values[0] * len(values) * torch.finfo(torch.float64).eps).sum())
    values, vectors = values[:rank], vectors[:, :rank]
    return Design(vectors * values.sqrt(), gram=gram), Spectrum(values), vectors / values.sqrt()


def _unrotate(weights: Tensor, matrix: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights (n_costs, K, d) and biases (n_costs, K) of rotated weights (n_costs, K, r)."""
    amounts = weights @ back.T
    return torch.cat([amounts @ columns.double() for columns in _columns(matrix)], -1), amounts.sum(-1)


def _columns(matrix: Tensor) -> Iterator[Tensor]:
    for start in range(0, matrix.shape[1], _COLUMNS):
        yield matrix[:, start : start + _COLUMNS]


def _keep(matrix: Tensor) -> tuple[Design, Spectrum, Tensor | None]:
    """Return the features, not rotated, and the leading part of their spectrum."""
    gram = _gram(matrix) if len(matrix) <= _ROW_SPACE else None
    design = Design(matrix.double() if matrix.numel() <= _DOUBLE else matrix.float(), constant=True, gram=gram)
    return design, leading_spectrum(design), None


def _gram(matrix: Tensor) -> Tensor:
    """Return the products of all rows of [x, 1] with one another, (n, n) in float64."""
    gram = torch.ones(len(matrix), len(matrix), dtype=torch.float64, device=matrix.device)
    for columns in _columns(matrix):
        double = columns.double()
        gram.addmm_(double, double.T)
    return gram


@contextmanager
def _threads_for(matrix: Tensor) -> Iterator[None]:
    """Work on a small matrix with one thread.

    Newton's method computes thousands of products that take less than a millisecond. A second thread saves a quarter of
    the time; if another process uses its core, waiting for it at the end of every product takes ten times as long.
    """
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if matrix.numel() <= _ONE_THREAD else threads)
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
