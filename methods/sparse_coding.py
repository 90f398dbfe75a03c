"""Sparse coding of patches: dictionaries by OMP-1 or alternation, soft-threshold and sparse-coding encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from reprbench import Run, register

from .iterations import State, iterate
from .kmeans import CHUNK, largest, products, random_patches
from .single_layer import SingleLayer, split_polarity

REDRAWN_BELOW = 1e-3
"""An OMP-1 dictionary row with a smaller squared norm, before normalization, is redrawn."""
SHRINKAGE_STEPS = 100
OMP_ITERATIONS, ALTERNATIONS = 50, 10


@register("sc")
class SC(SingleLayer):
    """Sparse coding: a dictionary of unit-norm rows, and thresholded responses or sparse codes, split by sign.

    Source: A. Coates, A. Ng, "The importance of encoding versus training with sparse coding and vector quantization"
    (2011). Its 59.0 % on STL-10 has the sparse-coding encoder; the soft threshold costs a few hundredths of the time.

    Parameters
    ----------
    n_features : rows of the dictionary; twice as many feature maps.
    training : "omp1" (orthogonal matching pursuit with one active row, like gain-shape vector quantization) or
        "sparse-coding" (alternates ½‖z − sD‖² + λ‖s‖₁ between codes and dictionary).
    encoder : "soft-threshold" is [max(Dz − α, 0), max(−Dz − α, 0)]; "sparse-coding" is [max(s, 0), max(−s, 0)] with
        the code s that minimizes the objective above, by `SHRINKAGE_STEPS` steps of accelerated proximal gradient
        descent (our choice; the number is the same for every patch, so that none depends on another).
    threshold : α; the paper's is 0.25.
    penalty : λ of both the training and the encoder; the paper's is 1 for training.
    iterations : by default the paper's: 50 of OMP-1, 10 alternations.

    Notes
    -----
    Starting from random patches, and redrawing unused rows of an alternated dictionary from them, are our choices;
    OMP-1 redraws rows from a normal distribution, as the authors do. The history has ``objective``, the mean over the
    patches of ½‖z − sD‖² + λ‖s‖₁ (OMP-1: of ½‖z − sD‖²), and ``redrawn``, the number of redrawn rows.
    """

    version: ClassVar[int] = 1

    n_features: PositiveInt = 1600
    training: Literal["omp1", "sparse-coding"] = "omp1"
    encoder: Literal["soft-threshold", "sparse-coding"] = "soft-threshold"
    threshold: NonNegativeFloat = 0.25
    penalty: PositiveFloat = 1.0
    iterations: PositiveInt | None = None

    @property
    def n_maps(self) -> int:
        """Two maps per row of the dictionary: the positive and the negative part."""
        return 2 * self.n_features

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the dictionary."""

        def step(state: State) -> tuple[State, Mapping[str, float]]:
            dictionary = state["dictionary"].to(patches.device)
            if self.training == "omp1":
                following, objective, unused = omp1_step(patches, dictionary)
                fresh = torch.randn(following.shape, generator=run.generator("redrawn"), device=patches.device)
            else:
                following, objective, unused = alternation(patches, dictionary, self.penalty)
                number = f"redrawn/{state['number']}"
                fresh = patches[torch.from_numpy(run.numpy_generator(number).integers(len(patches), size=len(unused)))]
            following = unit_rows(torch.where(unused[:, None], fresh, following))
            values = {"objective": objective, "redrawn": float(unused.sum())}
            return {"dictionary": following, "number": state["number"] + 1}, values

        begin: State = {"dictionary": unit_rows(random_patches(patches, self.n_features, run)), "number": 0}
        total = self.iterations or (OMP_ITERATIONS if self.training == "omp1" else ALTERNATIONS)
        dictionary: Tensor = iterate(run, total, begin, step)["dictionary"]
        return dictionary.to(patches.device)

    def activate(self, patches: Tensor) -> Tensor:
        """Return the features (n, 2·n_features) of patches (n, d)."""
        if self.encoder == "soft-threshold":
            return split_polarity(self.responses(patches), self.threshold)
        return split_polarity(sparse_codes(self.whitened(patches), self.dictionary, self.penalty))


def omp1_step(patches: Tensor, dictionary: Tensor) -> tuple[Tensor, float, Tensor]:
    """Return Σ s·z of every row over the patches it wins, the mean of ½‖z − s·d‖², and the rows that won too little.

    A patch is won by the row d with the largest |d·z|, with s = d·z. Scaled to unit norm, the sums are the next rows.
    """
    sums = torch.zeros_like(dictionary, dtype=torch.float64)
    error = torch.zeros((), dtype=torch.float64, device=patches.device)
    for chunk, scores in products(patches, dictionary):
        winners = largest(scores.abs_())
        strengths = (chunk * dictionary[winners]).sum(1, keepdim=True)
        sums.index_add_(0, winners, (chunk * strengths).double())
        error += chunk.double().square().sum() - strengths.double().square().sum()
    return sums.float(), float(error / (2 * len(patches))), sums.square().sum(1) < REDRAWN_BELOW


def alternation(patches: Tensor, dictionary: Tensor, penalty: float) -> tuple[Tensor, float, Tensor]:
    """Return the dictionary after one pass over its rows, the objective before, and the rows that no patch used.

    With the codes s of all patches fixed, each row in turn is set to minimize Σ ½‖z − sD‖² (J. Mairal, F. Bach,
    J. Ponce, G. Sapiro, "Online dictionary learning for sparse coding", 2009, algorithm 2), with unit norm.
    """
    count = len(dictionary)
    gram = torch.zeros(count, count, dtype=torch.float64, device=patches.device)
    correlation = torch.zeros(dictionary.shape, dtype=torch.float64, device=patches.device)
    objective = torch.zeros((), dtype=torch.float64, device=patches.device)
    for chunk in patches.split(CHUNK):
        codes = sparse_codes(chunk, dictionary, penalty)
        gram += codes.T @ codes
        correlation += codes.T @ chunk
        objective += lasso(chunk, dictionary, codes, penalty).double().sum()
    unused = gram.diagonal() <= 1e-6 * len(patches)
    following = dictionary.double()
    for row in (~unused).nonzero().squeeze(1).tolist():
        change = (correlation[row] - gram[row] @ following) / gram[row, row]
        following[row] = unit_rows((following[row] + change)[None])[0]
    return following.float(), float(objective / len(patches)), unused


def sparse_codes(patches: Tensor, dictionary: Tensor, penalty: float, steps: int = SHRINKAGE_STEPS) -> Tensor:
    """Return the codes s (n, K) that minimize ½‖z − sD‖² + λ‖s‖₁ for patches z (n, d) and a dictionary D (K, d).

    Accelerated proximal gradient descent (A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm",
    2009) whose momentum is restarted, for each patch, when it points uphill (B. O'Donoghue, E. Candès, 2015).
    """
    rate = 1 / max(1e-12, float(torch.linalg.matrix_norm(dictionary.double(), ord=2)) ** 2)
    back = rate * dictionary.T
    codes = patches.new_zeros(len(patches), len(dictionary))
    ahead, momentum = codes, patches.new_ones(len(patches), 1)
    for _ in range(steps):
        residual = torch.addmm(patches, ahead, dictionary, alpha=-1)
        moved = torch.addmm(ahead, residual, back)
        following = functional.softshrink(moved, rate * penalty)
        change = following - codes
        uphill = ((ahead - following) * change).sum(1, keepdim=True) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        grown = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        ahead = torch.addcmul(following, (momentum - 1) / grown, change)
        codes, momentum = following, grown
    return codes


def lasso(patches: Tensor, dictionary: Tensor, codes: Tensor, penalty: float) -> Tensor:
    """Return ½‖z − sD‖² + λ‖s‖₁ of every patch, shape (n,)."""
    return (patches - codes @ dictionary).square().sum(1) / 2 + penalty * codes.abs().sum(1)


def unit_rows(rows: Tensor) -> Tensor:
    """Return the rows scaled to unit norm; a row of zeros stays one."""
    return functional.normalize(rows, dim=1, eps=1e-10)
