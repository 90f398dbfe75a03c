"""SimSiam: one view predicts the other, which gets no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .two_view import TwoViewLearner, Views, in_float32


@register("simsiam")
class SimSiam(TwoViewLearner):
    """SimSiam: a predictor h maps each z to that of the other view, which counts as a constant.

    Minimizes −(cos(h(z₁), z₂) + cos(h(z₂), z₁))/2, in which no gradient goes to z as a target.

    Source: X. Chen, K. He, "Exploring simple Siamese representation learning" (2021), eq. 1–4. From the paper: the
    loss, the projector, of two layers as for CIFAR-10 (appendix D), and the predictor with a bottleneck of 512 units.
    The rate of the predictor follows the schedule, while the paper keeps it on ImageNet. Loss and layers are lightly's.

    Parameters
    ----------
    projector_width, predictor_width : units of both layers of the projector, and of the predictor's hidden layer.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "ssl"

    projector_width: PositiveInt = 2048
    predictor_width: PositiveInt = 512

    def build(self, shape: ImageShape) -> None:
        """Make the networks and the loss."""
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import SimSiamPredictionHead

        super().build(shape)
        self._predictor = SimSiamPredictionHead(self.projector_width, self.predictor_width, self.projector_width)
        self._criterion = NegativeCosineSimilarity()

    def projector(self, features: int) -> nn.Module:
        """Return two layers, each with batch normalization."""
        from lightly.models.modules.heads import ProjectionHead

        width = self.projector_width
        hidden = (features, width, nn.BatchNorm1d(width), nn.ReLU())
        return ProjectionHead([hidden, (width, width, nn.BatchNorm1d(width), None)])

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the mean negative cosine of predictions and constant projections of the other view."""
        first, second = (self._predictor(z) for z in projections)
        one = in_float32(self._criterion, first, projections[1].detach())
        other = in_float32(self._criterion, second, projections[0].detach())
        return {"loss": (one + other) / 2}
