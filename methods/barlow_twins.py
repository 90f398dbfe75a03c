"""Barlow Twins: the components of two views agree, and are not redundant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .two_view import TwoViewLearner, Views, in_float32


@register("barlow-twins")
class BarlowTwins(TwoViewLearner):
    """Barlow Twins: the cross-correlation of z₁ and z₂ over a batch becomes the identity.

    Source: J. Zbontar, L. Jing, I. Misra, Y. LeCun, S. Deny, "Barlow Twins: self-supervised learning via redundancy
    reduction" (2021), eq. 1. From the paper: the loss with λ = 0.005, and the projector of three layers. Its 2048 units
    are those of solo-learn on CIFAR-10 (the paper has 8192). The loss is a sum over these units: the rate is a tenth of
    the other methods', as solo-learn multiplies the loss by 0.1. The augmentations, those of `simclr`, are our choice.
    Loss and projector are lightly's.

    Parameters
    ----------
    lr : as in `TwoViewLearner`, for a loss that is not scaled.
    redundancy : λ, the weight of what is off the diagonal.
    projector_width, projection_length : hidden units of the projector, and the length of z.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "ssl"

    lr: PositiveFloat = 0.006
    redundancy: NonNegativeFloat = 0.005
    projector_width: PositiveInt = 2048
    projection_length: PositiveInt = 2048

    def build(self, shape: ImageShape) -> None:
        """Make the networks and the loss."""
        from lightly.loss import BarlowTwinsLoss

        super().build(shape)
        self._criterion = BarlowTwinsLoss(self.redundancy)

    def projector(self, features: int) -> nn.Module:
        """Return three layers, the first two with batch normalization."""
        from lightly.models.modules import BarlowTwinsProjectionHead

        return BarlowTwinsProjectionHead(features, self.projector_width, self.projection_length)

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the squared distance of the cross-correlation from the identity, weighted off the diagonal."""
        return {"loss": in_float32(self._criterion, *projections)}
