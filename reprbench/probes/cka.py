"""Linear CKA: how similar two representations of the same images are, whatever their units and dimensions.

For features X (n images × p) and Y (n × q) it is HSIC(XXᵀ, YYᵀ) / √(HSIC(XXᵀ, XXᵀ) · HSIC(YYᵀ, YYᵀ)) (S. Kornblith, M.
Norouzi, H. Lee, G. Hinton, "Similarity of neural network representations revisited", ICML 2019), here with the unbiased
estimator of HSIC by L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, "Feature selection via dependence
maximization", JMLR 2012, eq. 5: the biased one tends to 1 as p and q grow beyond n. That estimator is the inner product
of U-centered matrices (G. Székely, M. Rizzo, "Partial distance correlation with methods for dissimilarities", Annals of
Statistics 2014), divided by n(n − 3): CKA is the cosine of the angle between these, in [−1, 1], and about 0 for
independent features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST_IMAGES = 4
"""The estimator divides by n − 3."""
MOST_IMAGES = 700
"""Of a matrix that is kept: it then takes half a megabyte."""

CenteredGram = NDArray[np.float64]
"""The upper triangle of a U-centered Gram matrix of n images, without the diagonal, which is 0: n(n − 1)/2 numbers
whose squares add up to 1; all are 0 if the features are constant."""

Packed = NDArray[np.float16]
"""The same, multiplied by n and rounded: CKA changes by some 1e-5."""

_CONSTANT = 1e-10
"""A centered Gram matrix whose norm is below this share of that of the features' own is one of constant features."""


def centered_gram(features: NDArray[np.floating[Any]], device: str = "cpu") -> CenteredGram:
    """Return the U-centered Gram matrix of features (n, p), computed on `device` in float64.

    Orthogonal maps of the features, one factor for all, and an offset of each change nothing.
    """
    import torch

    n = len(features)
    x = torch.from_numpy(np.array(features, dtype=np.float64)).to(device)
    size = float(x.square().sum())
    # Inner products of large offsets would lose digits.
    x = x - x.mean(0)
    gram = x @ x.T
    gram.fill_diagonal_(0)
    rows = gram.sum(1) / (n - 2)
    centered = gram - rows[:, None] - rows[None, :] + gram.sum() / ((n - 1) * (n - 2))
    upper: CenteredGram = centered.cpu().numpy()[np.triu_indices(n, 1)]
    norm = float(np.linalg.norm(upper))
    return upper / norm if norm > _CONSTANT * size else np.zeros_like(upper)


def cka(one: CenteredGram, other: CenteredGram) -> float:
    """Return the linear CKA of two representations of the same images; 0 if one of them is constant."""
    return float(one @ other)


def cka_matrix(grams: Sequence[CenteredGram]) -> NDArray[np.float64]:
    """Return the linear CKA of all pairs, shape (len(grams), len(grams)); 0 for constant features."""
    stacked = np.stack(grams)
    found: NDArray[np.float64] = stacked @ stacked.T
    return found


def is_constant(gram: CenteredGram) -> bool:
    """Return whether the features did not tell the images apart."""
    return not gram.any()


def packed(gram: CenteredGram) -> Packed:
    """Return a matrix as it is kept."""
    return (images_of(len(gram)) * gram).astype(np.float16)


def unpacked(kept: NDArray[Any]) -> CenteredGram:
    """Return a matrix that was kept, or raise a `ValueError` if it is none."""
    if kept.dtype != np.float16 or kept.ndim != 1 or not np.isfinite(kept).all():
        raise ValueError("not the packed Gram matrix of some features")
    images_of(len(kept))
    gram: CenteredGram = kept.astype(np.float64)
    norm = float(np.linalg.norm(gram))
    return gram / norm if norm else gram


def images_of(length: int) -> int:
    """Return n for n(n − 1)/2 numbers; raise a `ValueError` if there is none, or fewer images than can be compared."""
    n = (1 + math.isqrt(1 + 8 * length)) // 2
    if not FEWEST_IMAGES <= n <= MOST_IMAGES or n * (n - 1) // 2 != length:
        images = f"{FEWEST_IMAGES} to {MOST_IMAGES} images"
        raise ValueError(f"{length} numbers are not the upper triangle of a matrix of {images}")
    return n
