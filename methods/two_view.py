"""What learners from two views of each image share: views → backbone → projector → objective, and teachers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, UserError, cosine_with_warmup

from .augmentations import AUGMENTATIONS, AugmentationName, Probability, altered, two_views
from .backbones import Backbone, PResBackbone, ResNet18, make_backbone
from .collapse import CODE, PROJECTION, collapse_warnings, spread
from .networks import global_average

SGD_MOMENTUM = 0.9

Views = Sequence[Tensor]
"""Two batches, each of a view of the same images, or of what is made of them."""


class TwoViewLearner(TorchLearner):
    """Learns from two random views x₁, x₂ of each image: z = g(f(x)) with a backbone f and a projector g.

    Evaluation sees the layers of f alone. The objective compares z₁ and z₂, which a subclass defines. Each view goes
    through the networks on its own, so that it is normalized by its own batch statistics, as in lightly and solo-learn.
    Objectives are computed in float32.

    The optimizer is that of lightly's benchmark on CIFAR-10: SGD with momentum 0.9, weight decay 5e-4 on all weights
    and the rate 0.06 at batches of 128, which falls as half a cosine wave (there once an epoch, here each step). Large
    batches and LARS, as in most of the papers, do not suit a budget of few images. The warm-up is our choice.

    Parameters
    ----------
    backbone : "p-res", the encoder of `ae`, or "resnet18", with a 3×3 stem below 64 pixels; see `backbones`. The
        representation is averaged over its positions for g.
    width : of "p-res", as in `ae`.
    augmentation : how the views are made, see `augmentations`. The next five change what it says.
    smallest_crop : the least area of a crop, as a share of the image.
    flip : whether views are mirrored left and right.
    jitter : factor of the strength of the color jitter.
    gray, blur : the probabilities of losing the colors and of a Gaussian blur.
    lr : the learning rate after the warm-up.
    warmup : the share of the budget in which it rises linearly from 0.

    Notes
    -----
    The history has ``loss`` and, for the representation and for z, ``code_std`` and ``projection_std``: the standard
    deviation over a batch of the vectors scaled to length 1, averaged over their d dimensions, in units of 1/√d: 1 if
    they point everywhere alike, 0 if all images have the same one (X. Chen, K. He, "Exploring simple Siamese
    representation learning", 2021, section 4.1). Below 0.1 the row gets a warning.
    """

    batch_size: Annotated[int, Field(ge=2)] = 128
    backbone: Backbone = "p-res"
    width: PositiveInt | None = None
    augmentation: AugmentationName = "simclr-cifar"
    smallest_crop: Annotated[float, Field(gt=0, le=1)] | None = None
    flip: bool | None = None
    jitter: NonNegativeFloat = 1.0
    gray: Probability | None = None
    blur: Probability | None = None
    lr: PositiveFloat = 0.06
    weight_decay: NonNegativeFloat = 5e-4
    warmup: Probability = 0.05

    encoder: PResBackbone | ResNet18

    def build(self, shape: ImageShape) -> None:
        """Make the backbone, first, and the projector."""
        self.encoder = make_backbone(self.backbone, shape, self.width)
        self._projector = self.projector(self.encoder.features)
        first, second = AUGMENTATIONS[self.augmentation]
        changes = (self.smallest_crop, self.flip, self.jitter, self.gray, self.blur)
        self._augmentations = altered(first, *changes), altered(second, *changes)

    @abstractmethod
    def projector(self, features: int) -> nn.Module:
        """Return a new projector of representations (N, `features`)."""

    @abstractmethod
    def objective(self, views: Views, projections: Views, run: Run) -> Mapping[str, Tensor]:
        """Return the loss under "loss", and what else is logged, given both views and their z."""

    def optimizers(self) -> Optimizer | Mapping[str, Optimizer]:
        """Return one SGD for all weights that have gradients."""
        weights = [w for network in self._networks().values() for w in network.parameters() if w.requires_grad]
        return SGD(weights, lr=self.lr, momentum=SGD_MOMENTUM, weight_decay=self.weight_decay, foreach=True)

    def rate_factor(self, share: float) -> float:
        """Return the factor of a cosine schedule with linear warm-up."""
        return cosine_with_warmup(share, self.warmup)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the objective of two views of the images `x`, and what shows a collapse."""
        if len(x) < 2:
            raise UserError(
                f"{self.method_name} compares the images of a batch and needs at least two; give more images"
            )
        views = two_views(x, self._augmentations, run.generator("augmentation"))
        codes = [code_of(self.encoder, view) for view in views]
        projections = [self._projector(code) for code in codes]
        spreads = {**spread(CODE, codes[0]), **spread(PROJECTION, projections[0])}
        return {**self.objective(views, projections, run), **spreads}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the backbone; the last is the representation."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if codes or projections had nearly one value for all images in the last epoch."""
        return collapse_warnings(history)


class TaughtLearner(TwoViewLearner):
    """A two-view learner whose targets come from a teacher: the same networks, with averages of their weights.

    The teacher starts equal to the student f and g, has no gradients, and after each step moves by
    ξ ← τ ξ + (1 − τ) θ, where τ rises from `momentum` to 1 as half a cosine wave (J.-B. Grill et al., "Bootstrap your
    own latent", 2020, section 3.3). It normalizes by the statistics of its own batches.

    Parameters
    ----------
    momentum : τ at the start of the fit.
    """

    momentum: Probability = 0.99

    def build(self, shape: ImageShape) -> None:
        """Make the student, then the teacher."""
        super().build(shape)
        teacher = [make_backbone(self.backbone, shape, self.width), self.projector(self.encoder.features)]
        self._teacher = nn.ModuleList(teacher).requires_grad_(False)
        self._teacher.load_state_dict(nn.ModuleList([self.encoder, self._projector]).state_dict())

    def targets(self, views: Views) -> list[Tensor]:
        """Return the teacher's projections of the views."""
        encoder, projector = self._teacher
        with torch.no_grad():
            return [projector(code_of(encoder, view)) for view in views]

    def step(self, x: Tensor, optimizers: Mapping[str, Optimizer], run: Run) -> Mapping[str, Tensor]:
        """Move the student down its gradient, then the teacher towards it."""
        values = super().step(x, optimizers, run)
        student = [*self.encoder.parameters(), *self._projector.parameters()]
        with torch.no_grad():
            torch._foreach_lerp_(list(self._teacher.parameters()), student, 1 - self.momentum_at(run.share))
        return values

    def momentum_at(self, share: float) -> float:
        """Return τ when `share` of the budget is used."""
        return 1 - (1 - self.momentum) * cosine_with_warmup(share)


def code_of(encoder: nn.Module, x: Tensor) -> Tensor:
    """Return the representations of `x`, averaged over their positions: (N, D)."""
    *_, representation = encoder(x).values()
    return global_average(representation)


def in_float32(criterion: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Return the loss by `criterion` of tensors or lists of tensors, computed in float32 whatever the precision."""
    full = [[one.float() for one in given] if isinstance(given, list) else given.float() for given in inputs]
    device = full[0][0].device
    with torch.autocast(device.type, enabled=False):
        loss: Tensor = criterion(*full)
    return loss
