"""K-means dictionaries, random ones as a control, and their triangle and hard encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from reprbench import Run, register

from .iterations import State, iterate
from .single_layer import SingleLayer

CHUNK = 2048
"""Patches at a time whose products with all centroids are in memory: 13 MB for 1600 centroids."""


class Centroids(SingleLayer):
    """Centroids of whitened patches, and the distances of a patch from them.

    Source: A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in unsupervised feature learning" (2011).

    Parameters
    ----------
    n_centroids : how many; the paper's is 1600 (4000 for its best result).
    encoder : "triangle" is max(0, μ(z) − z_k), with z_k the distance to centroid k and μ(z) their mean; "hard" is 1
        for the nearest centroid and 0 for the others.
    receptive_field, stride, downsample, n_patches, contrast, whitening : see `SingleLayer`.
    """

    n_centroids: PositiveInt = 1600
    encoder: Literal["triangle", "hard"] = "triangle"

    @property
    def n_maps(self) -> int:
        """One map per centroid."""
        return self.n_centroids

    def activate(self, patches: Tensor) -> Tensor:
        """Return the features (n, n_centroids) of patches (n, d)."""
        whitened = self.whitened(patches)
        if self.encoder == "triangle":
            return triangle(whitened, self.dictionary)
        scores = whitened @ self.dictionary.T - half_squares(self.dictionary)
        return torch.zeros_like(scores).scatter_(1, largest(scores)[:, None], 1.0)


@register("kmeans")
class KMeans(Centroids):
    """K-means on patches (see `Centroids`): Lloyd's iterations from random patches.

    A centroid without any patch is moved to the patch that is farthest from its own centroid. That, and starting from
    patches, are our choices; the number of iterations is the paper's.

    Parameters
    ----------
    iterations : Lloyd iterations.

    Notes
    -----
    The history has ``inertia``, the mean squared distance of a patch to its centroid, and ``moved``, how many
    centroids had no patch.
    """

    version: ClassVar[int] = 1

    iterations: PositiveInt = 50

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the centroids."""

        def step(state: State) -> tuple[State, Mapping[str, float]]:
            centroids, inertia, moved = lloyd_step(patches, state["centroids"].to(patches.device))
            return {"centroids": centroids}, {"inertia": inertia, "moved": moved}

        begin: State = {"centroids": random_patches(patches, self.n_centroids, run)}
        centroids: Tensor = iterate(run, self.iterations, begin, step)["centroids"]
        return centroids.to(patches.device)


@register("random-patches")
class RandomPatches(Centroids):
    """The encoder of `kmeans` with random patches as centroids: the contribution of the encoder alone."""

    kind = "control"
    version: ClassVar[int] = 1

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return some of the patches."""
        return random_patches(patches, self.n_centroids, run)


def random_patches(patches: Tensor, count: int, run: Run) -> Tensor:
    """Return `count` random `patches`, all different unless there are fewer, drawn by the generator "dictionary"."""
    generator = run.numpy_generator("dictionary")
    return patches[torch.from_numpy(generator.choice(len(patches), count, replace=count > len(patches)))]


def lloyd_step(patches: Tensor, centroids: Tensor) -> tuple[Tensor, float, int]:
    """Return the next centroids, the mean squared distance to the given ones, and how many of those had no patch."""
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    labels, distances = [], []
    offsets = half_squares(centroids)
    for chunk, scores in products(patches, centroids):
        nearest = largest(scores.sub_(offsets))
        # ‖z − c‖² = ‖z‖² − 2(z·c − ½‖c‖²)
        best = scores.gather(1, nearest[:, None]).squeeze(1).double()
        distances.append(chunk.double().square().sum(1).sub_(best, alpha=2))
        labels.append(nearest)
        sums.index_add_(0, nearest, chunk.double())
    nearest, squares = torch.cat(labels), torch.cat(distances).clamp_(min=0)
    inertia = float(squares.mean())
    counts = nearest.bincount(minlength=len(centroids))
    empty = (counts == 0).nonzero().squeeze(1)
    if len(empty):
        farthest = squares.topk(min(len(empty), len(squares))).indices
        empty, lost = empty[: len(farthest)], patches[farthest].double()
        sums.index_add_(0, nearest[farthest], -lost).index_copy_(0, empty, lost)
        counts = counts.index_add(0, nearest[farthest], -torch.ones_like(farthest)).index_fill(0, empty, 1)
    means = (sums / counts.clamp(min=1)[:, None]).float()
    return torch.where(counts[:, None] > 0, means, centroids), inertia, len(empty)


def products(patches: Tensor, dictionary: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of `patches` and their products (n, K) with the `dictionary` (K, d), in one reused buffer."""
    memory = patches.new_empty(min(CHUNK, len(patches)), len(dictionary))
    for chunk in patches.split(CHUNK):
        yield chunk, torch.mm(chunk, dictionary.T, out=memory[: len(chunk)])


def largest(scores: Tensor) -> Tensor:
    """Return the position of the largest score of every row of `scores` (n, K), shape (n,)."""
    # On the CPU NumPy takes a fifth of the time.
    return torch.from_numpy(scores.numpy().argmax(1)) if scores.device.type == "cpu" else scores.argmax(1)


def half_squares(centroids: Tensor) -> Tensor:
    """Return ½‖c‖² of every row, shape (K,)."""
    return centroids.square().sum(1) / 2


def triangle(patches: Tensor, centroids: Tensor) -> Tensor:
    """Return max(0, μ(z) − z_k), shape (n, K), for patches (n, d): z_k = ‖patch − centroid k‖, μ(z) their mean."""
    distances = torch.addmm(centroids.square().sum(1), patches, centroids.T, alpha=-2)
    # Rounding can make a distance of 0 negative.
    distances.add_(patches.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_()
    return distances.neg_().sub_(distances.mean(1, keepdim=True)).relu_()
