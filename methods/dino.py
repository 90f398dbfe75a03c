"""DINO: a student sorts a view into prototypes as its teacher sorts the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from reprbench import ImageShape, Run, register

from .augmentations import Probability
from .two_view import TaughtLearner, Views, in_float32


@register("dino")
class DINO(TaughtLearner):
    """DINO: cross-entropy between a teacher's centered, sharpened distribution and the student's of the other view.

    Source: M. Caron et al., "Emerging properties in self-supervised vision transformers" (2021), eq. 1–4. From the
    paper: the loss; the center, a moving average (0.9) of the teacher's outputs; the temperatures 0.1 of the student
    and 0.04, rising linearly to 0.07, of the teacher; the projector of three layers with a bottleneck of 256 and
    normalized prototypes. Without the small crops of the paper (multi-crop). From lightly's benchmark on CIFAR-10: 2048
    prototypes (the paper has 65,536), batch normalization in the projector, and the momentum 0.99 at the start (0.996
    in the paper). Our choices: the augmentations, those of `simclr`; that the teacher's temperature rises over the
    first 30% of the budget; and that the student is evaluated, as in the other methods, and not the teacher. Loss and
    layers are lightly's.

    Parameters
    ----------
    prototypes : the length of z, over which the distributions are.
    projector_width, bottleneck : units of the projector's first two layers, and of the third.
    student_temperature, teacher_temperature : of the two softmax, the second after its rise.
    first_teacher_temperature, temperature_warmup : where it starts, and the share of the budget in which it rises.

    Notes
    -----
    The history has, besides what `TwoViewLearner` logs, ``target_entropy``: the mean entropy of the teacher's
    distributions over that of the uniform one, which it is if everything collapsed to 1.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "ssl"

    prototypes: PositiveInt = 2048
    projector_width: PositiveInt = 2048
    bottleneck: PositiveInt = 256
    student_temperature: PositiveFloat = 0.1
    teacher_temperature: PositiveFloat = 0.07
    first_teacher_temperature: PositiveFloat = 0.04
    temperature_warmup: Probability = 0.3

    def build(self, shape: ImageShape) -> None:
        """Make student and teacher, and the loss with the center."""
        from lightly.loss import DINOLoss

        super().build(shape)
        self._criterion = DINOLoss(self.prototypes, student_temp=self.student_temperature)

    def projector(self, features: int) -> nn.Module:
        """Return three layers, the first two with batch normalization, and normalized prototypes."""
        from lightly.models.modules import DINOProjectionHead

        with warnings.catch_warnings():
            # lightly uses torch's former function for weight normalization.
            warnings.simplefilter("ignore", FutureWarning)
            return DINOProjectionHead(features, self.projector_width, self.bottleneck, self.prototypes, batch_norm=True)

    def temperature_at(self, share: float) -> float:
        """Return the teacher's temperature when `share` of the budget is used."""
        risen = min(1.0, share / self.temperature_warmup) if self.temperature_warmup else 1.0
        return self.first_teacher_temperature + risen * (self.teacher_temperature - self.first_teacher_temperature)

    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the cross-entropy over pairs of different views, and move the center."""
        targets, temperature = self.targets(views), self.temperature_at(run.share)
        sharpened = ((torch.stack(targets).float() - self._criterion.center) / temperature).log_softmax(-1)
        entropy = -(sharpened.exp() * sharpened).sum(-1).mean() / math.log(self.prototypes)

        def criterion(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
            return self._criterion(teacher, student, teacher_temp=temperature)

        return {"loss": in_float32(criterion, targets, list(projections)), "target_entropy": entropy}
