"""RICA: filters with sparse responses, from which they reconstruct the patches."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional

from reprbench import Run, register

from .iterations import minimize
from .kmeans import products
from .linear_filters import LinearFilters, soft_absolute, unit_rows
from .patches import second_moments

SOFTENING = 1e-5
"""Added to squared responses under the root, as by the authors."""


@register("rica")
class RICA(LinearFilters):
    """Reconstruction ICA: sparse responses, from which the same filters reconstruct the patch.

    Source: Q. Le, A. Karpenko, J. Ngiam, A. Ng, "ICA with reconstruction cost for efficient overcomplete feature
    learning" (2011): the mean over whitened patches x of unit norm of λ Σ_k √((w_k·x)² + 1e-5) + ½‖WᵀWx − x‖², with
    the rows of W normalized. On STL-10 the paper encodes the 96×96 images with receptive_field=10, and pools by the
    square root of the sum of squares over quadrants. The maps are |w_k·x| (our choice), which makes no difference to
    that pooling; with a maximum or a mean, half of the signed responses would be lost or cancel.

    Parameters
    ----------
    sparsity : λ.
    n_features, n_patches, iterations : see `LinearFilters`; 300 iterations are the authors'.
    receptive_field, stride, downsample, contrast, whitening : see `SingleLayer`.
    """

    version: ClassVar[int] = 1

    sparsity: NonNegativeFloat = 0.05

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the filters, of unit norm."""
        functional.normalize(patches, out=patches)
        objective = partial(rica, patches=patches, moments=second_moments(patches), sparsity=self.sparsity)
        return unit_rows(minimize(objective, self.start(patches, run), self.iterations, run))

    def activate(self, patches: Tensor) -> Tensor:
        """Return |w_k·x| for patches x (n, d), whitened and of unit norm; shape (n, n_features)."""
        return functional.linear(functional.normalize(self.whitened(patches)), self.dictionary).abs_()


def rica(weights: Tensor, patches: Tensor, moments: Tensor, sparsity: float) -> Tensor:
    """Return the objective of RICA and leave its gradient in ``weights.grad``.

    With A the filters of unit norm, M = 1 − AᵀA and C the second moments of the patches, the mean reconstruction cost
    is ½ tr(M C M); the patches themselves are needed only for the sparsity.

    Parameters
    ----------
    weights : filters (n_features, d) of any norm, a leaf that requires a gradient.
    patches : (n, d); worked through in chunks, with sums in float64.
    moments : float64 of shape (d, d), what `second_moments` returns for the patches.
    sparsity : λ.
    """
    filters = unit_rows(weights.double())
    unexplained = torch.eye(filters.shape[1], dtype=filters.dtype, device=filters.device) - filters.T @ filters
    reconstruction = ((unexplained @ moments) * unexplained).sum() / 2
    total, slope = filters.new_zeros(()), torch.zeros_like(filters)
    for chunk, responses in products(patches, filters.detach().to(patches.dtype)):
        magnitudes = soft_absolute(responses, SOFTENING)
        total += magnitudes.sum(dtype=torch.float64)
        slope += responses.div_(magnitudes).T @ chunk
    weight = sparsity / len(patches)
    # Linear in the filters, with the gradient of the sparsity.
    (reconstruction + weight * (slope * filters).sum()).backward()  # type: ignore[no-untyped-call]
    return reconstruction.detach() + weight * total
