"""Fine-tuning: the encoder with a linear head, trained on the labels of each fold, beside the frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from reprbench.data.folds import stratified_rows
from reprbench.features import Pooling
from reprbench.probes.heads import accuracy_of_head
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold
from reprbench.protocols.linear_svm import SVMProtocol
from reprbench.run_context import Run, derive_seed, seeded
from reprbench.spec import Budget

if TYPE_CHECKING:
    from reprbench.images import Images, Indices
    from reprbench.probes.fine_tuning import FineTuned
    from reprbench.probes.linear_svm import CostChoice

VALIDATED = 0.2
"""The share of a fold on which the learning rate is chosen, if there are several."""
LOOKED_AT = 2
"""How many images are encoded to see whether gradients reach the weights."""


class FineTune(SVMProtocol):
    """Test accuracy of the encoder with a linear head, all weights of both trained on the labels of each fold.

    A copy of the fitted learner is trained in every fold, so that nothing else of the trial depends on it. The head is
    a linear layer on the features of the last layer, averaged over all positions (`pooling`, `grid`), divided by their
    common scale and batch-normalized without parameters; it begins at 0. Cross-entropy, Adam, a rate that falls to 0
    along half a cosine, no augmentation. Batch normalizations are in training mode, and are measured anew at the end.
    Of several learning rates the one with the best accuracy on a held-out, stratified fifth of the fold is used, the
    smallest in case of ties, and the whole fold is trained on with it.

    "frozen accuracy" is that of the SVM of `linear-svm` on the same features before any of this.

    Parameters
    ----------
    epochs : passes over the images of a fold.
    learning_rates : at the beginning; more than one are chosen from.
    batch_size : images in a batch; all of a fold that has fewer.
    pooling, grid : of the features under the head and the SVM.
    """

    name = "fine-tune"
    version = 1
    headlines = ("accuracy", "frozen accuracy")

    pooling: Pooling = "mean"
    grid: PositiveInt = 1
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    learning_rates: Annotated[
        tuple[PositiveFloat, ...], Field(min_length=1), AfterValidator(lambda rates: tuple(sorted(set(rates))))
    ] = (1e-3,)
    batch_size: Annotated[int, Field(ge=2)] = 128

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return both accuracies (%) of every fold, the learning rate, and C of the SVM."""
        outcome, choices = Outcome(), []
        for fold in self.each_fold(subject):
            if reason := self._why_not(subject, fold):
                return Outcome(missing=reason)
            frozen = self.train(fold, subject, seed)
            choices.append(frozen.choice)
            outcome.measurements += self._tuned(fold, subject, seed)
            at = {"fold": fold.number}
            accuracy = 100 * frozen.accuracy(fold.test, subject.dataset.test_labels)
            outcome.measurements += [
                Measurement("frozen accuracy", accuracy, "%", "higher", at),
                Measurement("C", frozen.choice.cost, at=at),
            ]
        outcome.warnings += self._warnings(outcome.measurements, subject, choices)
        return outcome

    def _why_not(self, subject: Subject, fold: Fold) -> str:
        from reprbench.probes.fine_tuning import why_not

        learner = subject.learner(fold.trained)
        x = subject.dataset.test.batch(slice(0, LOOKED_AT), subject.device)
        reason = why_not(learner, self.view, x)
        name = type(learner).method_name or type(learner).__name__
        return f"{name} cannot be fine-tuned: {reason}" if reason else ""

    def _tuned(self, fold: Fold, subject: Subject, seed: int) -> list[Measurement]:
        """Train the encoder and head on a fold, with a rate chosen inside the fold, and test them."""
        at = {"fold": fold.number}
        rate, found = self.learning_rates[0], []
        if len(self.learning_rates) > 1:
            inner = self._inner_accuracies(fold, subject, seed)
            rate = self.learning_rates[int(np.argmax(inner))]  # the first, and smallest, of the best
            found.append(Measurement("inner accuracy", 100 * max(inner), "%", "higher", at))
        rows = np.arange(len(fold.labels), dtype=np.int64)
        tuned, training = self._trained(fold, rows, rate, subject, seed)
        dataset = subject.dataset
        accuracy = accuracy_of_head(tuned, dataset.test, dataset.test_labels, subject.device)
        return [
            Measurement("accuracy", 100 * accuracy, "%", "higher", at),
            Measurement("training accuracy", 100 * training, "%", at=at),
            Measurement("learning rate", rate, at=at),
            *found,
        ]

    def _inner_accuracies(self, fold: Fold, subject: Subject, seed: int) -> list[float]:
        """Return the accuracy of each learning rate on a held-out part of the fold."""
        count = max(len(subject.dataset.classes), round(VALIDATED * len(fold.labels)))
        generator = subject.generator(f"{self.name}/held out of fold {fold.number}", seed)
        held = stratified_rows(fold.labels, count, generator)
        rest = np.setdiff1d(np.arange(len(fold.labels), dtype=np.int64), held)
        accuracies = []
        for rate in self.learning_rates:
            tuned, _ = self._trained(fold, rest, rate, subject, seed)
            images = self._images(fold, subject).take(held)
            accuracies.append(accuracy_of_head(tuned, images, fold.labels[held], subject.device))
        return accuracies

    def _images(self, fold: Fold, subject: Subject) -> Images:
        return subject.dataset.train.take(self._folds(subject.dataset)[fold.number])

    def _trained(self, fold: Fold, rows: Indices, rate: float, subject: Subject, seed: int) -> tuple[FineTuned, float]:
        """Return a copy of the learner that was trained on `rows` of the fold, and its last training accuracy."""
        from reprbench.probes.fine_tuning import FineTuned

        own = derive_seed(seed, f"{self.name}/{fold.number}")
        what = f"{self.name}, fold {fold.number}"
        budget = Budget(epochs=self.epochs)
        run = Run(own, budget, subject.device, progress=lambda _, share, values: subject.progress(what, share))
        with seeded(own, "fit"):
            tuned = FineTuned(
                subject.learner(fold.trained),
                self.view,
                fold.train[rows],
                len(subject.dataset.classes),
                batch_size=self.batch_size,
                learning_rate=rate,
            )
            tuned.fit_labeled(self._images(fold, subject).take(rows), fold.labels[rows], run)
        return tuned, run.history[-1]["accuracy"]

    def _warnings(
        self, measurements: Sequence[Measurement], subject: Subject, choices: Sequence[CostChoice]
    ) -> list[str]:
        rates = [one.value for one in measurements if one.metric == "learning rate"]
        grid = self.learning_rates
        edges = sum(rate in (grid[0], grid[-1]) for rate in rates) if len(grid) > 1 else 0
        warnings = [f"learning rate at the edge of its grid in {edges} of {len(rates)} folds"] if edges else []
        return [*warnings, *(f"frozen accuracy: {one}" for one in self.cost_warnings(subject, choices))]
