"""Linear filters that minimize a full-batch objective over patches: the common part of RICA and sparse filtering."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from reprbench import Run

from .single_layer import SingleLayer

ROW_SOFTENING = 1e-5
"""Added to the squared norm of a filter under the root, as by the authors of RICA."""


class LinearFilters(SingleLayer):
    """Full-batch L-BFGS from random filters, and one map per filter.

    The objectives are means over the patches where the papers have sums: PyTorch's L-BFGS stops at absolute tolerances
    (1e-7 for a slope, 1e-9 for a change), which thus do not get tighter with more patches. That, starting from random
    filters of unit norm, and the number of patches are our choices. An evaluation costs two products of all patches
    with all filters: the other terms of the objectives are quadratic in the patches and computed from their second
    moments, which are computed once.

    Parameters
    ----------
    n_features : how many filters.
    n_patches : how many patches are drawn; our choice.
    iterations : of L-BFGS; fewer if the objective no longer falls.

    Notes
    -----
    The history has ``objective`` every ten iterations, its value before them.
    """

    n_features: PositiveInt = 1600
    n_patches = 100_000
    iterations: PositiveInt = 300

    @property
    def n_maps(self) -> int:
        """One map per filter."""
        return self.n_features

    def start(self, patches: Tensor, run: Run) -> Tensor:
        """Return random filters (n_features, d) of unit norm, drawn from the generator "dictionary"."""
        shape = self.n_features, patches.shape[1]
        return unit_rows(torch.randn(shape, generator=run.generator("dictionary"), device=run.device))


def unit_rows(weights: Tensor) -> Tensor:
    """Return rows w/√(‖w‖² + 1e-5)."""
    return weights / (weights.square().sum(1, keepdim=True) + ROW_SOFTENING).sqrt()


def soft_absolute(responses: Tensor, softening: float) -> Tensor:
    """Return √(r² + `softening`) for every response r."""
    return responses.square().add_(softening).sqrt_()
