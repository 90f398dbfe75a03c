"""Stacked denoising autoencoders: each layer in turn learns to undo noise in the codes of the layers below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, cast

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from reprbench import FeatureMaps, ImageShape, Run, UserError, register

from .layerwise import LayerwiseLearner
from .rbm import TiedLayer


@register("stacked-dae")
class StackedDAE(LayerwiseLearner):
    """Stacked denoising autoencoders, learned greedily, with tied weights and sigmoid units, without fine-tuning.

    Source: P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked denoising autoencoders: learning
    useful representations in a deep network with a local denoising criterion" (2010). Layer l sees the code of the
    layers below (of the clean image, with frozen weights), some of its units independently set to 0, and learns to
    reconstruct it without the noise: min −Σ_k [x_k log z_k + (1 − x_k) log(1 − z_k)], summed over the units, averaged
    over the batch. Layers, amounts of noise and the initial weights are those of the deep learning tutorials (LISA lab,
    http://deeplearning.net/tutorial/SdA.html) for 28×28 digits.

    Our choices: batches of 20, where the tutorial uses single images; equal shares of the budget for all layers; and,
    for color images, independent noise in each channel. Codes and pixels, all in [0, 1], are taken as probabilities.

    Parameters
    ----------
    widths : the units of each layer.
    corruptions : the probability, for each layer, that an input is set to 0.
    lr : learning rate of plain gradient descent. The tutorial's is 0.001, for single images; as the loss is a mean over
        the batch, batches of 20 need 20 times as much for the same progress per epoch.

    Notes
    -----
    The history has ``layer``, the number of the layer that learns, from 1, and ``loss``, its loss in nats per image.
    Both are means over an epoch: if another layer's turn begins within one, over both layers.
    A budget's seconds are shared like its steps: whichever is nearer to its end determines whose turn it is.
    """

    version: ClassVar[int] = 1

    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1000, 1000, 1000)
    corruptions: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.1, 0.2, 0.3)
    lr: PositiveFloat = 0.02
    batch_size = 20

    layers: nn.ModuleList

    def build(self, shape: ImageShape) -> None:
        """Make the layers.

        Raises
        ------
        UserError
            If there are not as many amounts of noise as layers.
        """
        if len(self.widths) != len(self.corruptions):
            raise UserError(
                f"stacked-dae: {len(self.corruptions)} corruptions for {len(self.widths)} widths; "
                "expected one per layer: give both lists, equally long"
            )
        self._shape = shape
        sizes = (math.prod(shape), *self.widths)
        self.layers = nn.ModuleList(TiedLayer(below, width) for below, width in zip(sizes, self.widths, strict=False))

    def optimizers(self) -> Optimizer:
        """Return gradient descent without momentum, which does not change weights without a gradient."""
        return SGD(self.layers.parameters(), lr=self.lr)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the loss of the layer whose turn it is, the only one with a gradient, and its number."""
        turn = self.turn(run, len(self.widths))
        *below, layer = list(self._stack().values())[: turn + 1]
        clean = x.flatten(1)
        with torch.no_grad():
            for frozen in below:
                clean = frozen(clean)
        logits = layer.visible_logits(layer(masked(clean, self.corruptions[turn], run)))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), clean.float(), reduction="sum") / len(x)
        return {"loss": loss, "layer": torch.full((), turn + 1.0, device=x.device)}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the codes of all layers, each (N, width)."""
        codes, code = {}, x.flatten(1)
        for name, layer in self._stack().items():
            codes[name] = code = layer(code)
        return codes

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of the codes `h` of the last layer."""
        return self._down(h, len(self.layers))

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return the images of the codes of `layer`, back through the transposed weights of all layers up to it.

        Raises
        ------
        UserError
            If there is no such layer.
        """
        codes = self.encode(x)
        names = list(codes)
        layer = names[-1] if layer is None else layer
        if layer not in codes:
            raise UserError(f"stacked-dae has no layer {layer!r}; expected one of {', '.join(names)}")
        return self._down(codes[layer], names.index(layer) + 1)

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if there were fewer steps than layers."""
        steps = int(history[-1]["step"]) if history else 0
        if steps >= len(self.widths):
            return []
        return [f"some layers never learned: {len(self.widths)} layers had {steps} steps in total"]

    def _stack(self) -> dict[str, TiedLayer]:
        return {f"layer{number}": cast(TiedLayer, layer) for number, layer in enumerate(self.layers, start=1)}

    def _down(self, h: Tensor, depth: int) -> Tensor:
        for layer in reversed(list(self._stack().values())[:depth]):
            h = layer.down(h)
        return h.view(-1, *self._shape)


def masked(x: Tensor, share: float, run: Run) -> Tensor:
    """Return `x` with each number set to 0 with probability `share`, drawn from the run's generator "noise"."""
    return x * (torch.rand(x.shape, generator=run.generator("noise"), device=x.device) >= share)
