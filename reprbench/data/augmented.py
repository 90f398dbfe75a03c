"""Randomly transformed copies of images, the same for every method and seed: views that show the same thing.

The draws depend only on the dataset's name, the number of the view, the transformation and an image's position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reprbench.data.folds import named_generator
from reprbench.images import Images

Transformation = Literal["shift", "flip", "brightness", "contrast", "gaussian"]

Values = NDArray[np.float32]
"""Images (n, C, H, W) in [0, 255]."""

LARGEST_SHIFT = 1 / 8
"""Of a side; at least one pixel."""
JITTER = 0.4
"""Brightness and contrast are multiplied by factors in [0.6, 1.4], as by torchvision's ``ColorJitter(0.4, 0.4)``."""
NOISE = 0.05
"""Standard deviation, in units of the pixels' range."""


def augmented(images: Images, transformations: Sequence[Transformation], name: str, number: int) -> Images:
    """Return a copy of `images` after these transformations, in this order, rounded to 8 bits after the last.

    Parameters
    ----------
    name, number : of the dataset and of the view: others have other draws.
    """
    pixels = images.pixels(slice(None)).astype(np.float32)
    for kind in transformations:
        pixels = TRANSFORMATIONS[kind](pixels, named_generator(f"{name} view {number} {kind}")).clip(0, 255)
    return Images(np.rint(pixels).astype(np.uint8))


def _shift(pixels: Values, generator: np.random.Generator) -> Values:
    """Shift by whole pixels, uniformly in both directions; the border is repeated."""
    for axis in (2, 3):
        side = pixels.shape[axis]
        most = max(1, int(side * LARGEST_SHIFT))
        moved = np.arange(side) - generator.integers(-most, most + 1, (len(pixels), 1))
        places = np.expand_dims(moved.clip(0, side - 1), (1, 5 - axis))
        pixels = np.take_along_axis(pixels, places, axis)
    return pixels


def _flip(pixels: Values, generator: np.random.Generator) -> Values:
    """Mirror left and right with probability ½."""
    flipped = generator.random(len(pixels)) < 0.5
    return np.where(flipped[:, None, None, None], pixels[..., ::-1], pixels)


def _brightness(pixels: Values, generator: np.random.Generator) -> Values:
    """Multiply all values by one factor."""
    return pixels * _factors(len(pixels), generator)


def _contrast(pixels: Values, generator: np.random.Generator) -> Values:
    """Multiply all differences to the image's mean by one factor."""
    means: Values = pixels.mean((1, 2, 3), keepdims=True)
    return means + (pixels - means) * _factors(len(pixels), generator)


def _gaussian(pixels: Values, generator: np.random.Generator) -> Values:
    """Add Gaussian noise to every channel."""
    return pixels + np.float32(255 * NOISE) * generator.standard_normal(pixels.shape, dtype=np.float32)


def _factors(count: int, generator: np.random.Generator) -> Values:
    return generator.uniform(1 - JITTER, 1 + JITTER, (count, 1, 1, 1)).astype(np.float32)


TRANSFORMATIONS: dict[Transformation, Callable[[Values, np.random.Generator], Values]] = {
    "shift": _shift,
    "flip": _flip,
    "brightness": _brightness,
    "contrast": _contrast,
    "gaussian": _gaussian,
}
