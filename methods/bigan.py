"""BiGAN: a GAN that learns to infer codes, with fully connected networks."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .adversarial import start_normal, uniform_codes
from .inference_gan import InferenceGAN


@register("bigan")
class BiGAN(InferenceGAN):
    """Bidirectional GAN, in its fully connected ("permutation-invariant") form, for images of any size.

    Source: J. Donahue, P. Krähenbühl, T. Darrell, "Adversarial feature learning" (2017). From the paper: two hidden
    layers of 1024 in E, G and D, 50 uniform numbers as code, Adam with rate 2e-4. From the authors' code for MNIST:
    β1 = 0.5, batches of 128; LeakyReLU 0.2 in E and D, ReLU in G; batch normalization without scale and offset, in the
    hidden layers of G and the second ones of E and D; no biases; z put into the second layer of D, and of G once more;
    codes that pass 2σ − 1 into (−1, 1), images that pass σ into [0, 1]; weights from N(0, 0.02²); a weight decay of
    2.5e-5 with losses that are half of ours: 5e-5 here; and all networks move simultaneously. Our choices: D's last
    weights are drawn like all others (theirs start at 0); no decay of the rate (theirs falls to a hundredth in the
    second half of 400 epochs).

    Parameters
    ----------
    width : units of each hidden layer.
    code_size : numbers in a code.
    """

    version: ClassVar[int] = 1

    weight_decay = 5e-5
    updates = "simultaneous"
    width: PositiveInt = 1024
    code_size: PositiveInt = 50

    def build(self, shape: ImageShape) -> None:
        """Make the encoder, first, the generator and the discriminator."""
        self.encoder = PerceptronEncoder(shape, self.width, self.code_size)
        self.generator = PerceptronGenerator(shape, self.width, self.code_size)
        self.discriminator = PerceptronDiscriminator(shape, self.width, self.code_size)
        for network in (self.encoder, self.generator, self.discriminator):
            start_normal(network, 0.02)

    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Return codes that are uniform in (−1, 1)."""
        return uniform_codes(count, self.code_size, generator)

    def infer(self, x: Tensor, run: Run) -> Tensor:
        """Return E(x)."""
        *_, code = self.encode(x).values()
        return code


class PerceptronEncoder(nn.Module):
    """Images (N, C, H, W) → "layer1" and "layer2" (N, width), and "layer3", the code (N, D) in (−1, 1)."""

    def __init__(self, shape: ImageShape, width: int, code_size: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), linear(math.prod(shape), width), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(normalized_linear(width, width), nn.LeakyReLU(0.2))
        self.last = linear(width, code_size)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return all layers for the images `x`."""
        first = self.first(x)
        second = self.second(first)
        # tanh(a/2) = 2σ(a) − 1
        return {"layer1": first, "layer2": second, "layer3": torch.tanh(self.last(second) / 2)}


class PerceptronGenerator(nn.Module):
    """Codes (N, D) → images (N, C, H, W) in [0, 1]."""

    def __init__(self, shape: ImageShape, width: int, code_size: int) -> None:
        super().__init__()
        self.first = nn.Sequential(normalized_linear(code_size, width), nn.ReLU())
        self.second = nn.Sequential(normalized_linear(width + code_size, width), nn.ReLU())
        self.last = nn.Sequential(linear(width, math.prod(shape)), nn.Sigmoid(), nn.Unflatten(1, shape))

    def forward(self, z: Tensor) -> Tensor:
        """Return the images of the codes `z`."""
        images: Tensor = self.last(self.second(torch.cat([self.first(z), z], 1)))
        return images


class PerceptronDiscriminator(nn.Module):
    """Images (N, C, H, W) and codes (N, D) → logits (N,)."""

    def __init__(self, shape: ImageShape, width: int, code_size: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), linear(math.prod(shape), width), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(normalized_linear(width + code_size, width), nn.LeakyReLU(0.2))
        self.last = linear(width, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits of the pairs."""
        logits: Tensor = self.last(self.second(torch.cat([self.first(x), z], 1))).squeeze(1)
        return logits


def linear(before: int, after: int) -> nn.Linear:
    """Return a linear map without biases."""
    return nn.Linear(before, after, bias=False)


def normalized_linear(before: int, after: int) -> nn.Sequential:
    """Return a linear map with a batch normalization that has no weights."""
    return nn.Sequential(linear(before, after), nn.BatchNorm1d(after, affine=False))
