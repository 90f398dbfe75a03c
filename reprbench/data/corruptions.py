"""Corrupted copies of a test split, the same for every method and seed, and the names of kinds and levels.

The draws depend only on the dataset's name, the kind and an image's position in the split: a higher level of a kind
corrupts an image further in the same way, independently of the other images, their number and the batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from reprbench.data.common_corruptions import COMMON, CommonKind
from reprbench.data.folds import named_generator
from reprbench.images import Images

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset

Kind = Literal["mask", "gaussian", "salt-and-pepper", "occlusion"]

Pixels = NDArray[np.uint8]

BLOCK = 2**22
"""Pixel values that are corrupted at a time."""


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption.

    Attributes
    ----------
    corrupt : returns images (n, C, H, W) corrupted, given a level in (0, 1] and the generator, advanced past the images
        before them. It draws image by image, and the same amount at every level.
    title, level : its name, and the meaning of a level with its unit, for display.
    label : returns the short name of a level.
    """

    corrupt: Callable[[Pixels, float, np.random.Generator], Pixels]
    title: str
    level: str
    label: Callable[[float], str]


def corrupted(dataset: Dataset, kind: Kind | CommonKind, level: float, count: int | None = None) -> Images:
    """Return the test split of `dataset`, or its first `count` images, corrupted; level 0 is uncorrupted.

    The levels of the common corruptions are their severities from 1 to 5. Apart from the uint8 copy, only a block of
    images is in memory.
    """
    images = dataset.test if count is None else dataset.test.take(np.arange(min(count, len(dataset.test))))
    if level == 0:
        return images
    corrupt = COMMON[kind] if kind in COMMON else CORRUPTIONS[cast(Kind, kind)].corrupt
    generator = named_generator(f"{dataset.name} test {kind}")
    copy = np.empty((len(images), *images.shape), dtype=np.uint8)
    step = max(1, BLOCK // math.prod(images.shape))
    for start in range(0, len(images), step):
        block = slice(start, min(start + step, len(images)))
        copy[block] = corrupt(images.pixels(block), level, generator)
    return Images(copy)


def _mask(pixels: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Set a pixel, in all channels, to 0 with probability `level`."""
    count, _, height, width = pixels.shape
    return pixels * (generator.random((count, 1, height, width), dtype=np.float32) >= level)


def _gaussian(pixels: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Add noise of standard deviation `level` of the pixels' range to every channel; clip and round."""
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    noise *= np.float32(255 * level)
    noise += pixels
    return np.rint(noise.clip(0, 255, out=noise), out=noise).astype(np.uint8)


def _salt_and_pepper(pixels: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Set a pixel, in all channels, with probability `level` to 0 or 1 with equal probability."""
    count, _, height, width = pixels.shape
    drawn = generator.random((count, 2, height, width), dtype=np.float32)
    hit, salt = drawn[:, :1] < level, drawn[:, 1:] < 0.5
    return np.where(hit, np.where(salt, np.uint8(255), np.uint8(0)), pixels)


def _occlusion(pixels: Pixels, level: float, generator: np.random.Generator) -> Pixels:
    """Blacken one rectangle with the image's proportions and the share `level` of its area, up to rounding.

    Its position is uniform among those inside the image; a larger one covers a smaller one.
    """
    count, _, height, width = pixels.shape
    sides = round(height * math.sqrt(level)), round(width * math.sqrt(level))
    free = np.array([height - sides[0] + 1, width - sides[1] + 1])
    for image, (top, left) in zip(pixels, (generator.random((count, 2)) * free).astype(int), strict=True):
        image[:, top : top + sides[0], left : left + sides[1]] = 0
    return pixels


CORRUPTIONS: dict[Kind, Corruption] = {
    "mask": Corruption(_mask, "masking", "share of pixels off", lambda level: f"{100 * level:.3g} % off"),
    "gaussian": Corruption(_gaussian, "Gaussian noise", "σ (pixels' range = 1)", lambda level: f"σ = {level:.3g}"),
    "salt-and-pepper": Corruption(
        _salt_and_pepper, "salt and pepper", "share of pixels hit", lambda level: f"{100 * level:.3g} % hit"
    ),
    "occlusion": Corruption(
        _occlusion, "occlusion", "share of area covered", lambda level: f"{100 * level:.3g} % covered"
    ),
}
