"""Linear filters that minimize a full-batch objective over patches: RICA and sparse filtering."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from reprbench import Run, register

from .iterations import minimize
from .kmeans import products
from .patches import BLOCK
from .single_layer import SingleLayer

RICA_SOFTENING, SPARSE_FILTERING_SOFTENING = 1e-5, 1e-8
"""What is added to squared responses below the root: the authors'."""
ROW_SOFTENING = 1e-5
"""What is added to the squared norm of a filter below the root: the authors' of RICA."""


class Filters(SingleLayer):
    """What the two have in common: full-batch L-BFGS from random filters, and one map for each filter.

    The objectives are means over the patches where the papers have sums: PyTorch's L-BFGS stops at absolute tolerances
    (1e-7 for a slope, 1e-9 for a change), which so do not get tighter with more patches. That, to begin with random
    filters of unit norm, and the number of patches are choices of ours. An evaluation costs two products of all
    patches with all filters: what the objectives need besides is quadratic in the patches, and comes from their second
    moments, which are found once.

    Parameters
    ----------
    n_features : how many filters.
    n_patches : how many patches are drawn; a choice of ours.
    iterations : of L-BFGS; fewer are made where the objective no longer falls.

    Notes
    -----
    The history has ``objective`` every ten iterations, as it was before them.
    """

    n_features: PositiveInt = 1600
    n_patches = 100_000
    iterations: PositiveInt = 300

    @property
    def n_maps(self) -> int:
        """One map for each filter."""
        return self.n_features

    def start(self, patches: Tensor, run: Run) -> Tensor:
        """Return random filters (n_features, d) of unit norm, drawn from the generator "dictionary"."""
        shape = self.n_features, patches.shape[1]
        return unit_rows(torch.randn(shape, generator=run.generator("dictionary"), device=run.device))


@register("rica")
class RICA(Filters):
    """Reconstruction ICA: sparse responses, from which the filters themselves reconstruct the patch.

    Source: Q. Le, A. Karpenko, J. Ngiam, A. Ng, "ICA with reconstruction cost for efficient overcomplete feature
    learning" (2011): the mean over whitened patches x of unit norm of λ Σ_k √((w_k·x)² + 1e-5) + ½‖WᵀWx − x‖², with
    the rows of W normalized. On STL-10 the paper encodes the 96×96 images with receptive_field=10, and pools by the
    square root of the sum of squares over quadrants. The maps are |w_k·x|, which that pooling does not tell from
    w_k·x; under a maximum or a mean the signs of the responses would cancel or hide half of them (a choice of ours).

    Parameters
    ----------
    sparsity : λ.
    n_features, n_patches, iterations : see `Filters`; 300 iterations are the authors'.
    receptive_field, stride, downsample, contrast, whitening : see `SingleLayer`.
    """

    sparsity: NonNegativeFloat = 0.05

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the filters, of unit norm."""
        functional.normalize(patches, out=patches)
        objective = partial(rica, patches=patches, moments=second_moments(patches), sparsity=self.sparsity)
        return unit_rows(minimize(objective, self.start(patches, run), self.iterations, run))

    def activate(self, patches: Tensor) -> Tensor:
        """Return |w_k·x| for patches x (n, d), whitened and of unit norm; shape (n, n_features)."""
        return functional.linear(functional.normalize(self.whitened(patches)), self.dictionary).abs_()


@register("sparse-filtering")
class SparseFiltering(Filters):
    """Sparse filtering: features as sparse as can be where all are equally active, and all patches equally described.

    Source: J. Ngiam, P. Koh, Z. Chen, S. Bhaskar, A. Ng, "Sparse filtering" (2011): the soft absolute responses
    √((w_k·x)² + 1e-8) are divided by their L2 norm over the patches, then by their L2 norm over the features of a
    patch; what is minimized is the sum of the result. Images are encoded the same way, with the norms over the
    training patches. These norms are divided by √n here, which changes nothing but makes them independent of the
    number n of patches. To whiten the patches, and not to add 1e-8 below the roots of the norms too, as the authors'
    program does, are choices of ours.

    Parameters
    ----------
    n_features, n_patches, iterations : see `Filters`; 200 iterations are the authors'.
    receptive_field, stride, downsample, contrast, whitening : see `SingleLayer`.
    """

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
        features = soft_absolute(self.responses(patches), SPARSE_FILTERING_SOFTENING).div_(self.norms)
        return functional.normalize(features, out=features)


def rica(weights: Tensor, patches: Tensor, moments: Tensor, sparsity: float) -> Tensor:
    """Return the objective of RICA and leave its gradient in ``weights.grad``.

    With A the filters of unit norm, M = 1 − AᵀA and C the second moments of the patches, the mean reconstruction cost
    is ½ tr(M C M); the patches themselves are needed for the sparsity alone.

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
        magnitudes = soft_absolute(responses, RICA_SOFTENING)
        total += magnitudes.sum(dtype=torch.float64)
        slope += responses.div_(magnitudes).T @ chunk
    weight = sparsity / len(patches)
    # Linear in the filters, with the gradient of the sparsity.
    (reconstruction + weight * (slope * filters).sum()).backward()  # type: ignore[no-untyped-call]
    return reconstruction.detach() + weight * total


def sparse_filtering(weights: Tensor, patches: Tensor, moments: Tensor) -> Tensor:
    """Return the objective of sparse filtering and leave its gradient in ``weights.grad``.

    With r the responses, ν the norms over the patches and f_k = √(r_k² + ε)/ν_k, a patch costs Σ_k f_k/‖f‖. Its slopes
    are g_k = 1/‖f‖ − f_k Σ_j f_j/‖f‖³ in f_k, so g_k r_k/(ν_k² f_k) in r_k, and −g_k f_k/ν_k in ν_k.

    Parameters
    ----------
    weights, patches, moments : as in `rica`; filters of other norms have the same features, but for the softening.
    """
    filters = weights.double()
    norms = feature_norms(filters, moments)
    fixed = norms.detach()
    total, slope, norms_slope = filters.new_zeros(()), torch.zeros_like(filters), torch.zeros_like(norms)
    for chunk, responses in products(patches, weights.detach()):
        features = soft_absolute(responses, SPARSE_FILTERING_SOFTENING).div_(fixed.to(patches.dtype))
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


def second_moments(patches: Tensor) -> Tensor:
    """Return the mean of x·xᵀ over the patches x (n, d), float64 of shape (d, d)."""
    size = patches.shape[1]
    total = torch.zeros(size, size, dtype=torch.float64, device=patches.device)
    for block in patches.split(BLOCK):
        total.addmm_(block.double().T, block.double())
    return total / len(patches)


def feature_norms(filters: Tensor, moments: Tensor) -> Tensor:
    """Return the root mean square over the patches of the soft absolute responses √((w_k·x)² + ε), shape (K,)."""
    return ((filters @ moments) * filters).sum(1).add(SPARSE_FILTERING_SOFTENING).sqrt()


def unit_rows(weights: Tensor) -> Tensor:
    """Return rows w/√(‖w‖² + 1e-5)."""
    return weights / (weights.square().sum(1, keepdim=True) + ROW_SOFTENING).sqrt()


def soft_absolute(responses: Tensor, softening: float) -> Tensor:
    """Return √(r² + `softening`) for every number r."""
    return responses.square().add_(softening).sqrt_()
