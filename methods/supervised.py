"""The supervised row of Table 1: the encoder of the autoencoders, trained only on the labels of a fold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from reprbench import Budget, FeatureMaps, Images, ImageShape, Indices, Labels, Run, TorchSupervisedLearner, register

from .autoencoders import adam
from .networks import Architecture, Encoder, global_average

HEAD_DEVIATION = 0.01
HELD_OUT = 5
"""One of so many images of each class is held out to choose the learning rate."""
TRIAL_SHARE = 4
"""A learning rate is tried for this part of the steps of the fit."""
ACCURACY = "held-out accuracy"

Rates = Annotated[
    tuple[PositiveFloat, ...],
    Field(min_length=1),
    BeforeValidator(lambda given: (given,) if isinstance(given, int | float) else given),
]
"""Learning rates; a single number is one."""


@register("supervised")
class Supervised(TorchSupervisedLearner):
    """The encoder of `ae` and a linear classifier on its globally averaged code, trained by cross-entropy.

    Table 1 of AME-AE (X. Gao, H. Xiong) calls it "supervised, same architecture". The encoder and the optimizer are
    those of `ae`; the head, its initial weights from N(0, 0.01²), and training without augmentation or weight decay are
    our choices. It is fitted once per fold, on that fold's images, and its epochs are passes over these: as a fold has
    few, it makes at least `min_steps`.

    Of several learning rates, each is tried on four fifths of the fold's images for a quarter of the steps, and the one
    with the highest accuracy on the rest, the lowest if tied, learns from all of them, from the same initial weights.
    The images seen in these trials count.

    Parameters
    ----------
    width, batch_size : as in `ae`.
    lr : a learning rate, or those to choose from.
    min_steps : the fewest optimizer steps, whatever the budget's epochs and images; its seconds still end the fit.

    Notes
    -----
    The history has ``loss``, the cross-entropy, and ``accuracy``, both on the training images. Before the first step it
    has a row for each ``lr`` that was tried, with its ``held-out accuracy``.
    """

    version: ClassVar[int] = 2

    width: PositiveInt | None = None
    lr: Rates = (1e-4, 1e-3, 1e-2)
    min_steps: NonNegativeInt = 2000

    encoder: Encoder
    head_weight: Tensor
    """(K, width of the code)."""
    head_bias: Tensor
    """(K,)."""

    def build(self, shape: ImageShape) -> None:
        """Make the encoder."""
        self._architecture = Architecture.of(shape, self.width)
        self.encoder = Encoder(self._architecture)

    def optimizers(self) -> Optimizer:
        """Return one Adam for encoder and head."""
        return adam(self._lr, self.encoder, self._head)

    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Choose the learning rate, add a head for the classes in `labels`, and learn."""
        start = {name: tensor.clone() for name, tensor in self.encoder.state_dict().items()}
        steps = max(run.budget.steps(len(images), self.batch_size), self.min_steps)
        self._lr = self._chosen_rate(images, labels, run, start, steps)
        if math.isfinite(steps):
            run.budget = self._budget(steps, images, run.budget.seconds)
        self._learn_labels(images, labels, run, start)
        # Plain tensors, as `build` does not know how many classes there are.
        self.head_weight, self.head_bias = self._head.weight.detach().clone(), self._head.bias.detach().clone()

    def loss(self, x: Tensor, y: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the cross-entropy and the accuracy."""
        logits = self._head(global_average(self.encoder.code(x)))
        return {"loss": functional.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder; the last is the code."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps

    def classify(self, x: Tensor) -> Tensor:
        """Return the logits of the head (N, K)."""
        return functional.linear(global_average(self.encoder.code(x)), self.head_weight, self.head_bias)

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return which learning rate was chosen of which."""
        tried = {row["lr"]: row[ACCURACY] for row in history if ACCURACY in row}
        if not tried:
            return []
        return [f"learning rate {_best(tried):g} chosen inside the fold of {', '.join(f'{rate:g}' for rate in tried)}"]

    def _chosen_rate(
        self, images: Images, labels: Labels, run: Run, start: Mapping[str, Tensor], steps: float
    ) -> float:
        """Try the learning rates on a part of the images; return the best of them."""
        held = held_out(labels, run.numpy_generator("held-out images"))
        if len(self.lr) == 1 or not held.any():
            return sorted(self.lr)[len(self.lr) // 2]
        rest, apart = np.flatnonzero(~held), np.flatnonzero(held)
        tried = {}
        for rate in self.lr:
            self._lr = rate
            trial = self._trial(run, images.take(rest), steps)
            self._learn_labels(images.take(rest), labels[rest], trial, start)
            tried[rate] = self._accuracy(images.take(apart), labels[apart], run)
            run.images_seen += trial.images_seen
            run.work.add(trial.work)
            run.log(0, **{"lr": rate, ACCURACY: tried[rate]})
        return _best(tried)

    def _trial(self, run: Run, images: Images, steps: float) -> Run:
        """Return the run of a trial, without checkpoints; all together take at most half of the budget's seconds."""
        seconds = run.budget.seconds and run.budget.seconds / 2 / len(self.lr)
        share = max(1, (steps if math.isfinite(steps) else self.min_steps) // TRIAL_SHARE)
        return Run(
            run.seed,
            self._budget(share, images, seconds),
            str(run.device),
            progress=lambda *latest: run.progress(0.0),
            precision=run.precision,
        )

    def _budget(self, steps: float, images: Images, seconds: float | None) -> Budget:
        return Budget(images=int(steps) * min(self.batch_size, len(images)), seconds=seconds)

    def _learn_labels(self, images: Images, labels: Labels, run: Run, start: Mapping[str, Tensor]) -> None:
        """Learn from the initial weights `start` of the encoder, with a new head."""
        self.encoder.load_state_dict(start)
        self._head = nn.Linear(self._architecture.code_channels, int(labels.max()) + 1, device=run.device)
        nn.init.normal_(self._head.weight, std=HEAD_DEVIATION, generator=run.generator("head"))
        nn.init.zeros_(self._head.bias)
        super().fit_labeled(images, labels, run)

    def _accuracy(self, images: Images, labels: Labels, run: Run) -> float:
        """Return the share of the images that encoder and head, in evaluation mode after a fit, classify right."""
        right = 0
        with torch.no_grad():
            for start in range(0, len(images), self.encode_batch_size):
                rows = slice(start, start + self.encode_batch_size)
                logits = self._head(global_average(self.encoder.code(images.batch(rows, run.device))))
                right += int((logits.argmax(1).cpu().numpy() == labels[rows]).sum())
        return right / len(images)


def held_out(labels: Labels, generator: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which images are held out: every fifth of each class in random order; none of a class of fewer."""
    order: Indices = generator.permutation(len(labels))
    held = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        held[order[labels[order] == label][HELD_OUT - 1 :: HELD_OUT]] = True
    return held


def _best(tried: Mapping[float, float]) -> float:
    """Return the rate with the highest accuracy; the lowest of several."""
    return min(tried, key=lambda rate: (-tried[rate], rate))
