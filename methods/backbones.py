"""The encoders on which objectives can be compared: that of AME-AE, and ResNet-18."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from reprbench import ImageShape, UserError

from .networks import SMALLEST_SIDE, STRIDED_STEM_FROM, Architecture, Encoder, global_average

Backbone = Literal["p-res", "resnet18"]
"""The names of the encoders: "p-res" is `networks.Encoder`, the encoder of `ae` and `ameae`."""

RESNET_WIDTH = 64


class PResBackbone(Encoder):
    """The encoder of `ae`, with the length of its representation."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.features = architecture.code_channels
        """The length of the representation, averaged over its positions."""


class ResNet18(nn.Module):
    """Images (N, C, H, W) → the feature maps of torchvision's ResNet-18; the last is their global average.

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition" (2016). Images with a side
    below 64 pixels get the stem that the field uses for CIFAR-10: a 3×3 convolution with stride 1 (and padding 1, where
    solo-learn has 2), and no max-pooling. The weights are drawn as torchvision does.
    """

    features = 512

    def __init__(self, shape: ImageShape) -> None:
        from torchvision.models import resnet18

        super().__init__()
        network = resnet18()
        channels, *sides = shape
        large = min(sides) >= STRIDED_STEM_FROM
        kernel, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        convolution = nn.Conv2d(channels, RESNET_WIDTH, kernel, stride, padding, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        pooling = [network.maxpool] if large else []
        self.stem = nn.Sequential(convolution, network.bn1, network.relu, *pooling)
        self.blocks = nn.ModuleList([network.layer1, network.layer2, network.layer3, network.layer4])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps "stem", "block1" … "block4", and the vector "average"."""
        maps = {"stem": self.stem(x)}
        h = maps["stem"]
        for number, block in enumerate(self.blocks, start=1):
            h = block(h)
            maps[f"block{number}"] = h
        return {**maps, "average": global_average(h)}


def make_backbone(name: Backbone, shape: ImageShape, width: int | None = None) -> PResBackbone | ResNet18:
    """Return a new encoder for images of `shape`, (C, H, W).

    Its forward returns the feature maps by the names of the layers, from input to output; the last is the
    representation, of which `networks.global_average` makes a vector of length `features`. Made first in `build`,
    "p-res" starts from the weights of `ae` and `untrained` with the same seed.

    Parameters
    ----------
    width : of "p-res", as in `ae`. "resnet18" has a fixed width.

    Raises
    ------
    UserError
        If a side is shorter than 8 pixels, or "resnet18" is given a width.
    """
    if name == "p-res":
        return PResBackbone(Architecture.of(shape, width))
    _, height, breadth = shape
    if min(height, breadth) < SMALLEST_SIDE:
        raise UserError(
            f"images of {height}×{breadth} pixels are too small for resnet18: it needs at least "
            f"{SMALLEST_SIDE}×{SMALLEST_SIDE}; give a larger image_size"
        )
    if width is not None:
        raise UserError(f"width={width}: resnet18 has a fixed width; leave width out, or take backbone=p-res")
    return ResNet18(shape)
