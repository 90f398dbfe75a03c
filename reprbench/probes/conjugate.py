"""Newton's equations of linear squared-hinge SVMs with many features and examples, solved by conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reprbench.probes.coordinates import Coordinates, Slope

_CHUNK = 8192  # rows of a float32 product that are summed in float32; chunks are summed in float64
_MAX_CONJUGATE_STEPS = 300
_FORCING = 0.05  # the remaining share of the gradient for a Newton direction; 0.01 to 0.3 cost about the same
_GATHER = 0.5  # if a smaller share of the examples is inside some margin, their rows are gathered
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
    """

    matrix: Tensor
    constant: bool = False

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
    basis : float64 tensor of shape (width, k)
        Eigenvectors in columns.
    """

    values: Tensor
    basis: Tensor

    def precondition(self, residual: Tensor, curvature: Tensor) -> Tensor:
        """Return M⁻¹·residual (K, width), M = I + curvature·ZᵀZ with the unknown eigenvalues set to the least known.

        `curvature` (K, 1) is 2C times the share of examples inside the margin, so that M imitates I + 2C·ZᵀDZ.
        """
        known = 1 + curvature * self.values
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


class Truncated(Coordinates):
    """The weights of one set of examples; equations are solved by conjugate gradients, as exactly as is worth while."""

    def __init__(self, design: Design) -> None:
        super().__init__(design.width)
        # Directions only need products in float32: the gradient, and with it the next direction, corrects them.
        self._design, self._fast = design, Design(design.matrix.float(), design.constant)
        self._spectrum = leading_spectrum(design)

    def scores(self, vectors: Tensor, machines: list[int]) -> Tensor:
        """Return f (B, n) of weights (B, width)."""
        return self._design.scores(vectors)

    def pull_back(self, amounts: Tensor, machines: list[int]) -> Tensor:
        """Return Zᵀ·a."""
        return self._design.pull_back(amounts)

    def direction(self, at: Slope, inside: Tensor, cost: float, machines: list[int]) -> Tensor:
        """Stop at a residual of a share of the gradient, or of half of what ends the iteration."""
        target = torch.maximum(_FORCING**2 * at.square, at.enough / 4)
        return _conjugate_direction(self._fast, at.gradient, inside.double(), cost, self._spectrum, target)


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
