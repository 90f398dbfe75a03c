"""Projections of feature matrices to two dimensions, by PCA and by t-SNE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRINCIPAL_COMPONENTS = 50
"""The most components used for t-SNE, for speed and against noise (L. van der Maaten, G. Hinton, "Visualizing data
using t-SNE", 2008, reduce to 30; scikit-learn's guide advises 50)."""

Plane = NDArray[np.float32]
"""Shape (n, 2)."""


def largest_perplexity(count: int) -> float:
    """Return the largest possible perplexity: t-SNE uses three times as many neighbors (van der Maaten 2014)."""
    return (count - 1) / 3


def most_neighbors(count: int) -> int:
    """Return the most neighbors: trustworthiness is normalized for fewer than half of the points."""
    return (count - 1) // 2


def principal_components(codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return 2 … 50 principal components, float32 of shape (n, k), and the share of the variance in the first two.

    The sign of a component is chosen such that its largest loading is positive.
    """
    from sklearn.decomposition import PCA

    pca = PCA(min(PRINCIPAL_COMPONENTS, *codes.shape), svd_solver="full")
    components = pca.fit_transform(codes).astype(np.float32)
    if components.shape[1] == 1:
        components = np.pad(components, ((0, 0), (0, 1)))
    return components, float(pca.explained_variance_ratio_[:2].sum())


def tsne(components: NDArray[np.float32], perplexity: float) -> Plane:
    """Return the map that t-SNE makes of principal components, started from the first two.

    This is scikit-learn's ``init="pca"`` without the random projections by which it approximates these two, so that
    nothing is random.
    """
    from sklearn.manifold import TSNE

    # Points start close together (scikit-learn's constant), so that the first forces order them.
    start = components[:, :2] / components[:, 0].std() * 1e-4
    plane: Plane = TSNE(2, perplexity=perplexity, init=start).fit_transform(components)
    return plane
