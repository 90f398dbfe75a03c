"""Controls that every table needs: the untrained encoder, the pixels themselves, and their principal components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from reprbench import FeatureMaps, Images, ImageShape, Learner, Run, measure_batch_norm, register

from .networks import Architecture, Encoder


@register("untrained")
class Untrained(Learner):
    """The encoder of `ae` with random weights: the contribution of the architecture alone.

    Its batch normalizations would do nothing in evaluation without statistics, so these are measured, like those of
    a trained encoder at the end of its fit. The weights are not changed. Source: our choice.

    Parameters
    ----------
    width : as in `ae`; with equal seeds the weights are those that `ae` starts from.
    calibration_images : the most images on which the statistics are measured.
    """

    kind = "control"
    version: ClassVar[int] = 1

    width: PositiveInt | None = None
    calibration_images: PositiveInt = 5000

    encoder: Encoder

    def build(self, shape: ImageShape) -> None:
        """Make the encoder."""
        self.encoder = Encoder(Architecture.of(shape, self.width))

    def fit(self, images: Images, run: Run) -> None:
        """Measure the statistics of the batch normalizations."""
        self.encoder.to(run.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        run.images_seen += measure_batch_norm(self, images, run, self.calibration_images)
        self.encoder.eval()

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder; the last is the code."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps


@register("raw-pixels")
class RawPixels(Learner):
    """The pixels themselves: the baseline that every representation must beat."""

    kind = "control"
    version: ClassVar[int] = 1

    def build(self, shape: ImageShape) -> None:
        """Remember the shape of the images."""
        self._shape = shape

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the pixels as vectors, so that no pooling applies."""
        return {"pixels": x.flatten(1)}

    def decode(self, h: Tensor) -> Tensor:
        """Return the vectors `h` as images: the identity, with which every reconstruction is to be compared."""
        return h.unflatten(1, self._shape)

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return `x` unchanged."""
        return x


@register("pca")
class PCA(Learner):
    """The leading principal components of the pixels, exact, in float64, on a bounded number of random images.

    Source: our choice; computed by scikit-learn. The images are at most `fit_images`, and as many as fit into 500 MB as
    float64 numbers (2260 at 96×96×3).

    Parameters
    ----------
    n_components : how many; fewer if the images have a lower rank.
    whiten : whether each component is scaled to unit variance.
    fit_images : the most images to fit to.
    """

    kind = "control"
    version: ClassVar[int] = 1

    n_components: PositiveInt = 64
    whiten: bool = False
    fit_images: PositiveInt = 10_000

    mean: Tensor
    directions: Tensor
    """(n_components, C·H·W); with `whiten`, divided by the standard deviations."""

    def build(self, shape: ImageShape) -> None:
        """Remember the shape of the images."""
        self._shape = shape

    def fit(self, images: Images, run: Run) -> None:
        """Find the components."""
        from sklearn import decomposition

        order = run.numpy_generator("chosen images").permutation(len(images))
        pixels = images.vectors(order[: images.most_vectors(self.fit_images)])
        count, size = pixels.shape
        fitted = decomposition.PCA(
            min(self.n_components, count, size), svd_solver="covariance_eigh" if size <= count else "full"
        ).fit(pixels)
        variances = fitted.explained_variance_
        kept = variances > 1e-10 * variances[0]
        directions = fitted.components_[kept]
        if self.whiten:
            directions = directions / np.sqrt(variances[kept])[:, None]
        self.mean = torch.from_numpy(fitted.mean_).float()
        self.directions = torch.from_numpy(directions).float()
        run.images_seen += count

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the coordinates (N, n_components)."""
        return {"components": (x.flatten(1) - self.mean.to(x.device)) @ self.directions.T.to(x.device)}

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of the coordinates `h` (N, n_components), clipped to [0, 1]."""
        # The rows of `directions` are orthogonal; with `whiten`, each is scaled inversely to h.
        directions = self.directions.to(h.device)
        pixels = self.mean.to(h.device) + h @ (directions / directions.square().sum(1, keepdim=True))
        return pixels.unflatten(1, self._shape).clamp(0, 1)

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return the projection of `x` onto the components, clipped to [0, 1]."""
        (h,) = self.encode(x).values()
        return self.decode(h)
