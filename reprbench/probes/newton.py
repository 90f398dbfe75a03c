"""Newton's method for linear squared-hinge SVMs: many machines together, for ascending costs.

A machine minimizes P(w) = ½‖w‖² + C·Σ max(0, 1 − y·f)². P is once differentiable and piecewise quadratic, with the
generalized Hessian I + 2C·Z_AᵀZ_A, where A are the examples inside the margin; with exact directions Newton's method
ends in finitely many steps (Mangasarian 2002; Keerthi and DeCoste 2005), a few when each cost starts from the solution
of the one before. As P is strongly convex with constant 1, P(w) − min P ≤ ½‖∇P(w)‖²: a proof of convergence, and the
stopping rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reprbench.probes.coordinates import Coordinates, Slope
from reprbench.probes.line_search import step_length

_MAX_STEPS = 100
_SUFFICIENT = 1e-4  # a whole step is taken if P falls by this share of what the slope promises (Armijo's rule)


@dataclass(frozen=True)
class Solution:
    """All machines for one cost.

    Attributes
    ----------
    vectors : float64 tensor of shape (B, width)
        Weights, in coordinates.
    gap : float64 tensor of shape (B,)
        Proven bound of (P(w) − min P) / P(w), in [0, ∞).
    """

    vectors: Tensor
    gap: Tensor


@dataclass(frozen=True)
class Problem:
    """The minimization of P of some machines for one cost.

    Attributes
    ----------
    coordinates : Coordinates
    machines : list of int
        Which of its machines, ascending.
    signs : float64 tensor of shape (B, n)
        y: +1 for examples of the class, −1 for the others, 0 for what pads a set.
    cost : float
        C > 0.
    """

    coordinates: Coordinates
    machines: list[int]
    signs: Tensor
    cost: float

    def at(self, vectors: Tensor, scores: Tensor) -> Point:
        """Return the point of `vectors` (B, width), whose `scores` (B, n) are known."""
        slack = (self.signs * (self.signs - scores)).clamp_(min=0)
        square = (vectors * self.coordinates.image(vectors, self.machines, scores)).sum(1)
        return Point(vectors, scores, slack, square / 2 + self.cost * slack.square().sum(1))

    def slope(self, point: Point, tolerance: float) -> Slope:
        """Return ∇P."""
        pulled = self.coordinates.pull_back((2 * self.cost) * (self.signs * point.slack), self.machines)
        gradient = point.vectors - pulled
        return Slope(gradient, self.coordinates.image(gradient, self.machines), 2 * tolerance * point.value)

    def step(self, point: Point, slope: Slope) -> Point:
        """Return the point after a Newton step; a machine whose objective would not fall stays."""
        direction = self.coordinates.direction(slope, point.slack > 0, self.cost, self.machines)
        # Where float64 is too coarse to solve the equations, the steepest descent is left.
        direction = torch.where(direction.isfinite().all(1, keepdim=True), direction, -slope.gradient)
        fall = (slope.image * direction).sum(1)
        following = self._reached(point.vectors + direction)
        short = (following.value > point.value + _SUFFICIENT * fall).nonzero().squeeze(1)
        if len(short):
            change = following.scores[short] - point.scores[short]
            searched = self.part(short)._search(point.part(short), direction[short], change, fall[short])
            following.put(short, searched)
        return following

    def _reached(self, vectors: Tensor) -> Point:
        # Scores are always those of the weights, not sums of changes: the gap is proven whatever was rounded before.
        return self.at(vectors, self.coordinates.scores(vectors, self.machines))

    def _search(self, point: Point, direction: Tensor, change: Tensor, fall: Tensor) -> Point:
        """Minimize P along the direction, whose scores are `change` (B, n), with the slope `fall` (B,) at its start."""
        image = self.coordinates.image(direction, self.machines, change)
        linear, square = (point.vectors * image).sum(1), (direction * image).sum(1)
        margin = self.signs * (self.signs - point.scores)
        length = step_length(margin, self.signs * change, linear, square, fall, self.cost)
        following = self._reached(point.vectors + length[:, None] * direction)
        higher = (following.value >= point.value).nonzero().squeeze(1)
        following.put(higher, point.part(higher))
        return following

    def part(self, places: Tensor) -> Problem:
        """Return the problem of some of the machines."""
        machines = [self.machines[place] for place in places.tolist()]
        return Problem(self.coordinates, machines, self.signs[places], self.cost)


@dataclass(frozen=True)
class Point:
    """Weights in coordinates (B, width), and the resulting f (B, n), max(0, 1 − y·f) (B, n) and P (B,)."""

    vectors: Tensor
    scores: Tensor
    slack: Tensor
    value: Tensor

    def part(self, places: Tensor) -> Point:
        """Return those of some of the machines."""
        return Point(self.vectors[places], self.scores[places], self.slack[places], self.value[places])

    def put(self, places: Tensor, others: Point) -> None:
        """Replace those of some of the machines."""
        self.vectors[places], self.scores[places] = others.vectors, others.scores
        self.slack[places], self.value[places] = others.slack, others.value


def minimize(coordinates: Coordinates, signs: Tensor, costs: Sequence[float], tolerance: float) -> list[Solution]:
    """Return the machines for each of the ascending `costs`.

    `signs` (B, n) are those of `Problem`. A machine is finished when its gap is at most `tolerance`. One that runs out
    of precision or of steps before that keeps a larger gap.
    """
    vectors, scores = signs.new_zeros(len(signs), coordinates.width), torch.zeros_like(signs)
    solutions = []
    for cost in costs:
        problem = Problem(coordinates, list(range(len(signs))), signs, cost)
        point, gap = _minimum(problem, problem.at(vectors, scores), tolerance)
        vectors, scores = point.vectors, point.scores
        solutions.append(Solution(vectors, gap))
    return solutions


def _minimum(problem: Problem, start: Point, tolerance: float) -> tuple[Point, Tensor]:
    """Return the minimum of each machine, or where it got stuck, and its gap (B,)."""
    # Objectives are sums over many examples, whose rounding errors partly cancel.
    precision = torch.finfo(start.value.dtype).eps / 100
    left = torch.arange(len(start.value), device=start.value.device)
    found, gaps, point = start.part(left), torch.zeros_like(start.value), start
    stuck = torch.zeros_like(left, dtype=torch.bool)
    for step in range(_MAX_STEPS + 1):
        slope = problem.slope(point, tolerance)
        live = ((slope.square > slope.enough) & ~stuck & (step < _MAX_STEPS)).nonzero().squeeze(1)
        if len(live) < len(left):
            found.put(left, point)
            gaps[left] = slope.square / (2 * point.value)
            problem, point, slope, left = problem.part(live), point.part(live), slope.part(live), left[live]
        if not len(left):
            break
        following = problem.step(point, slope)
        stuck = point.value - following.value <= precision * point.value
        point = following
    return found, gaps
