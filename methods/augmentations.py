"""Random views of images, made in batches on their device: crop and flip, color jitter, gray scale, blur, solarization.

All that is random is drawn from a generator of the run, as kornia's own modules would draw from torch's global state;
kornia's functions change the colors. Nothing waits for the device, except the check inside of kornia's blur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional

CANDIDATES = 10
"""Crops of a random shape of which the first that fits into the image is taken, as in torchvision."""
RATIOS = (3 / 4, 4 / 3)
"""The least and greatest ratio of a crop's width to its height, as in torchvision."""
LARGEST_SHIFT = 0.5
"""A hue shifted by half a turn is as far away as it can be."""
BLUR_SHARE = 0.1
"""The size of the blur's kernel as a share of the image's side, from SimCLR."""
BLUR_DEVIATIONS = (0.1, 2.0)
"""The least and greatest standard deviation of the blur in pixels, from SimCLR."""

AugmentationName = Literal["simclr-cifar", "simclr", "byol-cifar", "digits"]
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Augmentation:
    """What happens to an image, in this order; each image has its own draws.

    The crop is random in area and ratio of the sides, is not rounded to whole pixels, and is scaled bilinearly to the
    size of the image. Of the color jitter the order is fixed, where torchvision draws it. Images without three channels
    have no saturation and hue, and are not made gray.
    """

    smallest_crop: float = 0.08
    """The least area of a crop, as a share of the image."""
    flip: float = 0.5
    """The probability of mirroring left and right."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """The greatest changes of brightness, contrast, saturation (factors 1 ± b) and hue (in turns)."""
    jittered: float = 0.8
    """The probability of the jitter."""
    gray: float = 0.2
    """The probability of losing the colors."""
    blur: float = 0.0
    """The probability of a Gaussian blur."""
    solarize: float = 0.0
    """The probability of inverting what is brighter than half."""

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return views of the images `x`, (N, C, H, W) in [0, 1], with the same shape, channels last in memory."""
        with torch.autocast(x.device.type, enabled=False), torch.no_grad():
            views = self._jittered(self._cropped(x, generator), generator)
            views = self._without_color(views, generator)
            views = self._solarized(self._blurred(views, generator), generator)
        return views.contiguous(memory_format=torch.channels_last)

    def _cropped(self, x: Tensor, generator: Generator) -> Tensor:
        """Return random crops, some of them mirrored, in one interpolation."""
        widths, heights = crop_sides(x, self.smallest_crop, generator)
        # The grid's coordinates go from -1 to 1: a crop of width w has its center within ±(1 - w).
        left, up = (uniform(x, generator, -1, 1) * (1 - side) for side in (widths, heights))
        mirrored = 1 - 2 * chosen(x, generator, self.flip).to(x.dtype)
        none = torch.zeros_like(widths)
        maps = torch.stack([widths * mirrored, none, left, none, heights, up], dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _jittered(self, x: Tensor, generator: Generator) -> Tensor:
        from kornia import enhance

        changed = chosen(x, generator, self.jittered).to(x.dtype)
        brightness, contrast, saturation, hue = self.jitter

        def factors(most: float) -> Tensor:
            return 1 + changed * (uniform(x, generator, max(0.0, 1 - most), 1 + most) - 1)

        if brightness:
            x = enhance.adjust_brightness_accumulative(x, factors(brightness))
        if contrast:
            x = enhance.adjust_contrast_with_mean_subtraction(x, factors(contrast))
        if saturation and is_colored(x):
            x = enhance.adjust_saturation_with_gray_subtraction(x, factors(saturation))
        if hue and is_colored(x):
            x = enhance.adjust_hue(x, 2 * math.pi * changed * uniform(x, generator, -hue, hue))
        return x

    def _without_color(self, x: Tensor, generator: Generator) -> Tensor:
        from kornia.color import rgb_to_grayscale

        if not self.gray or not is_colored(x):
            return x
        return torch.where(over_pixels(chosen(x, generator, self.gray)), rgb_to_grayscale(x), x)

    def _blurred(self, x: Tensor, generator: Generator) -> Tensor:
        from kornia.filters import gaussian_blur2d

        if not self.blur:
            return x
        height, width = (2 * max(1, int(side * BLUR_SHARE / 2)) + 1 for side in x.shape[2:])
        deviations = uniform(x, generator, *BLUR_DEVIATIONS)[:, None].expand(-1, 2)
        blurred = gaussian_blur2d(x, (height, width), deviations)
        return torch.where(over_pixels(chosen(x, generator, self.blur)), blurred, x)

    def _solarized(self, x: Tensor, generator: Generator) -> Tensor:
        from kornia import enhance

        if not self.solarize:
            return x
        # No pixel reaches a threshold of 2.
        return enhance.solarize(x, torch.where(chosen(x, generator, self.solarize), 0.5, 2.0))


def crop_sides(x: Tensor, smallest: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the widths and heights (N,) of random crops, as shares of the sides of the images `x`.

    As in torchvision the area is uniform from `smallest` to 1, the logarithm of the ratio of the sides in pixels is
    uniform, and both are drawn again until the crop fits into the image; if none of 10 does, it is the whole image.
    """
    areas = uniform(x, generator, smallest, 1, CANDIDATES)
    ratios = uniform(x, generator, math.log(RATIOS[0]), math.log(RATIOS[1]), CANDIDATES).exp()
    ratios = ratios * (x.shape[2] / x.shape[3])
    widths, heights = (areas * ratios).sqrt(), (areas / ratios).sqrt()
    fits = (widths <= 1) & (heights <= 1)
    first = (fits & (fits.int().cumsum(1) == 1)).to(x.dtype)
    none = 1 - first.sum(1)
    return (widths * first).sum(1) + none, (heights * first).sum(1) + none


def uniform(x: Tensor, generator: Generator, low: float, high: float, *several: int) -> Tensor:
    """Return uniform numbers from `low` to `high`, (N,) or (N, `several`), for the images `x`."""
    return low + (high - low) * torch.rand((len(x), *several), generator=generator, device=x.device)


def chosen(x: Tensor, generator: Generator, probability: float) -> Tensor:
    """Return which of the images `x` are chosen, bool (N,)."""
    return torch.rand(len(x), generator=generator, device=x.device) < probability


def over_pixels(values: Tensor) -> Tensor:
    """Return one value an image (N,) as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def is_colored(x: Tensor) -> bool:
    """Return whether the images have the channels red, green and blue."""
    return x.shape[1] == 3


SIMCLR = Augmentation(jitter=(0.8, 0.8, 0.8, 0.2), blur=0.5)
BYOL = Augmentation(jitter=(0.4, 0.4, 0.2, 0.1))
DIGITS = Augmentation(smallest_crop=0.5, flip=0.0)

AUGMENTATIONS: dict[AugmentationName, tuple[Augmentation, Augmentation]] = {
    # T. Chen et al., "A simple framework for contrastive learning of visual representations" (2020), appendix B.9:
    # color strength 0.5 and no blur for CIFAR-10.
    "simclr-cifar": (Augmentation(), Augmentation()),
    # The same, appendix A: color strength 1, and blur.
    "simclr": (SIMCLR, SIMCLR),
    # J.-B. Grill et al., "Bootstrap your own latent" (2020), without blur, as solo-learn has them for CIFAR-10.
    "byol-cifar": (BYOL, replace(BYOL, solarize=0.2)),
    # Our choice for digits, which are not mirrored and fill the image.
    "digits": (DIGITS, DIGITS),
}
"""The augmentations of the two views, by name. With another number in one of them, its methods need another version."""


def altered(
    augmentation: Augmentation,
    smallest_crop: float | None = None,
    flip: bool | None = None,
    jitter: float = 1.0,
    gray: float | None = None,
    blur: float | None = None,
) -> Augmentation:
    """Return `augmentation` with what is given; `flip` is whether to mirror, and `jitter` a factor of the strength."""
    brightness, contrast, saturation, hue = (jitter * most for most in augmentation.jitter)
    strength = (brightness, contrast, saturation, min(hue, LARGEST_SHIFT))
    mirrored = None if flip is None else 0.5 * flip
    given = {"smallest_crop": smallest_crop, "flip": mirrored, "gray": gray, "blur": blur}
    return replace(augmentation, jitter=strength, **{name: value for name, value in given.items() if value is not None})


def two_views(
    x: Tensor, augmentations: tuple[Augmentation, Augmentation], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return two views of each of the images `x`."""
    first, second = augmentations
    if first == second:
        # One pass over twice the images takes half as many calls of the device.
        one, other = first(torch.cat([x, x]), generator).chunk(2)
        return one, other
    return first(x, generator), second(x, generator)
