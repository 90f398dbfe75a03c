"""Reconstructions of images without a learner: by their mean, and by their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprbench.data.folds import named_generator, random_rows
from reprbench.images import Images

PCA_IMAGES = 5000
IMAGES_AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class Baselines:
    """The mean image, and principal components of the images.

    Attributes
    ----------
    mean_image : float32 (C, H, W), of all images.
    center : float32 (C·H·W,), the mean of the images that the components are fitted to.
    components : float32 (k, C·H·W), orthonormal, leading first.
    images : how many images the components are fitted to.
    """

    mean_image: NDArray[np.float32]
    center: NDArray[np.float32]
    components: NDArray[np.float32]
    images: int

    def dimension(self, features: int) -> int:
        """Return how many components to compare with a layer of `features` numbers: as many, or all there are."""
        return min(features, len(self.components))

    def projected(self, x: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
        """Return images (N, C, H, W) projected onto the leading components, clipped to [0, 1]."""
        if dimension == self.components.shape[1]:
            # A complete basis loses nothing; only rounding would be measured.
            return x
        directions = self.components[:dimension]
        pixels = self.center + (x.reshape(len(x), -1) - self.center) @ directions.T @ directions
        return np.clip(pixels, 0, 1).reshape(x.shape).astype(np.float32)


def fit_baselines(images: Images, name: str, dimension: int) -> Baselines:
    """Return the mean of `images`, and the `dimension` leading components, or all, of a fixed random subset.

    `name` is the dataset's; the subset depends on it alone.
    """
    from sklearn.decomposition import PCA

    most = images.most_vectors(PCA_IMAGES)
    rows = random_rows(len(images), most, named_generator(f"{name} components"))
    pixels = images.vectors(rows)
    size = pixels.shape[1]
    # n centered images span at most n − 1 directions.
    fitted = PCA(max(1, min(dimension, size, most - 1)), svd_solver="covariance_eigh" if size <= most else "full")
    fitted.fit(pixels)
    return Baselines(_mean_image(images), fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32), most)


def _mean_image(images: Images) -> NDArray[np.float32]:
    total = sum(batch.double().sum(0) for batch in images.batches(IMAGES_AT_ONCE))
    mean: NDArray[np.float32] = (total / len(images)).float().numpy()  # type: ignore[union-attr]
    return mean
