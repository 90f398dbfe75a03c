"""SimCLR: two views of an image attract, those of different images repel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .two_view import TwoViewLearner, Views, in_float32


@register("simclr")
class SimCLR(TwoViewLearner):
    """SimCLR: each view has to find the other of its image among all views of a batch (NT-Xent).

    Source: T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A simple framework for contrastive learning of visual
    representations" (2020), eq. 1. From the paper: the loss, the projector of two layers, the length 128 of z, and for
    CIFAR-10 (appendix B.9) the temperature 0.5 and the augmentations. From lightly's benchmark on CIFAR-10: batch
    normalization in the projector, its 512 hidden units, batches of 128, and the optimizer. Loss and projector are
    lightly's.

    Parameters
    ----------
    temperature : τ of the loss.
    projector_width, projection_length : hidden units of the projector, and the length of z.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "ssl"

    temperature: PositiveFloat = 0.5
    projector_width: PositiveInt = 512
    projection_length: PositiveInt = 128

    def build(self, shape: ImageShape) -> None:
        """Make the networks and the loss."""
        from lightly.loss import NTXentLoss

        super().build(shape)
        self._criterion = NTXentLoss(self.temperature)

    def projector(self, features: int) -> nn.Module:
        """Return two layers, each with batch normalization."""
        from lightly.models.modules import SimCLRProjectionHead

        return SimCLRProjectionHead(features, self.projector_width, self.projection_length)

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the normalized, temperature-scaled cross-entropy."""
        return {"loss": in_float32(self._criterion, *projections)}
