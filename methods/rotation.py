"""RotNet: the encoder learns by telling by how many quarter turns an image was rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, UserError, register

from .autoencoders import adam
from .backbones import Backbone, make_backbone
from .collapse import CODE, collapse_warnings, spread
from .networks import global_average

QUARTER_TURNS = 4


@register("rotation")
class Rotation(TorchLearner):
    """RotNet: min of the cross-entropy of a linear classifier of four rotations of each image, and of the encoder.

    Source: S. Gidaris, P. Singh, N. Komodakis, "Unsupervised representation learning by predicting image rotations"
    (2018): every image of a batch is shown in all four rotations, by 0°, 90°, 180° and 270°. Our choices: the encoders,
    the linear head on the globally averaged representation, Adam as in `ae` where the paper has gradient descent with
    momentum, and neither flips nor crops.

    An image counts once among the images seen, though the encoder sees it four times; the FLOPs show that.

    Parameters
    ----------
    backbone : the encoder: "p-res", that of `ae`, or "resnet18".
    width : channels of the first layer of "p-res"; as in `ae`.
    lr : Adam's learning rate.

    Notes
    -----
    The history has ``loss``, the cross-entropy, ``accuracy``, the share of rotations that are recognized (chance:
    0.25), both on the training images, and ``code_std`` of the averaged representations of all four rotations of a
    batch, as `simclr` has it; below 0.1 the row gets a warning.

    In training, batch normalizations normalize by all four rotations; in evaluation, like those of all learners here,
    by the images that are encoded, which are upright. By the statistics of all rotations a code that tells them apart
    hardly differs between upright images.
    """

    version: ClassVar[int] = 1

    backbone: Backbone = "p-res"
    width: PositiveInt | None = None
    lr: PositiveFloat = 1e-3

    encoder: nn.Module
    head: nn.Linear

    def build(self, shape: ImageShape) -> None:
        """Make the encoder, first, and the head.

        Raises
        ------
        UserError
            If images are not square.
        """
        _, height, width = shape
        if height != width:
            raise UserError(
                f"images of {height}×{width} pixels have another shape after a quarter turn: "
                "rotation needs square ones; crop or resize them, by the dataset's image_size if it has that parameter"
            )
        encoder = make_backbone(self.backbone, shape, self.width)
        self.encoder, self.head = encoder, nn.Linear(encoder.features, QUARTER_TURNS)

    def optimizers(self) -> Optimizer:
        """Return one Adam for encoder and head."""
        return adam(self.lr, self.encoder, self.head)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the cross-entropy and the accuracy over all rotations of the images."""
        *_, representation = self.encoder(rotations(x)).values()
        codes = global_average(representation)
        logits = self.head(codes)
        turns = torch.arange(QUARTER_TURNS, device=x.device).repeat_interleave(len(x))
        accuracy = (logits.argmax(1) == turns).float().mean()
        return {"loss": functional.cross_entropy(logits, turns), "accuracy": accuracy, **spread(CODE, codes)}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder; the last is the representation."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if representations had nearly one direction for all images in the last epoch."""
        return collapse_warnings(history)


def rotations(x: Tensor) -> Tensor:
    """Return `x` (N, C, S, S) turned counterclockwise by 0°, 90°, 180° and 270°, in this order: (4N, C, S, S)."""
    return torch.cat([x.rot90(turns, (2, 3)) for turns in range(QUARTER_TURNS)])
