"""Small patches of images: drawn at random or at every position, normalized in contrast, whitened.

A patch is a row of size·size·C numbers in the order (row, column, channel), on the 0–255 scale of the bytes.
Source: A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in unsupervised feature learning" (2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.nn import functional

from reprbench import Images, Indices, Run

BLOCK = 4096
"""Patches cut out, and rows whitened, at a time."""


def draw_patches(images: Images, count: int, size: int, downsample: int, run: Run) -> Tensor:
    """Return `count` random patches of `images`, float32 of shape (count, size·size·C), on the run's device.

    Images and positions are drawn by the generator "patches", with repetition, from no more images than the run's
    budget allows. No more are drawn than there are positions. Only a block of the images is in memory at a time.
    """
    generator = run.numpy_generator("patches")
    channels, height, width = images.shape
    rows_of_places, columns_of_places = height // downsample - size + 1, width // downsample - size + 1
    count = min(count, len(images) * rows_of_places * columns_of_places)
    rows = drawn_images(images, count, generator, run)
    tops = generator.integers(rows_of_places, size=count)
    lefts = generator.integers(columns_of_places, size=count)
    patches = torch.empty(count, size * size * channels, device=run.device)
    for start in range(0, count, BLOCK):
        block = slice(start, start + BLOCK)
        needed, where = np.unique(rows[block], return_inverse=True)
        pixels = shrunk(torch.from_numpy(images.pixels(needed)), downsample).numpy()
        windows = sliding_window_view(pixels, (size, size), axis=(2, 3))[where, :, tops[block], lefts[block]]
        patches[block] = torch.from_numpy(windows.transpose(0, 2, 3, 1).reshape(len(where), -1)).to(run.device)
    return patches


def drawn_images(images: Images, count: int, generator: np.random.Generator, run: Run) -> Indices:
    """Return `count` rows of `images`, ascending, drawn with repetition; the run counts each of them as seen once.

    They come from no more images than the run's budget allows.
    """
    allowed = generator.permutation(len(images))[: run.budget.images]
    rows = np.sort(allowed[generator.integers(len(allowed), size=count)])
    run.images_seen += len(np.unique(rows))
    return rows.astype(np.int64)


def shrunk(x: Tensor, factor: int) -> Tensor:
    """Return the images (N, C, H, W) averaged over squares of `factor` pixels; incomplete squares are cut off."""
    return functional.avg_pool2d(x.float(), factor) if factor > 1 else x


def every_patch(x: Tensor, size: int, stride: int) -> Tensor:
    """Return the patches at all positions of the images (N, C, H, W), shape (N, H', W', size·size·C)."""
    windows = x.permute(0, 2, 3, 1).unfold(1, size, stride).unfold(2, size, stride)
    # With images channels last in memory, a row of a patch is copied at once. Flattening alone may return a view in
    # which patches overlap, and callers write into the result.
    return windows.permute(0, 1, 2, 4, 5, 3).flatten(3).contiguous()


def normalize_contrast(patches: Tensor, variance: float) -> Tensor:
    """Turn every row p into (p − mean(p)) / √(var(p) + `variance`), in place, and return it; var is unbiased."""
    patches -= patches.mean(1, keepdim=True)
    # Half the cost of `Tensor.var`.
    squares = torch.linalg.vector_norm(patches, dim=1, keepdim=True).square()
    return patches.div_((squares / (patches.shape[1] - 1) + variance).sqrt_())


def second_moments(patches: Tensor) -> Tensor:
    """Return the mean of x·xᵀ over the patches x (n, d), float64 of shape (d, d)."""
    size = patches.shape[1]
    total = torch.zeros(size, size, dtype=torch.float64, device=patches.device)
    for block in patches.split(BLOCK):
        total.addmm_(block.double().T, block.double())
    return total / len(patches)


@dataclass(frozen=True)
class Whitening:
    """The map p → (p − mean)·matrix.

    Attributes
    ----------
    mean : float32 tensor of shape (d,)
    matrix : float32 tensor of shape (d, d), symmetric
    """

    mean: Tensor
    matrix: Tensor

    @classmethod
    def zca(cls, patches: Tensor, epsilon: float) -> Whitening:
        """Return V·(Λ + ε)^(−1/2)·Vᵀ and the mean, for patches (n, d) with the covariance V·Λ·Vᵀ; in float64."""
        mean = patches.mean(0, dtype=torch.float64)
        covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=patches.device)
        for block in patches.split(BLOCK):
            centered = block.double() - mean
            covariance.addmm_(centered.T, centered)
        values, vectors = torch.linalg.eigh(covariance / (len(patches) - 1))
        # Rounding may make eigenvalues slightly negative; a direction without variance, with ε = 0, is not scaled.
        scales = values.clamp(min=0) + epsilon
        scales = torch.where(scales > 0, scales, torch.ones_like(scales)).rsqrt()
        return cls(mean.float(), ((vectors * scales) @ vectors.T).float())

    def apply_(self, patches: Tensor) -> Tensor:
        """Whiten the rows of `patches` (n, d) in place, block by block, and return them."""
        for block in patches.split(BLOCK):
            block.copy_((block - self.mean) @ self.matrix)
        return patches

    def folded_into(self, filters: Tensor) -> tuple[Tensor, Tensor]:
        """Return filters (K, d) and biases (K,) that respond to patches like `filters` to whitened patches."""
        folded = filters @ self.matrix
        return folded, -(folded @ self.mean)
