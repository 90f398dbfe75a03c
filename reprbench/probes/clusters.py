"""k-means clusters of codes, matched to classes, and how well they agree with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprbench.errors import Diverged
from reprbench.features import Matrix
from reprbench.images import Labels

Assignment = NDArray[np.int64]
"""The cluster, 0 … K − 1, of each of n images, shape (n,)."""


@dataclass(frozen=True)
class Agreement:
    """How well clusters agree with classes.

    Attributes
    ----------
    confusion : int64 array of shape (K, K)
        How many images of a class (row) are in the cluster that is matched to a class (column).
    accuracy : the share of images in the cluster matched to their class, in [0, 1]; no matching gives a larger one.
    mutual_information : normalized by the arithmetic mean of both entropies, in [0, 1].
    rand_index : adjusted for chance, at most 1.
    """

    confusion: NDArray[np.int64]
    accuracy: float
    mutual_information: float
    rand_index: float


def cluster(codes: Matrix, count: int, seed: int, n_init: int) -> Assignment:
    """Return the clusters of the codes (n, D) by Lloyd's k-means, the best of `n_init` starts by k-means++.

    Raises
    ------
    Diverged
        If codes are NaN or infinite.
    """
    from sklearn.cluster import KMeans

    if not np.isfinite(codes).all():
        raise Diverged("the features hold NaN or infinite values")
    found: Assignment = KMeans(count, n_init=n_init, random_state=seed).fit_predict(codes).astype(np.int64)
    return found


def agreement(clusters: Assignment, labels: Labels, n_classes: int) -> Agreement:
    """Match `n_classes` clusters to as many classes, one to one, and measure how they agree."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (labels, clusters), 1)
    # Rows are classes in order, so the columns come in the order of the classes that they are matched to.
    matched = linear_sum_assignment(counts, maximize=True)[1]
    confusion = counts[:, matched]
    return Agreement(
        confusion=confusion,
        accuracy=float(np.trace(confusion) / len(labels)),
        mutual_information=float(normalized_mutual_info_score(labels, clusters)),
        rand_index=float(adjusted_rand_score(labels, clusters)),
    )
