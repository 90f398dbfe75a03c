"""The operators of deconvolutional networks: pooling with switches, R and its transpose, ISTA, the filters' update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

POOLED_MAPS = 2
POWER_ITERATIONS = 10
TIE = 1e-5
"""The advantage of the earlier of two entries of a window. In flat regions entries are equal up to rounding, which
depends on the size of the batch and could otherwise decide the switches."""
TINY = 1e-12


@dataclass(frozen=True)
class Switches:
    """The places of the entries that pooling keeps in each window of maps (N, K, H, W); U (unpooling) and Uᵀ.

    Parameters
    ----------
    places : int64 (N, K', H', W'), indices into the K·H·W entries of an image's maps, all different.
    shape : (K, H, W).
    """

    places: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, maps: Tensor, size: int) -> Switches:
        """Return the switches for the largest magnitudes in windows of 2 maps × `size` × `size`.

        Windows do not overlap; those at the end of a side that is not divisible are smaller.
        """
        window = (POOLED_MAPS, size, size)
        sides = zip(maps.shape[1:], window, strict=True)
        depth, rows, columns = (torch.arange(side, device=maps.device) % width for side, width in sides)
        order = (depth[:, None, None] * size + rows[:, None]) * size + columns
        scores = (maps.abs() - TIE * order).unsqueeze(1)
        _, places = functional.max_pool3d(scores, window, ceil_mode=True, return_indices=True)
        return cls(places.squeeze(1), (maps.shape[1], maps.shape[2], maps.shape[3]))

    def pool(self, maps: Tensor) -> Tensor:
        """Return the entries (N, K', H', W') of `maps` at the switches, with their signs: Uᵀ."""
        return maps.flatten(1).gather(1, self.places.flatten(1)).view(self.places.shape)

    def unpool(self, pooled: Tensor) -> Tensor:
        """Return maps (N, K, H, W) with `pooled` at the switches and 0 elsewhere: U."""
        flat = pooled.new_zeros(len(pooled), self.shape[0] * self.shape[1] * self.shape[2])
        return flat.scatter_(1, self.places.flatten(1), pooled.flatten(1)).view(-1, *self.shape)


@dataclass(frozen=True)
class ReconstructionOperator:
    """R = F₁U₁F₂U₂…F_l, which maps the maps of layer l to images, and its transpose.

    F is a "valid" cross-correlation (the paper's convolution, with the filters rotated by 180°), so that maps are
    larger than what they reconstruct by the filters' size minus 1.

    Parameters
    ----------
    filters : those of F₁ … F_l, each (maps below, maps, size, size).
    switches : those of U₁ … U_{l-1}, for the images at hand.
    """

    filters: Sequence[Tensor]
    switches: Sequence[Switches]

    def images(self, maps: Tensor) -> Tensor:
        """Return R z of `maps` z."""
        return self.images_of_lower(functional.conv2d(maps, self.filters[-1]))

    def maps(self, images: Tensor) -> Tensor:
        """Return Rᵀ y of `images` y."""
        return functional.conv_transpose2d(self.lower(images), self.filters[-1])

    def images_of_lower(self, lower: Tensor) -> Tensor:
        """Return F₁U₁…F_{l-1}U_{l-1} p of pooled maps p of the layer below; p itself for the first layer."""
        for filters, switches in zip(self.filters[-2::-1], self.switches[::-1], strict=True):
            lower = functional.conv2d(switches.unpool(lower), filters)
        return lower

    def lower(self, images: Tensor) -> Tensor:
        """Return the transpose of `images_of_lower`."""
        for filters, switches in zip(self.filters[:-1], self.switches, strict=True):
            images = switches.pool(functional.conv_transpose2d(images, filters))
        return images

    def largest_eigenvalue(self, probe: Tensor) -> Tensor:
        """Return a lower estimate, (N, 1, 1, 1), of RᵀR's largest eigenvalue for each image's switches.

        It is found by power iteration on RRᵀ, which has the same eigenvalues, from the image `probe` (1, C, H, W). The
        first layer has no switches below, so that one value (N = 1) holds for all images.
        """
        count = len(self.switches[0].places) if self.switches else 1
        images = probe.expand(count, -1, -1, -1)
        norm = length(images)
        for _ in range(POWER_ITERATIONS):
            images = self.images(self.maps(images / norm))
            norm = length(images)
        return norm


def length(images: Tensor) -> Tensor:
    """Return each image's Euclidean norm, (N, 1, 1, 1), bounded below by a positive number."""
    return images.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=TINY)


def infer(reconstruction: ReconstructionOperator, images: Tensor, fidelity: float, probe: Tensor, steps: int) -> Tensor:
    """Return maps z that approximately minimize (λ/2)‖Rz − y‖² + ‖z‖₁, by `steps` of ISTA from z = 0.

    Parameters
    ----------
    images : y, (N, C, H, W).
    fidelity : λ.
    probe : see `ReconstructionOperator.largest_eigenvalue`, whose estimate sets each image's step. A step up to twice
        as long as the exact eigenvalue allows still never raises the objective, so that an estimate is good enough.
    """
    threshold = 1 / (fidelity * reconstruction.largest_eigenvalue(probe))
    rate = fidelity * threshold
    maps = shrunk(rate * reconstruction.maps(images), threshold)
    for _ in range(steps - 1):
        errors = reconstruction.images(maps) - images
        maps = shrunk(maps - rate * reconstruction.maps(errors), threshold)
    return maps


def shrunk(maps: Tensor, threshold: Tensor) -> Tensor:
    """Return `maps` with every magnitude reduced by `threshold`, at most to 0."""
    return maps - maps.clamp(-threshold, threshold)


def fitted_filters(reconstruction: ReconstructionOperator, maps: Tensor, images: Tensor, steps: int) -> Tensor:
    """Return new filters of R's last layer after `steps` conjugate gradient steps on ‖Rz − y‖².

    R is linear in them, and the steps are those of conjugate gradient least squares (CGLS): from the present filters,
    with exact line search, without forming a matrix.
    """
    filters = reconstruction.filters[-1]

    def turned(errors: Tensor) -> Tensor:
        return conv2d_weight(maps, filters.shape, reconstruction.lower(errors))  # type: ignore[no-untyped-call,no-any-return]

    errors = images - reconstruction.images(maps)
    downhill = turned(errors)
    direction, slope = downhill, downhill.square().sum()
    for _ in range(steps):
        change = reconstruction.images_of_lower(functional.conv2d(maps, direction))
        rate = slope / change.square().sum().clamp(min=TINY)
        filters = filters + rate * direction
        errors = errors - rate * change
        downhill = turned(errors)
        before, slope = slope, downhill.square().sum()
        direction = downhill + slope / before.clamp(min=TINY) * direction
    return filters


def normalized(filters: Tensor) -> Tensor:
    """Return `filters` (maps below, maps, size, size), each size × size plane with unit norm unless it is zero."""
    return filters / filters.square().sum((2, 3), keepdim=True).sqrt().clamp(min=TINY)
