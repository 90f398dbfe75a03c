"""ALI: a GAN that learns to infer codes, with convolutional networks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from reprbench import ImageShape, Run, register

from .adversarial import Inputs, start_normal
from .inference_gan import InferenceGAN

SLOPE = 0.1
"""Slope of ALI's LeakyReLU."""
SIDE, WIDTH, DEVIATION = 32, 32, 0.01
PUBLISHED = [(1, 5, 1, 0), (2, 4, 2, 0), (4, 4, 1, 0), (8, 4, 2, 0), (16, 4, 1, 0)]
"""ALI's: the image's side, the first maps, the weights' deviation; its stack: maps / width, kernel, stride, padding."""

Size = tuple[int, int]
"""(height, width) of a map or a kernel."""


@register("ali")
class ALI(InferenceGAN):
    """Adversarially learned inference, with the networks for CIFAR-10 (see `geometry` for sizes other than 32×32).

    Source: V. Dumoulin et al., "Adversarially learned inference" (2017), table of the CIFAR-10 hyperparameters: E, G
    and D layer by layer, dropout 0.2 on D's inputs and 0.5 on those of its other layers, LeakyReLU 0.1, 64 normal
    numbers as code, Adam with rate 1e-4 and β1 = 0.5 (its β2 = 1e-3 is 1 − 0.999), batches of 100, weights from
    N(0, 0.01²), biases 0. From the authors' code: both players move at once, images in [0, 1], no biases but in the
    last layers of E and G, the first of D's image part, and its joint part.
    Our choices: D has LeakyReLU, as in the paper's SVHN model, in place of maxout of two pieces; G's last bias is per
    channel, from 0, not per pixel, from the log-odds of the mean image; widths other than 32 start with
    0.01 √(32/width) to keep the scale of signals (with 0.01, a D of width 8 stayed at chance on 8×8 digits for 30
    epochs).

    The code is sampled in training, μ(x) + σ(x)·ε with ε from the run's generator "posterior"; the feature is μ(x).

    Parameters
    ----------
    width : maps of the first layer; the others have multiples of it.
    code_size : numbers in a code.
    """

    version: ClassVar[int] = 1

    lr = 1e-4
    batch_size = 100
    updates = "simultaneous"
    width: PositiveInt = WIDTH
    code_size: PositiveInt = 64

    encoder: GaussianEncoder

    def build(self, shape: ImageShape) -> None:
        """Make the encoder, first, the generator and the discriminator."""
        stack = geometry(shape, self.width)
        self.encoder = GaussianEncoder(stack, self.code_size)
        self.generator = MirrorGenerator(stack, self.code_size)
        self.discriminator = JointDiscriminator(stack, self.code_size)
        for network in (self.encoder, self.generator, self.discriminator):
            start_normal(network, DEVIATION * math.sqrt(WIDTH / self.width))

    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Return codes from N(0, 1)."""
        return torch.randn((count, self.code_size), generator=generator, device=generator.device)

    def infer(self, x: Tensor, run: Run) -> Tensor:
        """Return samples from the Gaussians inferred by E."""
        mean, log_deviation = self.encoder.gaussian(x)
        noise = torch.randn(mean.shape, generator=run.generator("posterior"), device=mean.device)
        return mean + log_deviation.exp() * noise

    def judge(self, inputs: Inputs, run: Run) -> Tensor:
        """Return the logits (N,), with dropout from the run's generator "dropout"."""
        logits: Tensor = self.discriminator(*inputs, run.generator("dropout"))
        return logits


class Convolution(NamedTuple):
    """One convolution of ALI's stack; sizes are (height, width)."""

    before: int
    after: int
    size: Size
    kernel: Size
    stride: int
    padding: int

    @property
    def result(self) -> Size:
        """The size of its output for an input of `size`."""
        pad, (height, width), (rows, columns) = 2 * self.padding, self.size, self.kernel
        return (height + pad - rows) // self.stride + 1, (width + pad - columns) // self.stride + 1

    def down(self, bias: bool = False) -> nn.Conv2d:
        """Return the convolution."""
        return nn.Conv2d(self.before, self.after, self.kernel, self.stride, self.padding, bias=bias)

    def up(self, before: int, after: int) -> nn.ConvTranspose2d:
        """Return the transposed convolution from `before` to `after` maps, back to `size`."""
        pad, (height, width), (rows, columns) = 2 * self.padding, self.size, self.kernel
        # What the stride skipped at the end has to be added.
        extra = ((height + pad - rows) % self.stride, (width + pad - columns) % self.stride)
        return nn.ConvTranspose2d(before, after, self.kernel, self.stride, self.padding, extra, bias=False)


def geometry(shape: ImageShape, width: int) -> list[Convolution]:
    """Return the convolutions that take images of `shape` to one position, in E and D, and back in G.

    At 32×32 they are the paper's: kernel/stride 5/1, 4/2, 4/1, 4/2, 4/1, sizes 32 → 28 → 13 → 10 → 4 → 1. For other
    sizes the rule is ours. While a side is longer than 32, another 4/2 convolution of `width` maps, padded by 1, is put
    in front and halves both sides, rounding down. Along a side that is shorter than a kernel, the kernel shrinks to it.
    So no kernel, and no number of maps, is larger than the paper's at this width.
    """
    halvings = (max(shape[1:]) // (SIDE + 1)).bit_length()
    stack: list[Convolution] = []
    channels, size = shape[0], shape[1:]
    for factor, side, stride, padding in [(1, 4, 2, 1)] * halvings + PUBLISHED:
        kernel = (min(side, size[0] + 2 * padding), min(side, size[1] + 2 * padding))
        stack.append(Convolution(channels, factor * width, size, kernel, stride, padding))
        channels, size = factor * width, stack[-1].result
    return stack


class GaussianEncoder(nn.Module):
    """Images (N, C, H, W) → hidden maps "layer1", "layer2", …, and the means (N, D) of Gaussians as the last layer."""

    def __init__(self, stack: list[Convolution], code_size: int) -> None:
        super().__init__()
        maps = stack[-1].after
        convolutions = [*(convolution.down() for convolution in stack), nn.Conv2d(maps, maps, 1, bias=False)]
        self.layers = nn.Sequential(*(normalized(convolution) for convolution in convolutions))
        self.last = nn.Conv2d(maps, 2 * code_size, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return all layers for the images `x`, the hidden ones after their LeakyReLU."""
        maps = {}
        for number, layer in enumerate(self.layers, start=1):
            maps[f"layer{number}"] = x = layer(x)
        mean, _ = self.last(x).flatten(1).chunk(2, dim=1)
        return {**maps, f"layer{len(maps) + 1}": mean}

    def gaussian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ(x) and log σ(x), both (N, D)."""
        mean, log_deviation = self.last(self.layers(x)).flatten(1).chunk(2, dim=1)
        return mean, log_deviation


class MirrorGenerator(nn.Module):
    """Codes (N, D) → images (N, C, H, W) in [0, 1], by the encoder's sizes in reverse and two 1×1 convolutions."""

    def __init__(self, stack: list[Convolution], code_size: int) -> None:
        super().__init__()
        image, width = stack[0].before, stack[0].after
        maps = [code_size, *(convolution.before for convolution in reversed(stack[1:])), width]
        ups = [c.up(before, after) for c, (before, after) in zip(reversed(stack), pairwise(maps), strict=True)]
        convolutions: list[nn.Conv2d | nn.ConvTranspose2d] = [*ups, nn.Conv2d(width, width, 1, bias=False)]
        self.layers = nn.Sequential(*(normalized(convolution) for convolution in convolutions))
        self.last = nn.Sequential(nn.Conv2d(width, image, 1), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        """Return the images of the codes `z`."""
        images: Tensor = self.last(self.layers(z[:, :, None, None]))
        return images


class JointDiscriminator(nn.Module):
    """Images (N, C, H, W) and codes (N, D) → logits (N,): a stack for each, and one for their joint outputs."""

    def __init__(self, stack: list[Convolution], code_size: int) -> None:
        super().__init__()
        maps = stack[-1].after
        self.image = nn.ModuleList(convolution.down(bias=not n) for n, convolution in enumerate(stack))
        self.code = nn.ModuleList([nn.Linear(code_size, maps, bias=False), nn.Linear(maps, maps, bias=False)])
        self.joint = nn.ModuleList([nn.Linear(2 * maps, 2 * maps), nn.Linear(2 * maps, 2 * maps)])
        self.last = nn.Linear(2 * maps, 1)

    def forward(self, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """Return the logits of the pairs, with dropout drawn from `generator`."""
        x, z = dropout(x, 0.2, generator), dropout(z, 0.2, generator)
        for layer in self.image:
            x = dropout(functional.leaky_relu(layer(x), SLOPE), 0.5, generator)
        for layer in self.code:
            z = dropout(functional.leaky_relu(layer(z), SLOPE), 0.5, generator)
        h = torch.cat([x.flatten(1), z], 1)
        for layer in self.joint:
            h = dropout(functional.leaky_relu(layer(h), SLOPE), 0.5, generator)
        logits: Tensor = self.last(h).squeeze(1)
        return logits


def normalized(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """Return `convolution` with a batch normalization and a LeakyReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(SLOPE))


def dropout(h: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return `h` with a `share` of its values, drawn from `generator`, set to 0 and the others scaled up for them."""
    return h * torch.empty_like(h).bernoulli_(1 - share, generator=generator).div_(1 - share)
