"""Coordinates in which Newton's equations of linear squared-hinge SVMs are few: features, or examples.

Machines belong to sets of examples: each set has its own features Z. Scores are f = Z·w.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

_CACHED = 2**17  # elements of systems of equations that stay in a CPU's cache
_BLOCK = 2**24  # elements of gathered rows, or of systems of equations, in memory at a time


@dataclass(frozen=True)
class Slope:
    """The gradient of each of some machines.

    Attributes
    ----------
    gradient : float64 tensor of shape (B, width)
        ∇P, in coordinates.
    image : float64 tensor of shape (B, width)
        Its image, so that ‖∇P‖² is the product of both.
    enough : float64 tensor of shape (B,)
        The ‖∇P‖² that proves the tolerance.
    """

    gradient: Tensor
    image: Tensor
    enough: Tensor

    @property
    def square(self) -> Tensor:
        """‖∇P‖², shape (B,)."""
        # Only rounding makes it negative.
        return (self.gradient * self.image).sum(1).clamp(min=0)

    def part(self, places: Tensor) -> Slope:
        """Return those of some of the machines."""
        return Slope(self.gradient[places], self.image[places], self.enough[places])


class Coordinates(ABC):
    """What stands for the weights of machines, `width` numbers each, and how Newton's equations are solved in it.

    `machines` in the methods are places among all the machines, ascending, one for each row of the tensors.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def image(self, vectors: Tensor, machines: list[int], scores: Tensor | None = None) -> Tensor:
        """Return what inner products are taken with: ⟨w, v⟩ = vectors of w · image of v, `scores` being those of v."""
        return vectors

    @abstractmethod
    def scores(self, vectors: Tensor, machines: list[int]) -> Tensor:
        """Return f (B, n) of `vectors` (B, width)."""

    @abstractmethod
    def pull_back(self, amounts: Tensor, machines: list[int]) -> Tensor:
        """Return what stands for Zᵀ·a, shape (B, width), for amounts a (B, n)."""

    @abstractmethod
    def direction(self, at: Slope, inside: Tensor, cost: float, machines: list[int]) -> Tensor:
        """Return −(I + 2C·Z_AᵀZ_A)⁻¹·gradient (B, width), A the examples `inside` (B, n) the margins.

        It is NaN for a machine whose equations float64 is too coarse to solve.
        """


class ExactCoordinates(Coordinates):
    """Coordinates of machines of several sets of examples, whose equations are solved directly.

    Parameters
    ----------
    matrix : float64 tensor of shape (sets, n, width)
        Of which scores are products. Sets with fewer than n examples are padded by zeros.
    sets : list of int
        The set of each machine, ascending.
    """

    def __init__(self, matrix: Tensor, sets: list[int]) -> None:
        super().__init__(matrix.shape[2])
        self.matrix, self.sets = matrix, sets

    def scores(self, vectors: Tensor, machines: list[int]) -> Tensor:
        """Return f (B, n) of `vectors` (B, width)."""
        return self._products(vectors, self.matrix.mT, machines)

    def _products(self, vectors: Tensor, matrices: Tensor | Mapping[int, Tensor], machines: list[int]) -> Tensor:
        """Return the products of `vectors` (B, a) with the matrix (a, b) of each one's set, shape (B, b)."""
        return torch.cat([vectors[rows] @ matrices[number] for number, rows in self._by_set(machines)])

    def _by_set(self, machines: list[int]) -> list[tuple[int, slice]]:
        """Return each set with the slice of `machines` that belongs to it."""
        found, start = [], 0
        for number, group in groupby(self.sets[machine] for machine in machines):
            stop = start + len(list(group))
            found.append((number, slice(start, stop)))
            start = stop
        return found


class Primal(ExactCoordinates):
    """The weights themselves: as many equations as features.

    The Gram matrix of the examples inside is kept for each machine, and updated by those that changed sides.
    """

    def __init__(self, matrix: Tensor, sets: list[int]) -> None:
        super().__init__(matrix, sets)
        at = torch.tensor(sets, device=matrix.device)
        self._rows, self._first = matrix.flatten(0, 1), at * matrix.shape[1]
        # With weights of 0 all examples are inside. Those that pad a set add nothing wherever they are.
        self._gram = torch.stack([part.T @ part for part in matrix])[at]
        self._inside = torch.ones(len(sets), matrix.shape[1], dtype=torch.bool, device=matrix.device)

    def pull_back(self, amounts: Tensor, machines: list[int]) -> Tensor:
        """Return Zᵀ·a."""
        return self._products(amounts, self.matrix, machines)

    def direction(self, at: Slope, inside: Tensor, cost: float, machines: list[int]) -> Tensor:
        """Solve the equations as they are."""
        size = self.width**2
        # On the CPU the equations of as many machines as its cache holds are solved at a time.
        step = max(1, (_CACHED if inside.device.type == "cpu" else _BLOCK) // size)
        parts = [slice(start, start + step) for start in range(0, len(machines), step)]
        return -torch.cat([self._solved(at.gradient[part], inside[part], cost, machines[part]) for part in parts])

    def _solved(self, right: Tensor, inside: Tensor, cost: float, machines: list[int]) -> Tensor:
        """Return the solution (B, width) of (I + 2C·Z_AᵀZ_A)·v = right."""
        # A view where it is possible: copies of a large matrix take time.
        first, count = machines[0], len(machines)
        at = (
            slice(first, first + count)
            if machines[-1] == first + count - 1
            else torch.tensor(machines, device=inside.device)
        )
        gram, before = self._gram[at], self._inside[at]
        self._update(gram, inside, before, self._first[at, None])
        self._gram[at], self._inside[at] = gram, inside
        system = gram * (2 * cost)
        system.diagonal(dim1=1, dim2=2).add_(1)
        return _solved(system, right)

    def _update(self, gram: Tensor, inside: Tensor, before: Tensor, first: Tensor) -> None:
        """Make `gram` (B, width, width), of the examples that were inside `before`, that of those `inside`, (B, n)."""
        examples, valid = _listed(inside != before)
        signs = torch.where(inside.gather(1, examples), valid, -valid)
        step = max(1, _BLOCK // (len(gram) * self.width))
        for start in range(0, examples.shape[1], step):
            part = slice(start, start + step)
            changed = self._rows[first + examples[:, part]]
            gram.baddbmm_((changed * signs[:, part, None]).mT, changed)


class Dual(ExactCoordinates):
    """The amounts α of the examples, w = Zᵀ·α, with f = K·α, K = Z·Zᵀ: at most half as many equations as examples."""

    def __init__(self, matrix: Tensor, sets: list[int]) -> None:
        super().__init__(matrix, sets)
        self._inverses: dict[int, Tensor] = {}
        self._inverted_at = 0.0

    def image(self, vectors: Tensor, machines: list[int], scores: Tensor | None = None) -> Tensor:
        """Return the scores: ⟨Zᵀ·α, Zᵀ·β⟩ = α·K·β."""
        return self.scores(vectors, machines) if scores is None else scores

    def pull_back(self, amounts: Tensor, machines: list[int]) -> Tensor:
        """Return the amounts."""
        return amounts

    def direction(self, at: Slope, inside: Tensor, cost: float, machines: list[int]) -> Tensor:
        """Solve −(g − P_A·(I/2C + K_AA)⁻¹·(K·g)_A), which is the direction by the Woodbury identity."""
        result, few = -at.gradient, (inside.sum(1) <= inside.shape[1] // 2).tolist()
        for from_inside in (True, False):
            part = [place for place, answer in enumerate(few) if answer == from_inside]
            if part:
                rows = torch.tensor(part, device=inside.device)
                solve = self._from_inside if from_inside else self._from_outside
                result[rows] += solve(at.image[rows], inside[rows], 1 / (2 * cost), [machines[place] for place in part])
        return result

    def _from_inside(self, right: Tensor, inside: Tensor, ridge: float, machines: list[int]) -> Tensor:
        """Return v, 0 outside, with (ridge·I + K_AA)·v_A = right_A."""
        return self._among(self.matrix, right, inside, ridge, machines)

    def _from_outside(self, right: Tensor, inside: Tensor, ridge: float, machines: list[int]) -> Tensor:
        """Return the same v as M·(right_A, t), M = (ridge·I + K)⁻¹, with t chosen so that v is 0 outside."""
        inverses = self._inverted(ridge, machines)
        free = self._products(right * inside, inverses, machines)
        bound = self._among(inverses, free, ~inside, 0.0, machines)
        return (free - self._products(bound, inverses, machines)) * inside

    def _inverted(self, ridge: float, machines: list[int]) -> Mapping[int, Tensor]:
        """Return M for the sets of `machines`; they are kept while the ridge, and so the cost, is the same."""
        if ridge != self._inverted_at:
            self._inverses, self._inverted_at = {}, ridge
        for number, _ in self._by_set(machines):
            if number not in self._inverses:
                ridged = self.matrix[number].clone()
                ridged.diagonal().add_(ridge)
                factor = torch.linalg.cholesky_ex(ridged).L
                self._inverses[number] = torch.cholesky_inverse(factor).contiguous()
        return self._inverses

    def _among(
        self,
        matrices: Tensor | Mapping[int, Tensor],
        right: Tensor,
        chosen: Tensor,
        ridge: float,
        machines: list[int],
    ) -> Tensor:
        """Return v, 0 but for the `chosen` examples S, with (ridge·I + matrix_SS)·v_S = right_S."""
        result = torch.zeros_like(right)
        for number, rows in self._by_set(machines):
            # Systems of unequal size are padded where this saves calls; on the CPU it would only add work.
            step = 1 if right.device.type == "cpu" else max(1, _BLOCK // chosen.shape[1] ** 2)
            for start in range(rows.start, rows.stop, step):
                part = slice(start, min(start + step, rows.stop))
                result[part] = _restricted(matrices[number], right[part], chosen[part], ridge)
        return result


def _restricted(matrix: Tensor, right: Tensor, chosen: Tensor, ridge: float) -> Tensor:
    """Solve the equations of one symmetric `matrix` (n, n) restricted to the `chosen` (B, n), 0 elsewhere."""
    examples, valid = _listed(chosen)
    places = examples[:, :, None] * len(matrix) + examples[:, None, :]
    system = matrix.view(-1).index_select(0, places.flatten()).view(places.shape)
    if len(system) > 1:
        system *= valid[:, :, None] * valid[:, None, :]
    # An equation that pads a system reads x = 0.
    system.diagonal(dim1=1, dim2=2).add_(ridge + (1 - valid))
    result = torch.zeros_like(right)
    result[chosen] = _solved(system, right.gather(1, examples) * valid)[valid > 0]
    return result


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places (B, m) of the `chosen` of each row of (B, n), and 1 where they are such, 0 where they pad."""
    row, place = chosen.nonzero(as_tuple=True)
    rank = chosen.cumsum(1)[row, place] - 1
    most = int(rank.max()) + 1 if len(rank) else 0
    places = torch.zeros(len(chosen), most, dtype=torch.int64, device=chosen.device)
    valid = torch.zeros(len(chosen), most, dtype=torch.float64, device=chosen.device)
    places[row, rank], valid[row, rank] = place, 1.0
    return places, valid


def _solved(systems: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite systems (B, m, m) for `right` (B, m); NaN where rounding made one indefinite."""
    factors, failed = torch.linalg.cholesky_ex(systems)
    # On the CPU this takes half of the time of cholesky_solve.
    half = torch.linalg.solve_triangular(factors, right[..., None], upper=False)
    solved = torch.linalg.solve_triangular(factors.mT, half, upper=True)[..., 0]
    return torch.where(failed[:, None] > 0, torch.nan, solved)
