"""The masked autoencoder: a small vision transformer that sees a quarter of an image and predicts the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, UserError, cosine_with_warmup, register

from .collapse import CODE, collapse_warnings, spread
from .networks import Size

HEAD_WIDTH = 32
MASK_TOKEN_DEVIATION = 0.02
PATCH_EPSILON = 1e-6
"""Added to the variance of a patch before a division, as in the code of He et al."""

Width = Annotated[int, Field(ge=HEAD_WIDTH, multiple_of=HEAD_WIDTH)]
"""Numbers of a token: one attention head for each 32."""


class Transformer(nn.Module):
    """Blocks of a vision transformer, from timm, on tokens with fixed sine-cosine positions on a grid."""

    positions: Tensor
    """(L, width)."""

    def __init__(self, inputs: int, width: int, depth: int, grid: Size) -> None:
        from timm.layers import build_sincos2d_pos_embed
        from timm.models.vision_transformer import Block

        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.register_buffer("positions", build_sincos2d_pos_embed(list(grid), width), persistent=False)
        self.blocks = nn.ModuleList(Block(width, width // HEAD_WIDTH, qkv_bias=True) for _ in range(depth))
        for block in self.blocks:
            # Plain products, whose FLOPs torch counts on every device, and whose gradients are deterministic on CUDA.
            block.attn.fused_attn = False
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(initialize)

    def forward(self, tokens: Tensor, places: Tensor) -> list[Tensor]:
        """Return the tokens after each block, and, last, these normalized.

        Parameters
        ----------
        tokens : of width `width`, (N, L', width).
        places : where each of them is on the grid, (N, L') or (1, L').
        """
        outputs = [tokens + self.positions[places]]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return [*outputs[1:], self.norm(outputs[-1])]


class PatchDecoder(Transformer):
    """The tokens of the visible patches → the pixels of the others."""

    def __init__(self, inputs: int, width: int, depth: int, grid: Size, outputs: int) -> None:
        super().__init__(inputs, width, depth, grid)
        self.mask_token = nn.Parameter(torch.randn(width) * MASK_TOKEN_DEVIATION)
        self.pixels = nn.Linear(width, outputs)
        initialize(self.pixels)

    def predict(self, tokens: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Return the pixels (N, M, outputs) at the places `masked` (N, M), given `tokens` at `visible` (N, V)."""
        unknown = self.mask_token.to(tokens.dtype).expand(*masked.shape, -1)
        embedded = torch.cat([self.embed(tokens), unknown], 1)
        *_, outputs = self(embedded, torch.cat([visible, masked], 1))
        predicted: Tensor = self.pixels(outputs[:, visible.shape[1] :])
        return predicted


@register("mae")
class MAE(TorchLearner):
    """Masked autoencoder: min of the squared error of the masked patches, predicted from the visible ones.

    Source: K. He, X. Chen, S. Xie, Y. Li, P. Dollár, R. Girshick, "Masked autoencoders are scalable vision learners"
    (2022). In each image three quarters of the patches are masked at random; the encoder, a vision transformer, gets
    the others alone, and a smaller decoder gets its tokens and, for the masked patches, a learned one. As published:
    fixed sine-cosine positions, the initial weights, a target of pixels normalized within each patch, AdamW with
    β = (0.9, 0.95) and weight decay 0.05 on matrices alone, and the schedule of its rate. The blocks are timm's. Our
    choices: sizes for small images, no class token (the paper finds that it is not needed), no crops or flips, pixels
    in [0, 1] as they are, the biased variance in the normalization of a patch, and a learning rate for batches of 128
    and few epochs.

    It has a network of its own: what it saves and what it learns come from leaving tokens out, and a convolutional
    network has none. It does not reconstruct: it was never trained on images of which it sees all.

    Parameters
    ----------
    patch_size : the side of a patch in pixels; by default 2 below 16 pixels, 4 below 64, and 8 from there up. It must
        divide both sides of the images.
    width, depth : numbers of a token, a multiple of 32, and blocks of the encoder.
    decoder_width, decoder_depth : those of the decoder.
    mask_share : the share of masked patches; at least one patch is visible and one masked.
    normalize : whether the target's pixels are normalized within each patch.
    lr, weight_decay : of AdamW. The rate rises linearly for the first `warmup` of the budget, and falls to 0 by half a
        cosine wave.

    Notes
    -----
    The history has ``loss``, the mean squared error over the pixels of the masked patches; with `normalize`, in units
    of a patch's variance: to predict the mean of each patch gives at most 1. ``code_std`` is as in `simclr`, of the
    last layer's tokens that the encoder made, those of the visible patches, averaged over an image; below 0.1 the row
    gets a warning. Such averages have much in common: it is small even where a linear classifier tells images apart.

    The layers are the outputs of the blocks as maps of tokens, and "norm", the last one normalized, the representation.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "timm"

    patch_size: PositiveInt | None = None
    width: Width = 128
    depth: PositiveInt = 6
    decoder_width: Width = 64
    decoder_depth: PositiveInt = 2
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    normalize: bool = True
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05

    encoder: Transformer
    decoder: PatchDecoder

    def build(self, shape: ImageShape) -> None:
        """Make the encoder and the decoder.

        Raises
        ------
        UserError
            If images cannot be cut into patches, at least two.
        """
        channels, *sides = shape
        self._side = self.patch_size or default_patch_size(min(sides))
        self._grid = grid = (sides[0] // self._side, sides[1] // self._side)
        if any(side % self._side for side in sides) or grid[0] * grid[1] < 2:
            raise UserError(
                f"images of {sides[0]}×{sides[1]} pixels cannot be cut into patches of {self._side}×{self._side}, at "
                "least two; give a patch_size that divides both sides"
            )
        numbers = channels * self._side**2
        self.encoder = Transformer(numbers, self.width, self.depth, grid)
        self.decoder = PatchDecoder(self.width, self.decoder_width, self.decoder_depth, grid, numbers)

    def optimizers(self) -> Optimizer:
        """Return one AdamW for both networks."""
        weights = [weight for network in (self.encoder, self.decoder) for weight in network.parameters()]
        groups = [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.lr, betas=(0.9, 0.95))

    def rate_factor(self, share: float) -> float:
        """Return the cosine schedule with linear warm-up, as in the paper."""
        return cosine_with_warmup(share, self.warmup)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the mean squared error of the masked patches."""
        pixels = patches(x, self._side)
        visible, masked = self.places(pixels, run)
        *_, tokens = self.encoder(self.encoder.embed(at(pixels, visible)), visible)
        predicted = self.decoder.predict(tokens, visible, masked)
        target = at(pixels, masked)
        loss = functional.mse_loss(predicted.float(), normalized(target) if self.normalize else target)
        return {"loss": loss, **spread(CODE, tokens.detach().mean(1))}

    def places(self, pixels: Tensor, run: Run) -> tuple[Tensor, Tensor]:
        """Return the places of the visible and of the masked patches of each image, from the generator "mask"."""
        count = pixels.shape[1]
        drawn = torch.rand(pixels.shape[:2], generator=run.generator("mask"), device=pixels.device)
        order = drawn.argsort(dim=1, stable=True)
        kept = min(max(1, round(count * (1 - self.mask_share))), count - 1)
        return order[:, :kept], order[:, kept:]

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the tokens of the whole image after each block, and the last normalized: maps (N, width, H', W')."""
        pixels = patches(x, self._side)
        everywhere = torch.arange(pixels.shape[1], device=x.device)[None]
        *blocks, last = self.encoder(self.encoder.embed(pixels), everywhere)
        names = [*(f"block{number}" for number in range(1, len(blocks) + 1)), "norm"]
        outputs = zip(names, [*blocks, last], strict=True)
        return {name: tokens.transpose(1, 2).unflatten(2, self._grid) for name, tokens in outputs}

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if representations had nearly one direction for all images in the last epoch."""
        return collapse_warnings(history)


def default_patch_size(side: int) -> int:
    """Return the side of a patch for images whose shorter side has `side` pixels."""
    return 2 if side < 16 else 4 if side < 64 else 8


def patches(x: Tensor, side: int) -> Tensor:
    """Return the patches of images (N, C, H, W), row by row: (N, HW/side², C·side²)."""
    return functional.unfold(x, side, stride=side).transpose(1, 2)


def at(tokens: Tensor, places: Tensor) -> Tensor:
    """Return the tokens (N, L, width) of each image at its `places` (N, L')."""
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


def normalized(pixels: Tensor) -> Tensor:
    """Return patches (N, L, numbers), each with mean 0 and variance 1; a constant one becomes 0."""
    variance, mean = torch.var_mean(pixels, -1, correction=0, keepdim=True)
    return (pixels - mean) / (variance + PATCH_EPSILON).sqrt()


def initialize(module: nn.Module) -> None:
    """Draw the weights of a linear map as He et al. do: uniform by Glorot and Bengio, biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
