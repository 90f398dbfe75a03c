"""VICReg: invariance, variance and covariance of the projections, without negatives, teacher or predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from reprbench import Run, register

from .two_view import TwoViewLearner, Views, in_float32


@register("vicreg")
class VICReg(TwoViewLearner):
    """VICReg: z₁ and z₂ agree, each component varies over a batch by at least 1, and no two are correlated.

    Source: A. Bardes, J. Ponce, Y. LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised
    learning" (2022), eq. 1–6, with the weights 25, 25 and 1. As in the authors' code, and unlike eq. 5 and 6, the
    invariance is a mean over components, and the variance term the mean of both views'. The projector has the three
    layers of the paper, with the 2048 units of solo-learn on CIFAR-10 (the paper has 8192). With weights of 25, SGD
    needs a rate that is a 25th of the other methods': with theirs, p-res diverges in the warm-up. The paper's LARS
    scales the gradient of each layer. The augmentations, those of `simclr`, are our choice. The terms of the loss and
    the projector are lightly's.

    Parameters
    ----------
    lr : as in `TwoViewLearner`, for the weights as they are.
    invariance, variance, covariance : the weights λ, μ and ν.
    projector_width, projection_length : hidden units of the projector, and the length of z.

    Notes
    -----
    The history has, besides what `TwoViewLearner` logs, the unweighted terms under the names of their weights;
    ``variance`` is 1 if everything collapsed, and 0 if every component varies enough.
    """

    version: ClassVar[int] = 2
    extra: ClassVar[str | None] = "ssl"

    lr: PositiveFloat = 0.0024
    invariance: NonNegativeFloat = 25.0
    variance: NonNegativeFloat = 25.0
    covariance: NonNegativeFloat = 1.0
    projector_width: PositiveInt = 2048
    projection_length: PositiveInt = 2048

    def projector(self, features: int) -> nn.Module:
        """Return three layers, the first two with batch normalization."""
        from lightly.models.modules.heads import VICRegProjectionHead

        return VICRegProjectionHead(features, self.projector_width, self.projection_length)

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the weighted sum of the three terms, and each of them."""
        from lightly.loss.vicreg_loss import covariance_loss, invariance_loss, variance_loss

        invariance = in_float32(invariance_loss, *projections)
        variance = sum(in_float32(variance_loss, z) for z in projections) / 2
        covariance = sum(in_float32(covariance_loss, z) for z in projections)
        loss = self.invariance * invariance + self.variance * variance + self.covariance * covariance
        return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}
