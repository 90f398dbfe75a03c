"""How high the images of a query's own class are ranked in a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprbench.features import Matrix
from reprbench.images import Labels
from reprbench.probes.knn import closeness

RANKED = 2**22
"""Pairs of a query and an image of the gallery that are sorted at a time; each takes some 60 bytes."""


@dataclass(frozen=True)
class Rankings:
    """Where each of m queries finds the images of its class among n of a gallery, the most similar first.

    Attributes
    ----------
    precision : float64 array of shape (m,)
        The average precision in [0, 1]: the mean, over the images of the class, of the share of them among all that are
        at least as similar. NaN for a query whose class is not in the gallery.
    first : int64 array of shape (m,)
        How many images come before the first of the class; n if there is none.
    """

    precision: NDArray[np.float64]
    first: NDArray[np.int64]

    def recall(self, k: int) -> float:
        """Return the share of queries, of those with their class in the gallery, that find it among the first `k`."""
        return float((self.first[np.isfinite(self.precision)] < k).mean())


def rank(
    gallery: Matrix,
    labels: Labels,
    queries: Matrix,
    classes: Labels,
    metric: Literal["euclidean", "cosine"],
    device: str = "cpu",
) -> Rankings:
    """Rank the whole gallery (n, D), of these `labels` (n,), for each query (m, D), of these `classes` (m,).

    Some queries are ranked at a time, on `device`, where all of the gallery is kept.

    Raises
    ------
    Diverged
        If features are NaN or infinite.
    """
    held, asked = (torch.from_numpy(np.asarray(one, dtype=np.int64)).to(device) for one in (labels, classes))
    step, found, done = max(1, RANKED // len(gallery)), [], 0
    for block in closeness(gallery, queries, metric, device):
        for part in torch.split(block, step):
            found.append(_ranked(part, held, asked[done : done + len(part)]))
            done += len(part)
    precision, first = zip(*found, strict=True)
    return Rankings(torch.cat(precision).cpu().numpy(), torch.cat(first).cpu().numpy())


def _ranked(near: Tensor, labels: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the average precision and the number of images before the first of the class, each of shape (m,)."""
    values, order = near.sort(dim=1, descending=True, stable=True)
    relevant = labels[order] == classes[:, None]
    hits = relevant.cumsum(1, dtype=torch.int32)
    # Images that are equally similar have no order: each counts as ranked where the last of them is.
    last = torch.ones_like(relevant)
    last[:, :-1] = values[:, 1:] != values[:, :-1]
    count = near.shape[1]
    ends = torch.where(last, torch.arange(count, device=near.device), count).flip(1).cummin(1).values.flip(1)
    precision = hits.gather(1, ends).double() / (ends + 1)
    # 0 / 0 is NaN where there is nothing to find.
    return (precision * relevant).sum(1) / hits[:, -1], (hits == 0).sum(1)
