"""DCGAN: an adversarial pair of convolutional networks, whose discriminator is the encoder."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench import FeatureMaps, ImageShape, Run, register

from .adversarial import AdversarialLearner, Inputs, start_normal, uniform_codes

DEPTH = 4
KERNEL = 5
DEVIATION = 0.02
"""Of the initial weights, in the paper, and of the scales of batch normalizations around 1, in the authors' code."""


@register("dcgan")
class DCGAN(AdversarialLearner):
    """Deep convolutional GAN; its features are those of the discriminator, all layers.

    Source: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
    adversarial networks" (2016). From the paper: batch normalization everywhere but in the discriminator's first and
    the generator's last layer, LeakyReLU 0.2 against ReLU and tanh, images in [−1, 1], 100 uniform numbers as code,
    Adam with rate 2e-4 and β1 = 0.5, batches of 128, weights from N(0, 0.02²). From the authors' code for 64×64: four
    5×5 convolutions with stride 2 of 128, 256, 512, 1024 maps, no biases, codes in (−1, 1), a weight decay of 1e-5.
    Our choices: other sizes than 64×64, and that both players move in every batch (their code gives them one batch each
    in turn, the generator first).

    Each convolution halves the sides, rounding up, and the generator has the same sizes in reverse.

    Parameters
    ----------
    width : maps of the discriminator's first layer; each further layer has twice as many.
    code_size : numbers in a code.
    """

    version: ClassVar[int] = 1

    weight_decay = 1e-5
    width: PositiveInt = 128
    code_size: PositiveInt = 100

    discriminator: Discriminator

    def build(self, shape: ImageShape) -> None:
        """Make the discriminator, first, and the generator."""
        self.discriminator = Discriminator(shape, self.width)
        self.generator = Generator(shape, self.width, self.code_size)

    def play(self, x: Tensor, run: Run) -> tuple[Inputs, Inputs]:
        """Return the originals, and images of new codes from the run's generator "codes"; all in [−1, 1]."""
        codes = uniform_codes(len(x), self.code_size, run.generator("codes"))
        return (signed(x),), (self.generator(codes),)

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the discriminator's convolutional layers, after their LeakyReLU."""
        return self.discriminator.maps(signed(x))

    def batch_norm_passes(self, generator: torch.Generator) -> list[Callable[[Tensor], object]]:
        """Return also the generator on new codes, on which alone it is used."""
        return [*super().batch_norm_passes(generator), lambda x: self.sample(len(x), generator)]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` images of new codes, in [0, 1]."""
        images: Tensor = self.generator(uniform_codes(count, self.code_size, generator))
        return (images + 1) / 2


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [−1, 1] → logits (N,)."""

    def __init__(self, shape: ImageShape, width: int) -> None:
        super().__init__()
        maps = [shape[0], *(width << layer for layer in range(DEPTH))]
        layers = []
        for number, (before, after) in enumerate(pairwise(maps)):
            conv = nn.Conv2d(before, after, KERNEL, stride=2, padding=KERNEL // 2, bias=False)
            normalization = [nn.BatchNorm2d(after)] if number else []
            layers.append(nn.Sequential(conv, *normalization, nn.LeakyReLU(0.2, inplace=True)))
        self.layers = nn.ModuleList(layers)
        height, breadth = sizes(shape)[-1]
        self.last = nn.Linear(maps[-1] * height * breadth, 1, bias=False)
        start(self)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the feature maps "layer1" … "layer4"."""
        maps = {}
        for number, layer in enumerate(self.layers, start=1):
            maps[f"layer{number}"] = x = layer(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`."""
        *_, h = self.maps(x).values()
        logits: Tensor = self.last(h.flatten(1)).squeeze(1)
        return logits


class Generator(nn.Module):
    """Codes (N, D) → images (N, C, H, W) in [−1, 1]: the discriminator's mirror."""

    def __init__(self, shape: ImageShape, width: int, code_size: int) -> None:
        super().__init__()
        *targets, smallest = sizes(shape)
        maps = [width << layer for layer in reversed(range(DEPTH))]
        first = (maps[0], *smallest)
        units = maps[0] * smallest[0] * smallest[1]
        # As in the authors' code, every unit of the first map is normalized separately.
        layers: list[nn.Module] = [
            nn.Linear(code_size, units, bias=False),
            nn.BatchNorm1d(units),
            nn.ReLU(inplace=True),
        ]
        layers.append(nn.Unflatten(1, first))
        for number, target in enumerate(reversed(targets)):
            last = number == DEPTH - 1
            after = shape[0] if last else maps[number + 1]
            # Without it, sides would become 2n − 1.
            extra = (1 - target[0] % 2, 1 - target[1] % 2)
            padding = KERNEL // 2
            layers.append(nn.ConvTranspose2d(maps[number], after, KERNEL, 2, padding, extra, bias=False))
            layers.extend([nn.Tanh()] if last else [nn.BatchNorm2d(after), nn.ReLU(inplace=True)])
        self.layers = nn.Sequential(*layers)
        start(self)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the images of `codes`."""
        images: Tensor = self.layers(codes)
        return images


def sizes(shape: ImageShape) -> list[tuple[int, int]]:
    """Return (height, width) of the image and of the map after each convolution, each half of the one before."""
    found = [shape[1:]]
    for _ in range(DEPTH):
        height, width = found[-1]
        found.append(((height + 1) // 2, (width + 1) // 2))
    return found


def start(network: nn.Module) -> None:
    """Draw the initial weights and scales of batch normalizations."""
    start_normal(network, DEVIATION)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1, std=DEVIATION)


def signed(x: Tensor) -> Tensor:
    """Return images in [0, 1] rescaled to [−1, 1]."""
    return x * 2 - 1
