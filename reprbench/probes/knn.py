"""Exact nearest neighbors by batched matrix products, their vote, and distances to the nearest image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reprbench.errors import Diverged
from reprbench.features import Matrix

if TYPE_CHECKING:
    from reprbench.images import Images

BLOCK = 2**24
"""Distances in memory at a time."""
NUMBERS_AT_ONCE = 2**26
"""Pixel values in memory at a time, as float32, of the images among which the nearest is searched."""


def nearest(
    train: Matrix, test: Matrix, k: int, metric: Literal["euclidean", "cosine"], device: str = "cpu"
) -> NDArray[np.int64]:
    """Return the rows of `train` (n, d) that are nearest to each row of `test` (m, d), nearest first, shape (m, k).

    They are searched on `device`, where all of `train` is kept.

    Raises
    ------
    Diverged
        If features are NaN or infinite.
    """
    examples = torch.from_numpy(np.array(train, dtype=np.float32)).to(device)
    # A shift does not change Euclidean distances, and makes the numbers subtracted below small.
    center = examples.mean(0) if metric == "euclidean" else torch.zeros_like(examples[0])
    examples = _prepared(examples, center, metric)
    # ‖t − e‖² = ‖t‖² − 2(t·e − ½‖e‖²); the first term is the same for all examples. Unit vectors have ½‖e‖² = ½.
    offsets = examples.square().sum(1) / 2
    found = []
    step = max(1, BLOCK // len(examples))
    for start in range(0, len(test), step):
        asked = torch.from_numpy(np.array(test[start : start + step], dtype=np.float32)).to(device)
        queries = _prepared(asked, center, metric)
        closeness = torch.addmm(offsets, queries, examples.T, beta=-1)
        if not bool(torch.isfinite(closeness).all()):
            raise Diverged("the features hold NaN or infinite values")
        found.append(closeness.topk(k, dim=1).indices)
    return torch.cat(found).cpu().numpy()


def _prepared(rows: torch.Tensor, center: torch.Tensor, metric: str) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows - center


def vote(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most frequent label in each row of `labels` (m, k), nearest first; the first one in case of ties."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    winners: NDArray[np.int64] = labels[np.arange(len(labels)), votes.argmax(1)]
    return winners


def nearest_distances(images: torch.Tensor, real: Images, device: str = "cpu") -> NDArray[np.float64]:
    """Return the root mean squared difference of each image (N, C, H, W) to the nearest of `real`, shape (N,).

    `images` are on the CPU; the nearest is searched on `device`.
    """
    queries = images.flatten(1).numpy()
    least = np.full(len(queries), np.inf)
    step = max(1, NUMBERS_AT_ONCE // queries.shape[1])
    for start in range(0, len(real), step):
        some = real.batch(slice(start, min(start + step, len(real)))).flatten(1).numpy()
        found = some[nearest(some, queries, 1, "euclidean", device)[:, 0]]
        # Recomputed as differences: the distances of the search have the rounding errors of large products.
        least = np.minimum(least, np.sqrt(np.square(found - queries).mean(1, dtype=np.float64)))
    return least
