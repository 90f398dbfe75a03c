"""BYOL: a student predicts what a slowly moving teacher says of another view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .two_view import TaughtLearner, Views, in_float32


@register("byol")
class BYOL(TaughtLearner):
    """BYOL: a predictor q maps the student's z of each view to the teacher's z' of the other.

    Minimizes −(cos(q(z₁), z'₂) + cos(q(z₂), z'₁))/2; the loss of the paper is 4 plus 4 times that.

    Source: J.-B. Grill et al., "Bootstrap your own latent: a new approach to self-supervised learning" (2020), eq. 2.
    From the paper: the loss, the teacher, whose momentum rises to 1, and projector and predictor of two layers with a z
    of length 256. From lightly's benchmark on CIFAR-10: 1024 hidden units (the paper has 4096), and the momentum 0.99
    at the start (0.996 in the paper, for batches of 4096 and 1000 epochs). The augmentations, those of `simclr`, are
    our choice; augmentation=byol-cifar has the paper's without blur. Loss and layers are lightly's.

    Parameters
    ----------
    projector_width, projection_length : hidden units of projector and predictor, and the length of z.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "ssl"

    projector_width: PositiveInt = 1024
    projection_length: PositiveInt = 256

    def build(self, shape: ImageShape) -> None:
        """Make student, teacher and predictor, and the loss."""
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import BYOLPredictionHead

        super().build(shape)
        self._predictor = BYOLPredictionHead(self.projection_length, self.projector_width, self.projection_length)
        self._criterion = NegativeCosineSimilarity()

    def projector(self, features: int) -> nn.Module:
        """Return two layers, the first with batch normalization."""
        from lightly.models.modules import BYOLProjectionHead

        return BYOLProjectionHead(features, self.projector_width, self.projection_length)

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the mean negative cosine of predictions and the teacher's projections of the other view."""
        first, second = (self._predictor(z) for z in projections)
        targets = self.targets(views)
        one = in_float32(self._criterion, first, targets[1])
        other = in_float32(self._criterion, second, targets[0])
        return {"loss": (one + other) / 2}
