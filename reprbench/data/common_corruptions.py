"""Common corruptions at five severities, with the constants of CIFAR-10-C.

D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019: ten of their nineteen, without those that need pictures of frost or other libraries. The constants are those of
``make_cifar_c.py`` in the authors' repository, made for images of 32 × 32 pixels; they are used at every size, so that
a blur of so many pixels is milder in a larger image. Theirs cut decimals off where these round.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

CommonKind = Literal[
    "gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "gaussian-blur", "motion-blur", "brightness",
    "contrast", "pixelate", "jpeg",
]  # fmt: skip

SEVERITIES = (1, 2, 3, 4, 5)

Pixels = NDArray[np.uint8]

Corrupt = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Returns images (n, C, H, W) corrupted, given a severity and the generator, advanced past the images before them."""


def _rounded(values: NDArray[Any]) -> Pixels:
    rounded: Pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded


def _of(constants: tuple[Any, ...], severity: float) -> Any:
    return constants[int(severity) - 1]


def gaussian_noise(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Add normal noise to every channel."""
    sigma = _of((0.04, 0.06, 0.08, 0.09, 0.10), severity)
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    return _rounded(pixels + 255 * np.float32(sigma) * noise)


def shot_noise(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Draw every channel from the Poisson distribution of its number of photons, 500 … 50 of them for white.

    By inversion of a uniform number: so an image depends on its place alone, and severities on the same numbers.
    """
    from scipy.stats import poisson

    photons = _of((500, 250, 100, 75, 50), severity)
    uniform = generator.random(pixels.shape, dtype=np.float32).ravel()
    values = pixels.ravel()
    order, found = np.argsort(values, kind="stable"), np.empty(values.size)
    ends = np.searchsorted(values[order], np.arange(257))
    most = np.arange(photons + int(12 * math.sqrt(photons)))
    for value in range(256):
        places = order[ends[value] : ends[value + 1]]
        distribution = poisson.cdf(most, photons * value / 255)
        found[places] = np.searchsorted(distribution, uniform[places], side="right")
    return _rounded(255 * found.reshape(pixels.shape) / photons)


def impulse_noise(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Set values, each channel on its own, to 0 or 1 with equal probability."""
    share = _of((0.01, 0.02, 0.03, 0.05, 0.07), severity)
    drawn = generator.random((len(pixels), 2, *pixels.shape[1:]), dtype=np.float32)
    return np.where(drawn[:, 0] < share, np.where(drawn[:, 1] < 0.5, np.uint8(255), np.uint8(0)), pixels)


def defocus_blur(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Filter with a disk of a radius in pixels, itself smoothed by a normal kernel of 3 × 3."""
    from scipy.ndimage import correlate

    radius, smoothing = _of(((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)), severity)
    side = np.arange(-3, 4)
    disk = (side[:, None] ** 2 + side**2 <= radius**2).astype(np.float64)
    normal = np.exp(-0.5 * (np.arange(-1, 2) / smoothing) ** 2)
    normal /= normal.sum()
    kernel = correlate(disk / disk.sum(), np.outer(normal, normal), mode="constant")
    return _rounded(correlate(pixels.astype(np.float32), kernel[None, None], mode="mirror"))


def gaussian_blur(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Filter with a normal kernel, four standard deviations wide to each side."""
    from scipy.ndimage import gaussian_filter

    sigma = _of((0.4, 0.6, 0.7, 0.8, 1.0), severity)
    return _rounded(gaussian_filter(pixels.astype(np.float32), (0, 0, sigma, sigma), mode="nearest", truncate=4))


def motion_blur(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Smear each image in a direction of its own, within 45° of a row, by half a normal kernel, as ImageMagick does."""
    radius, sigma = _of(((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), severity)
    angles = np.deg2rad(generator.uniform(-45, 45, len(pixels)))
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    weights /= weights.sum()
    height, width = pixels.shape[2:]
    blurred = np.zeros(pixels.shape)
    for image, angle, result in zip(pixels, angles, blurred, strict=True):
        for step, weight in zip(steps, weights, strict=True):
            rows = np.clip(np.arange(height) + math.ceil(step * math.sin(angle) - 0.5), 0, height - 1)
            columns = np.clip(np.arange(width) + math.ceil(step * math.cos(angle) - 0.5), 0, width - 1)
            result += weight * image[:, rows[:, None], columns]
    return _rounded(blurred)


def brightness(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Add to the value of a pixel, the largest of its channels; hue and saturation stay."""
    added = 255 * _of((0.05, 0.1, 0.15, 0.2, 0.3), severity)
    value = pixels.max(axis=1, keepdims=True).astype(np.float64)
    brighter = np.minimum(value + added, 255)
    # A black pixel has no hue, and becomes gray.
    return _rounded(np.where(value > 0, pixels * (brighter / np.maximum(value, 1)), brighter))


def contrast(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Move every channel towards its mean over the image."""
    kept = _of((0.75, 0.5, 0.4, 0.3, 0.15), severity)
    means = pixels.mean(axis=(2, 3), keepdims=True)
    return _rounded((pixels - means) * kept + means)


def pixelate(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Make the image smaller and larger again, by means over boxes."""
    share = _of((0.95, 0.9, 0.85, 0.75, 0.65), severity)

    def change(image: Any) -> Any:
        from PIL.Image import Resampling

        width, height = image.size
        return image.resize((int(width * share), int(height * share)), Resampling.BOX).resize(
            (width, height), Resampling.BOX
        )

    return _each(pixels, change)


def jpeg(pixels: Pixels, severity: float, generator: np.random.Generator) -> Pixels:
    """Compress as JPEG; decoders may differ by a level or two."""
    quality = _of((80, 65, 58, 50, 40), severity)

    def change(image: Any) -> Any:
        from PIL import Image

        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _each(pixels, change)


def _each(pixels: Pixels, change: Callable[[Any], Any]) -> Pixels:
    """Return the images changed by Pillow, one at a time."""
    from PIL import Image

    changed = np.empty_like(pixels)
    for image, result in zip(pixels, changed, strict=True):
        gray = len(image) == 1
        found = np.asarray(change(Image.fromarray(image[0] if gray else image.transpose(1, 2, 0))))
        result[:] = found[None] if gray else found.transpose(2, 0, 1)
    return changed


COMMON: dict[CommonKind, Corrupt] = {
    "gaussian-noise": gaussian_noise,
    "shot-noise": shot_noise,
    "impulse-noise": impulse_noise,
    "defocus-blur": defocus_blur,
    "gaussian-blur": gaussian_blur,
    "motion-blur": motion_blur,
    "brightness": brightness,
    "contrast": contrast,
    "pixelate": pixelate,
    "jpeg": jpeg,
}

COMMON_KINDS: tuple[CommonKind, ...] = get_args(CommonKind)
