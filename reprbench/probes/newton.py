"""Truncated Newton for linear squared-hinge SVMs that share their features: all classes at once, one row per class.

Each class minimizes P(w) = ½‖w‖² + C·Σ max(0, 1 − y·f)², f = Z·w. P is once differentiable, with the generalized
Hessian I + 2C·ZᵀDZ, where D selects the examples inside the margin (Mangasarian 2002; Keerthi and DeCoste 2005). As P
is strongly convex with constant 1, P(w) − min P ≤ ½‖∇P(w)‖²: a proof of convergence, and the stopping rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 8192  # rows of a float32 product that are summed in float32; chunks are summed in float64
_MAX_NEWTON_STEPS = 100
_MAX_CONJUGATE_STEPS = 300
_MAX_LINE_STEPS = 20
_LINE_ACCURACY = 0.01  # the remaining share of the slope at which a line search ends
_FORCING = 0.05  # the remaining share of the gradient for a Newton direction; 0.01 to 0.3 cost about the same
_GATHER = 0.5  # if a smaller share of the examples is inside some margin, their rows are gathered
_DIRECT = 1000  # up to this many examples inside the margins of a class, their equations are solved directly
_DIRECT_SHARE = 0.5  # with a larger share inside, the costs are small and a few conjugate gradient steps suffice
_SUBSPACE_RANK = 256
_SUBSPACE_PASSES = 3


@dataclass(frozen=True)
class Design:
    """The features Z of the examples, and the two products with them that Newton's method needs.

    Attributes
    ----------
    matrix : float tensor of shape (n, d)
        The products are computed in its precision.
    constant : bool
        Whether Z has one more feature, equal to 1, that is not in `matrix`. It avoids a copy of a large matrix.
    gram : float64 tensor of shape (n, n) or None
        Z·Zᵀ, if there are few enough examples: it allows small systems of equations to be solved directly.
    """

    matrix: Tensor
    constant: bool = False
    gram: Tensor | None = None

    @property
    def width(self) -> int:
        """The number of features of Z."""
        return self.matrix.shape[1] + self.constant

    def scores(self, weights: Tensor) -> Tensor:
        """Return f = Z·w for weights of shape (K, width), as a tensor of shape (K, n) in the precision of `weights`."""
        features = weights[:, :-1] if self.constant else weights
        # On two CPU cores Z @ Wᵀ is twice as fast as W @ Zᵀ when K is small.
        scores = (self.matrix @ features.to(self.matrix.dtype).T.contiguous()).T.to(weights.dtype).contiguous()
        return scores + weights[:, -1:] if self.constant else scores

    def pull_back(self, amounts: Tensor) -> Tensor:
        """Return Zᵀ·a for amounts of shape (K, n), as a tensor of shape (K, width) in the precision of `amounts`."""
        result = amounts.new_zeros(len(amounts), self.width)
        features = result[:, :-1] if self.constant else result
        low = amounts.to(self.matrix.dtype)
        for start in range(0, len(self.matrix), _CHUNK):
            features += low[:, start : start + _CHUNK] @ self.matrix[start : start + _CHUNK]
        if self.constant:
            result[:, -1] = amounts.sum(1)
        return result


@dataclass(frozen=True)
class Spectrum:
    """Leading eigenvalues and eigenvectors of ZᵀZ, which precondition the conjugate gradients.

    Attributes
    ----------
    values : float64 tensor of shape (k,)
        Eigenvalues, in descending order.
    basis : float64 tensor of shape (width, k) or None
        Eigenvectors in columns; None if they are all the coordinate axes.
    """

    values: Tensor
    basis: Tensor | None = None

    def precondition(self, residual: Tensor, curvature: Tensor) -> Tensor:
        """Return M⁻¹·residual (K, width), M = I + curvature·ZᵀZ with the unknown eigenvalues set to the least known.

        `curvature` (K, 1) is 2C times the share of examples inside the margin, so that M imitates I + 2C·ZᵀDZ.
        """
        known = 1 + curvature * self.values
        if self.basis is None:
            return residual / known
        rest = known[:, -1:]
        # The bracket cancels to 1/known, which may be 1e-9: the reason for float64.
        return (residual + ((residual @ self.basis) * (rest / known - 1)) @ self.basis.T) / rest


def leading_spectrum(design: Design) -> Spectrum:
    """Return up to 256 leading eigenpairs of ZᵀZ, by subspace iteration from a fixed start (Halko et al. 2011)."""
    generator = torch.Generator().manual_seed(0)
    rank = min(_SUBSPACE_RANK, design.width)
    image = torch.randn(rank, design.width, generator=generator, dtype=torch.float64).to(design.matrix.device)
    for _ in range(_SUBSPACE_PASSES):
        basis = torch.linalg.qr(image.T).Q.T.contiguous()
        image = design.pull_back(design.scores(basis))
    values, rotation = torch.linalg.eigh(basis @ image.T)
    return Spectrum(values.flip(0).clamp(min=0), basis.T @ rotation.flip(1))


@dataclass(frozen=True)
class Problem:
    """The minimization problem: P of every class, for one cost.

    Attributes
    ----------
    design : Design
    signs : float64 tensor of shape (K, n)
        y: +1 for examples of the class, −1 for the others.
    cost : float
        C > 0.
    """

    design: Design
    signs: Tensor
    cost: float

    def at(self, weights: Tensor, scores: Tensor) -> Point:
        """Return the point of `weights` (K, width), whose `scores` (K, n) are known."""
        slack = (1 - self.signs * scores).clamp(min=0)
        return Point(weights, scores, slack, weights.square().sum(1) / 2 + self.cost * slack.square().sum(1))

    def gradient(self, point: Point) -> Tensor:
        """Return ∇P, shape (K, width)."""
        return point.weights - self.design.pull_back(2 * self.cost * self.signs * point.slack)


@dataclass(frozen=True)
class Point:
    """Weights (K, width), and the resulting f (K, n), max(0, 1 − y·f) (K, n) and P (K,)."""

    weights: Tensor
    scores: Tensor
    slack: Tensor
    value: Tensor


@dataclass(frozen=True)
class Solution:
    """The weights of all classes for one cost.

    Attributes
    ----------
    weights : float64 tensor of shape (K, width)
    gap : float64 tensor of shape (K,)
        Proven bound of (P(w) − min P) / P(w), in [0, ∞).
    """

    weights: Tensor
    gap: Tensor


def minimize(problem: Problem, start: Tensor, spectrum: Spectrum, tolerance: float) -> Solution:
    """Minimize P for every class by Newton's method, from the weights `start` (K, width), float64.

    `spectrum` is that of ZᵀZ, or an approximation: it affects the speed, not the solution. A class is finished when its
    gap is at most `tolerance`. One that runs out of precision or of steps before that keeps a larger gap.
    """
    design = problem.design
    # Directions only need products in float32: the gradient, and with it the next direction, corrects them.
    fast = Design(design.matrix.float(), design.constant)
    point = problem.at(start, design.scores(start))
    # Objectives are sums over many examples, whose rounding errors partly cancel.
    precision = torch.finfo(design.matrix.dtype).eps / 100
    stuck = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    for step in range(_MAX_NEWTON_STEPS + 1):
        gradient = problem.gradient(point)
        gap = gradient.square().sum(1) / (2 * point.value)
        live = (gap > tolerance) & ~stuck
        if step == _MAX_NEWTON_STEPS or not live.any():
            break
        direction = _direction(problem, fast, point, gradient, live, spectrum, tolerance)
        following = _line_search(problem, point, direction, (gradient * direction).sum(1))
        stuck |= point.value - following.value <= precision * point.value
        point = following
    return Solution(point.weights, gap)


def _direction(
    problem: Problem,
    fast: Design,
    point: Point,
    gradient: Tensor,
    live: Tensor,
    spectrum: Spectrum,
    tolerance: float,
) -> Tensor:
    """Return Newton's direction (K, width) for each live class; `fast` is the design in float32."""
    gram, inside = problem.design.gram, point.slack > 0
    if gram is not None and inside.sum(1).max() <= min(_DIRECT, _DIRECT_SHARE * len(gram)):
        return _direct_direction(problem.design, gram, gradient, inside, problem.cost, live)
    # A residual below half of the gap that ends the iteration would be wasted effort.
    target = torch.maximum(_FORCING**2 * gradient.square().sum(1), tolerance * point.value / 2)
    target = torch.where(live, target, torch.inf)
    return _conjugate_direction(fast, gradient, inside.double(), problem.cost, spectrum, target)


def _conjugate_direction(
    design: Design, gradient: Tensor, inside: Tensor, cost: float, spectrum: Spectrum, target: Tensor
) -> Tensor:
    """Solve (I + 2C·ZᵀDZ)·s = −gradient by conjugate gradients until ‖residual‖² ≤ target (K,), for each class."""
    curvature = 2 * cost * inside.mean(1, keepdim=True)
    used = inside.any(0)
    if used.double().mean() < _GATHER:
        design, inside = Design(design.matrix[used], design.constant), inside[:, used]
    tiny = torch.finfo(gradient.dtype).tiny
    direction, residual = torch.zeros_like(gradient), -gradient
    conjugate = spectrum.precondition(residual, curvature)
    product = (residual * conjugate).sum(1, keepdim=True)
    for _ in range(_MAX_CONJUGATE_STEPS):
        live = (residual.square().sum(1) > target)[:, None]
        if not live.any():
            break
        scores = inside * design.scores(conjugate)
        image = conjugate + 2 * cost * design.pull_back(scores)
        # As a sum of squares this is positive in spite of rounding errors of `image`.
        curved = conjugate.square().sum(1, keepdim=True) + 2 * cost * scores.square().sum(1, keepdim=True)
        length = torch.where(live, product / curved.clamp(min=tiny), 0)
        direction = direction + length * conjugate
        residual = residual - length * image
        preconditioned = spectrum.precondition(residual, curvature)
        next_product = (residual * preconditioned).sum(1, keepdim=True)
        conjugate = preconditioned + next_product / product.clamp(min=tiny) * conjugate
        product = next_product
    return direction


def _direct_direction(
    design: Design, gram: Tensor, gradient: Tensor, inside: Tensor, cost: float, live: Tensor
) -> Tensor:
    """Solve (I + 2C·Z_AᵀZ_A)·s = −gradient, A the examples inside, for each live class; the others stay.

    By the Woodbury identity s = −g + Z_Aᵀ·(I/2C + Z_A·Z_Aᵀ)⁻¹·Z_A·g: as many equations as there are examples inside.
    """
    direction = torch.zeros_like(gradient)
    for row in live.nonzero().squeeze(1).tolist():
        examples, own = inside[row].nonzero().squeeze(1), gradient[row : row + 1]
        part = Design(design.matrix[examples], design.constant)
        system = gram[examples[:, None], examples]
        system.diagonal().add_(1 / (2 * cost))
        solved = torch.cholesky_solve(part.scores(own).T, torch.linalg.cholesky(system)).T
        direction[row] = (part.pull_back(solved) - own)[0]
    return direction


def _line_search(problem: Problem, point: Point, direction: Tensor, slope: Tensor) -> Point:
    """Minimize each class's objective along its direction.

    `slope` (K,) is the objective's derivative at the direction's start.
    """
    change = problem.design.scores(direction)
    length = _step_length(problem, point, direction, change, slope)[:, None]
    following = problem.at(point.weights + length * direction, point.scores + length * change)
    lower = (following.value < point.value)[:, None]
    weights = torch.where(lower, following.weights, point.weights)
    return problem.at(weights, torch.where(lower, following.scores, point.scores))


def _step_length(problem: Problem, point: Point, direction: Tensor, change: Tensor, slope: Tensor) -> Tensor:
    """Return the step length of each class along its direction, shape (K,).

    `change` (K, n) is what the whole direction adds to the scores. The derivative is piecewise linear and increasing:
    Newton's method, safeguarded by a bracket, finds its zero.
    """
    signs, cost = problem.signs, problem.cost
    linear, square = (point.weights * direction).sum(1), direction.square().sum(1)
    low, high, length = torch.zeros_like(slope), torch.full_like(slope, torch.inf), torch.ones_like(slope)
    for _ in range(_MAX_LINE_STEPS):
        slack = (1 - signs * (point.scores + length[:, None] * change)).clamp(min=0)
        first = linear + length * square - 2 * cost * (signs * change * slack).sum(1)
        second = square + 2 * cost * ((slack > 0) * change.square()).sum(1)
        if bool((first.abs() <= _LINE_ACCURACY * slope.abs()).all()):
            break
        low, high = torch.where(first < 0, length, low), torch.where(first > 0, length, high)
        newton = length - first / second.clamp(min=torch.finfo(slope.dtype).tiny)
        middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
        length = torch.where((newton > low) & (newton < high), newton, middle)
    return length
