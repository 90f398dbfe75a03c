"""Multinomial logistic regression for all costs of a grid, trained on standardized features.

The classifier is that of scikit-learn's `LogisticRegression`: the weights W (K, d) and biases b (K,) minimize
P = ½‖W‖² + C·Σ −log p_y, where p = softmax(W·x + b); biases are not regularized.

The features are rotated to the axes of their second moments, at most n of them, which changes no ‖W‖ and no W·x. L-BFGS
(J. Nocedal, 1980; SciPy's) minimizes in coordinates scaled by the roots of the Hessian's diagonal where it starts, the
minimum of the cost before: along these axes most of the Hessian is its diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import Tensor

from reprbench.errors import Diverged
from reprbench.images import Labels
from reprbench.probes.standardize import Matrix

Vector = NDArray[np.float64]

MOST_STEPS = 2000
"""Of L-BFGS, for one cost; a minimum that is not reached by then is reported."""
_EXACT, _COARSE = (1e-8, 1e-13), (1e-6, 1e-9)  # largest slope and least fall at the end, in units of P at the start
_LEAST = 1e-3  # of a curvature, in units of the second moment: where classes are certain there is nearly none
_FALLEN = 0.1  # a P that is a smaller share of what it was at the start ends too early
_MEMORY = 20  # steps that L-BFGS remembers
_DOUBLE = 2**25  # elements; up to that, a matrix is kept in float64
_MOST_AXES = 4096  # of a rotation; with more, features keep their own axes
_BLOCK = 1024  # columns of a matrix that are converted at a time


@dataclass(frozen=True)
class Logistic:
    """Logistic regressions of one set of examples, for every cost of a grid.

    Attributes
    ----------
    costs : tuple of float
        The grid, as given.
    weights : float64 array of shape (n_costs, K, d)
    biases : float64 array of shape (n_costs, K)
    converged : tuple of bool
        Whether the minimum was reached, for every cost.
    device : torch.device or str
        Where logits are computed.
    """

    costs: tuple[float, ...]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    converged: tuple[bool, ...]
    device: torch.device | str = "cpu"

    def logits(self, x: Matrix) -> NDArray[np.float32]:
        """Return W·x + b for the rows of `x` (n, d), shape (n_costs, n, K).

        Raises
        ------
        Diverged
            If one is NaN or infinite, as it is for such features.
        """
        weights = torch.from_numpy(self.weights).to(self.device).float()
        biases = torch.from_numpy(self.biases).to(self.device).float()
        rows = torch.from_numpy(np.asarray(x, dtype=np.float32)).to(self.device)
        logits = rows @ weights.mT + biases[:, None]
        if not bool(torch.isfinite(logits).all()):
            raise Diverged("the features hold NaN or infinite values")
        return logits.cpu().numpy()

    def predict(self, x: Matrix) -> NDArray[np.int64]:
        """Return the most probable class of the rows of `x` (n, d), shape (n_costs, n)."""
        classes: NDArray[np.int64] = self.logits(x).argmax(axis=2)
        return classes

    def judged(self, x: Matrix, labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return, for every cost, how many rows of `x` are classified correctly, and their log likelihood in nats."""
        logits = self.logits(x)
        likelihoods = log_softmax(logits.astype(np.float64), axis=2)[:, np.arange(len(labels)), labels]
        return (logits.argmax(axis=2) == labels).sum(axis=1), likelihoods.sum(axis=1)


def fit_logistics(
    parts: Sequence[tuple[Matrix, Labels]],
    n_classes: int,
    costs: Sequence[float],
    *,
    device: torch.device | str = "cpu",
) -> list[Logistic]:
    """Train logistic regressions on each set of examples.

    Parameters
    ----------
    parts : for each set, standardized features, float (n, d), and labels (n,) in 0 … `n_classes` − 1; a class may have
        no example.
    costs : the values of C > 0.
    device : where to compute.
    """
    return [_fit(torch.from_numpy(np.asarray(x)).to(device), labels, n_classes, costs) for x, labels in parts]


def _fit(x: Tensor, labels: Labels, n_classes: int, costs: Sequence[float]) -> Logistic:
    """Train for ascending costs, each from the minimum before."""
    axes = _axes(x)
    problem = _Problem(x if axes is None else _rotated(x, axes), labels, n_classes)
    found: dict[float, tuple[Vector, Vector, bool]] = {}
    parameters = np.zeros((n_classes, problem.z.shape[1] + 1))
    for cost in sorted(set(costs)):
        parameters, reached = problem.minimum(cost, parameters)
        weights = torch.from_numpy(parameters[:, :-1]).to(x.device)
        rotated_back = weights if axes is None else weights @ axes.T
        found[cost] = rotated_back.cpu().numpy(), parameters[:, -1], reached
    weights_at, biases, converged = zip(*(found[cost] for cost in costs), strict=True)
    return Logistic(tuple(costs), np.stack(weights_at), np.stack(biases), converged, x.device)


class _Problem:
    """The minimization of P, in rotated features z (n, r), for one cost after another."""

    def __init__(self, z: Tensor, labels: Labels, n_classes: int) -> None:
        self.z = z.double() if z.numel() <= _DOUBLE else z.float()
        self._labels = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(z.device)
        self._targets = torch.nn.functional.one_hot(self._labels, n_classes).to(self.z.dtype)
        self._squares = self.z.square()
        # The last column is that of the biases: a feature 1, not regularized.
        self._moments = np.append(self._squares.sum(0, dtype=torch.float64).cpu().numpy(), len(z))
        self._ridge = np.append(np.ones(z.shape[1]), 0.0)

    def minimum(self, cost: float, start: Vector) -> tuple[Vector, bool]:
        """Return [W, b] (K, r + 1) at the minimum, and whether it was reached, from those at `start`."""
        while True:
            unit = self._value(start, cost)[0]
            if unit == 0:  # there is only one class
                return start, True
            start, fallen, reached = self._descended(cost, start, unit)
            # How exact the end is depends on the unit: if that was much too large, the search goes on in a smaller one.
            if fallen > _FALLEN or not reached:
                return start, reached

    def _descended(self, cost: float, start: Vector, unit: float) -> tuple[Vector, float, bool]:
        """Return [W, b] where L-BFGS ends, P there in units of `unit`, and whether that is a minimum."""
        scale = np.sqrt(self._ridge + cost * self._curvature(start))

        def value(scaled: Vector) -> tuple[float, Vector]:
            found, gradient = self._value(scaled.reshape(start.shape) / scale, cost)
            return found / unit, (gradient / scale).ravel() / unit

        slope, fall = _EXACT if self.z.dtype == torch.float64 else _COARSE
        options = {"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "maxcor": _MEMORY, "gtol": slope, "ftol": fall}
        found = minimize(value, (start * scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        # Where rounding stops the search on a line, the minimum is as near as can be told.
        reached = bool(found.success) or float(np.abs(found.jac).max()) <= 100 * slope
        return found.x.reshape(start.shape) / scale, float(found.fun), reached

    def _value(self, parameters: Vector, cost: float) -> tuple[float, Vector]:
        """Return P and its gradient."""
        loss, slope = self._loss(parameters)
        penalized = parameters * self._ridge
        return float(np.square(penalized).sum() / 2 + cost * loss), penalized + cost * slope

    def _logits(self, parameters: Vector) -> Tensor:
        both = torch.from_numpy(parameters).to(self.z.device, self.z.dtype)
        return torch.addmm(both[:, -1], self.z, both[:, :-1].T)

    def _loss(self, parameters: Vector) -> tuple[float, Vector]:
        """Return Σ −log p_y, and its gradient, for [W, b]."""
        logs = self._logits(parameters).log_softmax(1)
        loss = -logs.gather(1, self._labels[:, None]).sum(dtype=torch.float64)
        excess = logs.exp_() - self._targets
        slope = torch.cat([excess.T @ self.z, excess.sum(0)[:, None]], 1)
        return float(loss), slope.double().cpu().numpy()

    def _curvature(self, parameters: Vector) -> Vector:
        """Return the diagonal of the Hessian of Σ −log p_y (K, r + 1), but at least a small number."""
        shares = self._logits(parameters).softmax(1)
        spread = shares * (1 - shares)
        diagonal = torch.cat([spread.T @ self._squares, spread.sum(0)[:, None]], 1).double().cpu().numpy()
        curvature: Vector = np.maximum(diagonal, _LEAST * self._moments)
        return curvature


def _axes(x: Tensor) -> Tensor | None:
    """Return orthonormal axes (d, r), in float64, that span the rows of `x` (n, d); None if they would be too many."""
    count, width = x.shape
    if min(count, width) > _MOST_AXES:
        return None
    if width <= count:
        axes: Tensor = torch.linalg.eigh(_products(x.T))[1]
        return axes
    values, vectors = torch.linalg.eigh(_products(x))
    spanned = values > values[-1].clamp(min=0) * count * torch.finfo(torch.float64).eps
    scaled = vectors[:, spanned] / values[spanned].sqrt()
    return torch.cat([block.double().T @ scaled for block in torch.split(x, _BLOCK, 1)])


def _products(x: Tensor) -> Tensor:
    """Return the products of all rows of `x` (m, l) with one another, (m, m) in float64."""
    products = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for block in torch.split(x, _BLOCK, 1):
        double = block.double()
        products.addmm_(double, double.T)
    return products


def _rotated(x: Tensor, axes: Tensor) -> Tensor:
    """Return `x` (n, d) in the coordinates of `axes` (d, r), computed in blocks of rows."""
    kept = torch.float64 if len(x) * axes.shape[1] <= _DOUBLE else torch.float32
    return torch.cat([(block.double() @ axes).to(kept) for block in torch.split(x, _BLOCK)])
