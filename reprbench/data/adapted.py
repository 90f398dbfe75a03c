"""Datasets whose images are adapted to the shape of others, for a learner that takes only those.

The rule: a single channel is repeated; of three channels one is made by luminance, 0.299 R + 0.587 G + 0.114 B (ITU-R
BT.601, as by Pillow). Sides are resized bilinearly, with antialiasing where an image becomes smaller, without keeping
the aspect ratio. Results are rounded to 8 bits, so that they are the same on every device.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reprbench.data.dataset import Dataset
from reprbench.images import Images, Indices

LUMINANCE = (0.299, 0.587, 0.114)

Shape = tuple[int, int, int]


class AdaptedImages(Images):
    """Images of another shape than those they are made of; adapted when they are read, and never kept.

    Parameters
    ----------
    images : the originals.
    shape : (C, H, W) of one image, with 1 or 3 channels.
    """

    def __init__(self, images: Images, shape: Shape) -> None:
        self._originals, self._shape = images, shape

    def __len__(self) -> int:
        return len(self._originals)

    @property
    def shape(self) -> Shape:
        """The shape (C, H, W) of one adapted image."""
        return self._shape

    def pixels(self, rows: Indices | slice) -> NDArray[np.uint8]:
        """Return the adapted images at `rows` as a new uint8 array of shape (n, C, H, W)."""
        return adapted_pixels(self._originals.pixels(rows), self._shape)

    def take(self, rows: Indices) -> Images:
        """Return the sequence of the images at `rows`, without reading them."""
        return AdaptedImages(self._originals.take(rows), self._shape)


def adapted(dataset: Dataset, shape: Shape) -> Dataset:
    """Return the dataset with images of `shape`, and a digest of its own; the same one if they have that shape."""
    if dataset.train.shape == shape:
        return dataset
    unlabeled, train, test = (
        AdaptedImages(images, shape) for images in (dataset.unlabeled, dataset.train, dataset.test)
    )
    return replace(
        dataset,
        unlabeled=train if dataset.unlabeled is dataset.train else unlabeled,
        train=train,
        test=test,
        digest=hashlib.sha256(f"{dataset.digest} adapted to {shape}".encode()).hexdigest(),
    )


def adapted_pixels(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Return images uint8 (n, C, H, W) with the channels and sides of `shape`."""
    import torch
    import torch.nn.functional as F  # noqa: N812  (its usual name)

    if pixels.shape[1:] == shape:
        return pixels
    x = torch.from_numpy(pixels).to(torch.float32)
    channels, height, width = shape
    if channels < x.shape[1]:
        x = (x * torch.tensor(LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if x.shape[2:] != (height, width):
        x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    rounded = x.round().clamp(0, 255).to(torch.uint8)
    return rounded.expand(-1, channels, height, width).contiguous().numpy()
