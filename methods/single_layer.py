"""The base of single-layer learners: a dictionary, learned from patches and applied at all positions of an image."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from reprbench import FeatureMaps, Images, ImageShape, Learner, Run, UserError

from .patches import Whitening, draw_patches, every_patch, normalize_contrast, shrunk

ENCODED_NUMBERS = 2**22
"""Numbers in the feature maps of a batch: 16 MB, so that elementwise operations find them in the CPU's cache."""


class SingleLayer(Learner):
    """Patches, normalized in contrast and whitened; a dictionary learned from them; its responses at every position.

    Source: A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in unsupervised feature learning" (2011):
    patches on the 0–255 scale become (p − mean)/√(var + 10), then V·diag(1/√(D + 0.1))·Vᵀ·(p − mean over the patches).

    A subclass defines the number of its maps (`n_maps`), `learn` and `activate`. Drawing patches reads each image at
    most once; a budget of images limits how many are read, one of seconds ends the iterations, and one of epochs has no
    effect.

    Parameters
    ----------
    receptive_field : side of the square patches, in pixels.
    stride : pixels between the positions at which an image is encoded.
    downsample : images are first averaged over squares with a side of this many pixels; the paper has 3 for STL-10.
    n_patches : how many are drawn from the training images; no more than there are positions in these.
    contrast : added to the variance of a patch, in squared gray levels (0–255).
    whitening : ε, added to the eigenvalues of the covariance of the patches.
    """

    receptive_field: PositiveInt = 6
    stride: PositiveInt = 1
    downsample: PositiveInt = 1
    n_patches: PositiveInt = 400_000
    contrast: NonNegativeFloat = 10.0
    whitening: NonNegativeFloat = 0.1

    mean: Tensor
    matrix: Tensor
    dictionary: Tensor
    """(K, d), on whitened patches."""

    def build(self, shape: ImageShape) -> None:
        """Count the positions of an image.

        Raises
        ------
        UserError
            If a patch is larger than an image, or a single number.
        """
        height, width = (side // self.downsample for side in shape[1:])
        if self.receptive_field > min(height, width):
            raise UserError(
                f"patches of {self.receptive_field}×{self.receptive_field} do not fit into images of "
                f"{size_text(height, width, self.downsample)}; set receptive_field to at most {min(height, width)}"
            )
        if self.receptive_field == 1 and shape[0] == 1:
            raise UserError("patches of one gray pixel have no contrast; set receptive_field to at least 2")
        self._positions = int(np.prod([(side - self.receptive_field) // self.stride + 1 for side in (height, width)]))

    @property
    @abstractmethod
    def n_maps(self) -> int:
        """The number of feature maps."""

    @property
    def encode_batch_size(self) -> int:
        """As many images as have `ENCODED_NUMBERS` features before any pooling, at most 256."""
        return max(1, min(256, ENCODED_NUMBERS // (self._positions * self.n_maps)))

    def fit(self, images: Images, run: Run) -> None:
        """Draw and whiten patches, and learn the dictionary from them."""
        patches = draw_patches(images, self.n_patches, self.receptive_field, self.downsample, run)
        whitening = Whitening.zca(normalize_contrast(patches, self.contrast), self.whitening)
        self.mean, self.matrix = whitening.mean, whitening.matrix
        self.dictionary = self.learn(whitening.apply_(patches), run)

    @abstractmethod
    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Return the dictionary (K, d) for whitened `patches` (n_patches, d), which may be overwritten."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the features at all positions, (N, n_maps, H', W'), channels last in memory."""
        patches = every_patch(shrunk(255 * x, self.downsample), self.receptive_field, self.stride)
        features = self.activate(normalize_contrast(patches.flatten(0, 2), self.contrast))
        return {"features": features.unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)}

    @abstractmethod
    def activate(self, patches: Tensor) -> Tensor:
        """Return the features (n, n_maps) of `patches` (n, d), which are normalized in contrast but not whitened."""

    def whitened(self, patches: Tensor) -> Tensor:
        """Return whitened patches (n, d)."""
        return (patches - self.mean) @ self.matrix

    def responses(self, patches: Tensor) -> Tensor:
        """Return the products of whitened patches with the dictionary, (n, K), the whitening folded into its rows."""
        filters, biases = Whitening(self.mean, self.matrix).folded_into(self.dictionary)
        return functional.linear(patches, filters, biases)


def size_text(height: int, width: int, downsample: int) -> str:
    """Return the size of a shrunk image, for messages."""
    return f"{height}×{width} pixels" + (f" after downsample={downsample}" if downsample > 1 else "")


def split_polarity(responses: Tensor, threshold: float = 0.0) -> Tensor:
    """Return [max(r − threshold, 0), max(−r − threshold, 0)], shape (n, 2K), for responses (n, K)."""
    width = responses.shape[1]
    features = responses.new_empty(len(responses), 2 * width)
    torch.sub(responses, threshold, out=features[:, :width])
    torch.neg(responses, out=features[:, width:]).sub_(threshold)
    return features.relu_()
