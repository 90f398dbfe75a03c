"""Sparse filtering: filters whose features are sparse while all are equally active."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from reprbench import Run, register

from .iterations import minimize
from .kmeans import products
from .linear_filters import LinearFilters, soft_absolute
from .patches import second_moments

SOFTENING = 1e-8
"""Added to squared responses under the root, as by the authors."""


@register("sparse-filtering")
class SparseFiltering(LinearFilters):
    """Sparse filtering: features as sparse as possible, all equally active, with equal norms for all patches.

    Source: J. Ngiam, P. Koh, Z. Chen, S. Bhaskar, A. Ng, "Sparse filtering" (2011): the soft absolute responses
    √((w_k·x)² + 1e-8) are divided by their L2 norm over the patches, then by their L2 norm over the features of a
    patch; the sum of the result is minimized. Images are encoded the same way, with the norms over the training
    patches. These norms are divided by √n here, which changes nothing but makes them independent of the number n of
    patches. Our choices: patches are whitened, and 1e-8 is not also added under the roots of the norms, as in the
    authors' program.

    Parameters
    ----------
    n_features, n_patches, iterations : see `LinearFilters`; 200 iterations are the authors'.
    receptive_field, stride, downsample, contrast, whitening : see `SingleLayer`.
    """

    version: ClassVar[int] = 1

    iterations = 200

    norms: Tensor
    """(n_features,), the root mean square of each soft absolute response over the training patches."""

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the filters, and set their norms."""
        moments = second_moments(patches)
        objective = partial(sparse_filtering, patches=patches, moments=moments)
        filters = minimize(objective, self.start(patches, run), self.iterations, run)
        self.norms = feature_norms(filters.double(), moments).float()
        return filters

    def activate(self, patches: Tensor) -> Tensor:
        """Return the features (n, n_features) of patches (n, d); those of each patch have unit norm."""
        features = soft_absolute(self.responses(patches), SOFTENING).div_(self.norms)
        return functional.normalize(features, out=features)


def sparse_filtering(weights: Tensor, patches: Tensor, moments: Tensor) -> Tensor:
    """Return the objective of sparse filtering and leave its gradient in ``weights.grad``.

    With r the responses, ν the norms over the patches and f_k = √(r_k² + ε)/ν_k, a patch costs Σ_k f_k/‖f‖. Its slopes
    are g_k = 1/‖f‖ − f_k Σ_j f_j/‖f‖³ in f_k, so g_k r_k/(ν_k² f_k) in r_k, and −g_k f_k/ν_k in ν_k.

    Parameters
    ----------
    weights : filters (n_features, d), a leaf that requires a gradient; their norms do not affect the features, except
        through the softening.
    patches : (n, d); worked through in chunks, with sums in float64.
    moments : float64 of shape (d, d), what `second_moments` returns for the patches.
    """
    filters = weights.double()
    norms = feature_norms(filters, moments)
    fixed = norms.detach()
    total, slope, norms_slope = filters.new_zeros(()), torch.zeros_like(filters), torch.zeros_like(norms)
    for chunk, responses in products(patches, weights.detach()):
        features = soft_absolute(responses, SOFTENING).div_(fixed.to(patches.dtype))
        inverse = torch.linalg.vector_norm(features, dim=1, keepdim=True).reciprocal_()
        costs = features.sum(1, keepdim=True).mul_(inverse)
        total += costs.sum(dtype=torch.float64)
        slopes = inverse - features * (costs * inverse.square())
        slope += responses.mul_(slopes).div_(features).T @ chunk
        norms_slope -= slopes.mul_(features).sum(0)
    slope /= fixed.square()[:, None]
    norms_slope /= fixed
    # Linear in filters and norms, with the gradients of the objective in both.
    surrogate = (slope * filters).sum() + (norms_slope * norms).sum()
    (surrogate / len(patches)).backward()  # type: ignore[no-untyped-call]
    return total / len(patches)


def feature_norms(filters: Tensor, moments: Tensor) -> Tensor:
    """Return the root mean square over the patches of the soft absolute responses √((w_k·x)² + ε), shape (K,)."""
    return ((filters @ moments) * filters).sum(1).add(SOFTENING).sqrt()
