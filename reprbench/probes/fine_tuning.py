"""Fine-tuning: a copy of a fitted encoder and a linear head, trained together on labels by the shared loop."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from reprbench.features import Matrix, View
from reprbench.images import Images, Labels
from reprbench.learner import FeatureMaps, Learner
from reprbench.run_context import Run
from reprbench.state import networks_of
from reprbench.torch_learner import TorchSupervisedLearner
from reprbench.training import Values, cosine_with_warmup


def copied(learner: Learner) -> Learner:
    """Return a copy of the learner, all of whose weights are to be trained."""
    made = copy.deepcopy(learner)
    for weight in weights_of(made):
        weight.requires_grad_(True)
    return made


def weights_of(learner: Learner) -> list[nn.Parameter]:
    """Return the weights of the learner's networks that can have a gradient."""
    found = {weight: None for network in networks_of(vars(learner)) for weight in network.parameters()}
    return [weight for weight in found if weight.is_floating_point()]


def why_not(learner: Learner, view: View, x: Tensor) -> str:
    """Return why a learner, which is not changed, cannot be fine-tuned on images like `x`; empty if it can."""
    probe = copied(learner)
    weights = weights_of(probe)
    if not weights:
        return "its features come from no network with weights"
    for network in networks_of(vars(probe)):
        network.train()
    with torch.enable_grad():
        features = view.matrix(probe.encode(x))
    reached = features.requires_grad and any(
        gradient is not None for gradient in torch.autograd.grad(features.sum(), weights, allow_unused=True)
    )
    return "" if reached else "no gradient of its features reaches the weights of its networks"


def spread_of(features: Matrix) -> float:
    """Return the root of the mean variance of the features: the scale that they have together; 1 if it is 0."""
    centered = features - features.mean(0, dtype=np.float64)
    return math.sqrt(float(np.square(centered, dtype=np.float64).mean())) or 1.0


class Network(nn.Module):
    """The encoder, its pooled features divided by their common scale and normalized, and a linear layer on them.

    The linear layer begins at 0, so that the first step changes it alone, and none of the encoder.
    """

    def __init__(self, learner: Learner, view: View, width: int, spread: float, n_classes: int) -> None:
        super().__init__()
        self.learner, self.view, self.spread = learner, view, spread
        self.networks = nn.ModuleList(networks_of(vars(learner)))
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.head = nn.Linear(width, n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of images."""
        features = self.view.matrix(self.learner.encode(x)) / self.spread
        logits: Tensor = self.head(self.norm(features))
        return logits


class FineTuned(TorchSupervisedLearner):
    """A classifier made of a copy of a fitted learner; `fit_labeled` trains all its weights.

    The objective is the cross-entropy, the optimizer Adam, whose rate falls to 0 along half a cosine. Nothing is
    augmented. Batch normalizations are in training mode, and are measured anew at the end, as after every fit.

    Parameters
    ----------
    learner : fitted; it is copied, and not changed.
    features : of the images to be trained on, as the learner gives them now, in `view`; they set the scale.
    batch_size, learning_rate : of Adam, at the beginning.
    """

    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: PositiveFloat = 1e-3

    def __init__(self, learner: Learner, view: View, features: Matrix, n_classes: int, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._encode_batch_size = learner.encode_batch_size
        self.network = Network(copied(learner), view, features.shape[1], spread_of(features), n_classes)

    @property
    def encode_batch_size(self) -> int:
        """That of the learner."""
        return self._encode_batch_size

    def optimizers(self) -> torch.optim.Optimizer:
        """Return Adam for all weights; those that no gradient reaches stay as they are."""
        return torch.optim.Adam([one for one in self.network.parameters() if one.requires_grad], lr=self.learning_rate)

    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Learn with the shared loop until the budget is used up."""
        self._steps = run.budget.steps(len(images), min(self.batch_size, len(images)))
        super().fit_labeled(images, labels, run)

    def rate_factor(self, share: float) -> float:
        """Return that of half a cosine at the beginning of the step, in whose middle `share` is."""
        return cosine_with_warmup(share - 0.5 / self._steps)

    def loss(self, x: Tensor, y: Tensor, run: Run) -> Values:
        """Return the cross-entropy and the accuracy of a batch."""
        logits = self.network(x)
        return {"loss": nn.functional.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the logits."""
        return {"logits": self.classify(x)}

    def classify(self, x: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        logits: Tensor = self.network(x)
        return logits
