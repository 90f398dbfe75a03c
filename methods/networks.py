"""The encoder, decoder and classifier of AME-AE for images of 8×8 or more.

Source: X. Gao, H. Xiong (see `blocks`). The paper specifies the blocks and the 11 layers of the STL-10 encoder; widths,
kernel sizes and the classifier are inferred from its feature counts or our choices. Weights have PyTorch's default
initialization: uniform in ±1/√(fan-in), batch normalizations at 1 and 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from reprbench import ImageShape, UserError

from .blocks import ConvUnit, NormalizedConv, PRes, Size, Statistics, URes

SMALLEST_SIDE = 8
DEEP_FROM = 32
"""Images with a shorter side below this get the MNIST encoder of 8 layers, others the STL-10 encoder of 11."""
STRIDED_STEM_FROM = 64
CLASSIFIER_WIDTH = 128


@dataclass(frozen=True)
class Architecture:
    """The sizes shared by an encoder and the decoder that mirrors it."""

    image: ImageShape
    width: int
    """Channels of the first layer; all others have multiples of it."""

    @classmethod
    def of(cls, image: ImageShape, width: int | None = None) -> Architecture:
        """Return the architecture for images of shape (C, H, W); the default `width` is 64 from 32 pixels, 32 below.

        Raises
        ------
        UserError
            If a side is shorter than 8 pixels.
        """
        _, height, breadth = image
        if min(height, breadth) < SMALLEST_SIDE:
            raise UserError(
                f"images of {height}×{breadth} pixels are too small for the encoder: it needs at least "
                f"{SMALLEST_SIDE}×{SMALLEST_SIDE}; give a larger image_size"
            )
        return cls(image, width or (64 if min(height, breadth) >= DEEP_FROM else 32))

    @property
    def deep(self) -> bool:
        """Whether this is the STL-10 encoder (11 layers, a map as code) or the MNIST one (8 layers, a vector)."""
        return min(self.image[1:]) >= DEEP_FROM

    @property
    def strided_stem(self) -> bool:
        """Whether the first convolution halves the image."""
        return min(self.image[1:]) >= STRIDED_STEM_FROM

    @property
    def inner_widths(self) -> tuple[int, ...]:
        """The inner channels of the P-Res blocks."""
        return (self.width, 2 * self.width, 4 * self.width) if self.deep else (self.width, 2 * self.width)

    @property
    def expansion(self) -> int:
        """The output channels of a P-Res block in units of its inner channels."""
        return 4 if self.deep else 2

    @property
    def code_channels(self) -> int:
        """The channels of the last layer."""
        return 4 * self.width if self.deep else 2 * self.width

    @property
    def sizes(self) -> list[Size]:
        """The sizes of the feature maps from the image to the last P-Res block, each half of the one before it."""
        sizes: list[Size] = [self.image[1:]]
        for _ in range(len(self.inner_widths) + self.strided_stem):
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
        return sizes


class Encoder(nn.Module):
    """Images (N, C, H, W) → the feature maps of all layers, each after its batch normalization and ReLU.

    From 32 pixels up (the STL-10 encoder; w = width): a stem of w channels, 4×4 with stride 2 from 64 pixels up and
    3×3 below, three P-Res blocks of 4w, 8w, 16w channels, and a 1×1 convolution to the code, a map of 4w channels.
    Below (the MNIST encoder): a 3×3 stem of w channels, two P-Res blocks of 2w and 4w channels, and a convolution
    over the whole remaining map to the code, a vector of 2w numbers.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels, height, width = architecture.image
        if architecture.strided_stem:
            # One more row of zeros on both sides makes an odd size round up, as everywhere else.
            padding = (1 + height % 2, 1 + width % 2)
            self.stem = ConvUnit(channels, architecture.width, (4, 4), stride=2, padding=padding)
        else:
            self.stem = ConvUnit(channels, architecture.width, (3, 3), padding=(1, 1))
        blocks, channels = [], architecture.width
        for inner in architecture.inner_widths:
            blocks.append(PRes(channels, inner, architecture.expansion * inner))
            channels = architecture.expansion * inner
        self.blocks = nn.ModuleList(blocks)
        kernel = (1, 1) if architecture.deep else architecture.sizes[-1]
        self.last = ConvUnit(channels, architecture.code_channels, kernel)
        self.vector_code = not architecture.deep

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the feature maps "layer1", "layer2", … from input to output."""
        maps = [self.stem(x)]
        for block in self.blocks:
            maps.extend(block(maps[-1]))
        code = self.last(maps[-1])
        maps.append(code.flatten(1) if self.vector_code else code)
        return {f"layer{number}": feature_map for number, feature_map in enumerate(maps, start=1)}

    def remember(self, wanted: bool) -> None:
        """Set whether the statistics of a batch are kept for a later pass with "previous"."""
        for module in self.modules():
            if isinstance(module, NormalizedConv):
                module.remember = wanted

    def code(self, x: Tensor, statistics: Statistics = "batch") -> Tensor:
        """Return the last layer alone; in training mode, normalized by `statistics`."""
        units = [module for module in self.modules() if isinstance(module, NormalizedConv)]
        for unit in units:
            unit.statistics = statistics
        code: Tensor
        *_, code = self(x).values()
        for unit in units:
            unit.statistics = "batch"
        return code


class Decoder(nn.Module):
    """Codes → images (N, C, H, W) in [0, 1]: the encoder's mirror, a U-Res block for every halving.

    The STL-10 decoder's blocks have 4w, 2w, w (and w/2) channels; the MNIST decoder first spreads the vector over a map
    of 4w channels and goes on with 2w and w. A 3×3 convolution and a sigmoid end both.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        *targets, smallest = architecture.sizes
        channels = architecture.code_channels
        self.spread: nn.Module = nn.Identity()
        if not architecture.deep:
            self.spread = nn.Sequential(
                nn.Unflatten(1, (channels, 1, 1)),
                nn.ConvTranspose2d(channels, 4 * architecture.width, smallest, bias=False),
                nn.BatchNorm2d(4 * architecture.width),
                nn.ReLU(inplace=True),
            )
            channels = 4 * architecture.width
        width = channels if architecture.deep else channels // 2
        blocks = []
        for size in reversed(targets):
            blocks.append(URes(channels, width, size))
            channels, width = width, max(1, width // 2)
        self.blocks = nn.Sequential(*blocks)
        self.image = nn.Sequential(nn.Conv2d(channels, architecture.image[0], 3, padding=1), nn.Sigmoid())

    def forward(self, h: Tensor) -> Tensor:
        """Return the images of the codes `h`."""
        image: Tensor = self.image(self.blocks(self.spread(h)))
        return image


class CodeClassifier(nn.Module):
    """Codes → logits (N,) that they are codes of originals: global average pooling → 128 → LeakyReLU(0.2) → 1."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(architecture.code_channels, CLASSIFIER_WIDTH), nn.LeakyReLU(0.2), nn.Linear(CLASSIFIER_WIDTH, 1)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return the logits of the codes `h`."""
        logits: Tensor = self.layers(global_average(h)).squeeze(1)
        return logits


def global_average(h: Tensor) -> Tensor:
    """Return maps (N, C, H, W) averaged over their positions, and vectors (N, C) unchanged."""
    return h.mean(dim=(2, 3)) if h.dim() == 4 else h
