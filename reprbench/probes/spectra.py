"""The eigenvalues of codes, and the numbers that papers read from them: RankMe, α-ReQ and LiDAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reprbench.data.folds import named_generator, random_rows
from reprbench.errors import Diverged
from reprbench.features import Matrix
from reprbench.images import Indices
from reprbench.probes.standardize import row_blocks

if TYPE_CHECKING:
    from torch import Tensor

Eigenvalues = NDArray[np.float64]
"""Descending and not negative; those that are 0 but for rounding are 0. Shape (k,)."""

MOST_UNITS = 4096
"""This many random units represent a wider layer: their covariance takes 128 MB in float64, its eigenvalues some ten
seconds."""
EPSILON = 1e-7
"""Added to every share in RankMe and LiDAR."""
DELTA = 1e-4
"""Added to the diagonal of LiDAR's covariance within images."""
FITTED = (11, 100)
"""The first and the last of the ranks that a power law is fitted to."""
FEWEST_FITTED = 3


def representatives(units: int, name: str) -> Indices:
    """Return the units that represent a layer: all, or `MOST_UNITS` random ones, drawn by `name`."""
    if units <= MOST_UNITS:
        return np.arange(units, dtype=np.int64)
    return random_rows(units, MOST_UNITS, named_generator(name))


def spectrum(codes: Matrix, columns: Indices, *, centered: bool, device: str = "cpu") -> Eigenvalues:
    """Return the min(n, k) eigenvalues of the second moments of k `columns` of the codes (n, D), about 0 or their mean.

    They are the squares of the singular values divided by n, and computed in float64, the codes being read in blocks.

    Raises
    ------
    Diverged
        If codes are NaN or infinite.
    """
    import torch

    mean = np.zeros(len(columns))
    for _, values in row_blocks(codes):
        mean += values[:, columns].sum(axis=0, dtype=np.float64) / len(codes)
    if not np.isfinite(mean).all():
        raise Diverged("the features hold NaN or infinite values")
    center = mean if centered else np.zeros_like(mean)
    if len(codes) < len(columns):
        # The products of images are fewer, and have the same eigenvalues.
        rows = torch.from_numpy(codes[:, columns] - center).to(device)
        return _eigenvalues(rows @ rows.T / len(codes))
    total = torch.zeros(len(columns), len(columns), dtype=torch.float64, device=device)
    for _, values in row_blocks(codes):
        block = torch.from_numpy(values[:, columns] - center).to(device)
        total.addmm_(block.T, block)
    return _eigenvalues(total / len(codes))


def _eigenvalues(matrix: Tensor) -> Eigenvalues:
    import torch

    values = torch.linalg.eigvalsh(matrix).flip(0).cpu().numpy()
    least = values.max(initial=0) * len(values) * np.finfo(np.float64).eps
    found: Eigenvalues = np.where(values > least, values, 0.0)
    return found


def rank_me(moments: Eigenvalues) -> float:
    """Return RankMe, at most about k, from the eigenvalues of the moments about 0; 0 if all are 0.

    Q. Garrido, R. Balestriero, L. Najman, Y. LeCun, "RankMe: assessing the downstream performance of pretrained
    self-supervised representations by their rank", ICML 2023: exp(−Σ pₖ log pₖ) with pₖ = σₖ / ‖σ‖₁ + ε, ε = 1e-7,
    where σ are the min(n, k) singular values of the codes, which are not centered.
    """
    return _smooth_rank(np.sqrt(moments))


def _smooth_rank(values: Eigenvalues) -> float:
    """Return the exponential of the entropy of `values`, as shares of their sum, with ε added; 0 if all are 0."""
    if not values.any():
        return 0.0
    shares = values / values.sum() + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class PowerLaw:
    """The line log λᵣ = `intercept` − `alpha`·log r through the ranks r from 11 to `last`."""

    alpha: float
    intercept: float
    last: int


def power_law(covariance: Eigenvalues) -> PowerLaw | None:
    """Return the power law of the eigenvalues of a covariance; None if fewer than 13 are positive.

    K. Agrawal, A. K. Mondal, A. Ghosh, B. Richards, "α-ReQ: assessing representation quality in self-supervised
    learning by measuring eigenspectrum decay", NeurIPS 2022: the exponent α of λᵣ ∝ r^−α. It is fitted by least squares
    to the logarithms, with weights 1/r, as in the code of C. Stringer et al., "High-dimensional geometry of population
    responses in visual cortex" (2019), which that paper uses; the ranks are theirs, 11 to 100, or as many as are
    positive (scripts of Agrawal et al. begin at others, too).
    """
    first, last = FITTED[0], min(FITTED[1], int((covariance > 0).sum()))
    if last - first + 1 < FEWEST_FITTED:
        return None
    ranks = np.arange(first, last + 1)
    # Squares are weighted by 1/r; polyfit squares its weights.
    slope, intercept = np.polyfit(np.log(ranks), np.log(covariance[first - 1 : last]), 1, w=1 / np.sqrt(ranks))
    return PowerLaw(float(-slope), float(intercept), last)


def lidar(views: NDArray[np.float32], device: str = "cpu") -> float:
    """Return LiDAR of the codes of q views of n images, shape (n, q, D); at most min(D, n − 1); 0 if they are all one.

    V. Thilak et al., "LiDAR: sensing linear probing performance in joint embedding SSL architectures", ICLR 2024: the
    smooth rank exp(−Σ pᵢ log pᵢ), pᵢ = λᵢ / ‖λ‖₁ + ε, ε = 1e-7, of Σ_w^−½ Σ_b Σ_w^−½. An image is a class: Σ_b is the
    covariance of the mean codes of images, and Σ_w the mean covariance of an image's views, plus δ·I, δ = 1e-4.

    So that δ means the same whatever the scale of codes, all are divided by one number first, the root of the mean over
    features of their variances: that is ours.
    """
    import torch

    codes = torch.from_numpy(views).to(device).double()
    means = codes.mean(1, keepdim=True)
    between = (means - means.mean(0)).flatten(0, 1)
    within = (codes - means).flatten(0, 1)
    inner, outer = within.T @ within / len(within), between.T @ between / len(between)
    variance = (inner.diagonal() + outer.diagonal()).mean()
    if not bool(variance > 0):
        return 0.0
    inner, outer = inner / variance, outer / variance
    inner.diagonal().add_(DELTA)
    factor = torch.linalg.cholesky(inner)
    # L⁻¹ Σ_b L⁻ᵀ, where Σ_w = L·Lᵀ, has the eigenvalues of Σ_w^−½ Σ_b Σ_w^−½.
    half = torch.linalg.solve_triangular(factor, outer, upper=False)
    whitened = torch.linalg.solve_triangular(factor, half.T, upper=False)
    return _smooth_rank(_eigenvalues((whitened + whitened.T) / 2))
