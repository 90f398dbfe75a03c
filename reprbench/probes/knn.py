"""Exact nearest neighbors by batched matrix products, their vote, and distances to the nearest image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

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
    return torch.cat([block.topk(k, dim=1).indices for block in closeness(train, test, metric, device)]).cpu().numpy()


def nearest_cosines(
    train: Matrix, test: Matrix, k: int, device: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return what `nearest` returns for the cosine, and the cosines of these pairs, both of shape (m, k)."""
    found = [block.topk(k, dim=1) for block in closeness(train, test, "cosine", device)]
    # The closeness of unit vectors is their cosine less a half.
    cosines = torch.cat([one.values for one in found]) + 0.5
    return torch.cat([one.indices for one in found]).cpu().numpy(), cosines.cpu().numpy()


def closeness(
    train: Matrix, test: Matrix, metric: Literal["euclidean", "cosine"], device: str = "cpu"
) -> Iterator[torch.Tensor]:
    """Yield numbers that are larger for nearer pairs of a row of `test` (m, d) and one of `train` (n, d).

    They are of shape (some rows of test, n), in order, in blocks of about `BLOCK` numbers: cosines less a half, or half
    of the squared distances, negative, up to a number that is the same for all rows of `train`.

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
    step = max(1, BLOCK // len(examples))
    for start in range(0, len(test), step):
        asked = torch.from_numpy(np.array(test[start : start + step], dtype=np.float32)).to(device)
        queries = _prepared(asked, center, metric)
        found = torch.addmm(offsets, queries, examples.T, beta=-1)
        if not bool(torch.isfinite(found).all()):
            raise Diverged("the features hold NaN or infinite values")
        yield found


def _prepared(rows: torch.Tensor, center: torch.Tensor, metric: str) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows - center


def vote(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the most frequent label in each row of `labels` (m, k), nearest first; the first one in case of ties."""
    return weighted_vote(labels, np.ones(labels.shape, dtype=np.int64))


def weighted_vote(labels: NDArray[np.int64], weights: NDArray[Any]) -> NDArray[np.int64]:
    """Return the label of each row of `labels` (m, k) whose `weights` (m, k) add up to most; the first one if several.

    Only labels of the row are candidates, however small their weights.
    """
    winners = np.empty(len(labels), dtype=np.int64)
    step = max(1, BLOCK // labels.shape[1] ** 2)
    for start in range(0, len(labels), step):
        block, given = labels[start : start + step], weights[start : start + step]
        votes = np.where(block[:, :, None] == block[:, None, :], given[:, None, :], 0).sum(2)
        winners[start : start + step] = block[np.arange(len(block)), votes.argmax(1)]
    return winners


def exponential_weights(cosines: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return exp(cosine / temperature) of neighbors (m, k), divided by that of the nearest, in the column 0."""
    # Relative to the nearest they neither overflow nor are all 0, whatever the temperature.
    differences = cosines.astype(np.float64) - cosines[:, :1]
    weights: NDArray[np.float64] = np.exp(differences / temperature)
    return weights


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
