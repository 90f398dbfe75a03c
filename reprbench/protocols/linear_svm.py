"""The protocol of Table 1: a linear SVM trained on the features of each fold, tested on the whole test split.

Other protocols that train the same SVM are `SVMProtocol`s too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold, FoldProtocol
from reprbench.run import derive_seed

if TYPE_CHECKING:
    from reprbench.probes.linear_svm import CostChoice, FoldClassifier


class SVMProtocol(FoldProtocol):
    """A protocol whose classifier is the linear SVM of Table 1, with its grid of C and its inner folds."""

    costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    inner_folds: Annotated[int, Field(ge=2)] = 5

    @staticmethod
    def inner_generator(seed: int, fold: int) -> np.random.Generator:
        """Return the generator of the inner folds, the same in all these protocols: equal data give an equal C."""
        return np.random.default_rng(derive_seed(seed, f"linear-svm/inner folds/{fold}"))

    def train(self, fold: Fold, subject: Subject, seed: int) -> FoldClassifier:
        """Return the classifier of a fold, with C chosen by cross-validation inside the fold."""
        from reprbench.probes.linear_svm import train_fold

        n_classes, generator = len(subject.dataset.classes), self.inner_generator(seed, fold.number)
        return train_fold(
            fold.train,
            fold.labels,
            n_classes,
            self.costs,
            generator,
            inner_folds=self.inner_folds,
            device=subject.device,
        )


class LinearSVM(SVMProtocol):
    """10-fold linear SVM (METHODS: one-vs-rest, squared hinge, L2): mean test accuracy over the dataset's folds.

    Features are standardized on the fold. C is chosen inside the fold by stratified cross-validation, never on the
    test split; a single cost is used without.
    """

    name = "linear-svm"
    version = 1
    headlines = ("accuracy",)

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%), the chosen C and its cross-validated accuracy (%) for every fold."""
        outcome, choices = Outcome(), []
        for fold in self.each_fold(subject):
            classifier = self.train(fold, subject, seed)
            accuracy = 100 * classifier.accuracy(fold.test, subject.dataset.test_labels)
            at, choice = {"fold": fold.number}, classifier.choice
            outcome.measurements += [
                Measurement("accuracy", accuracy, "%", "higher", at),
                Measurement("C", choice.cost, at=at),
            ]
            if choice.accuracies:
                inner = 100 * max(choice.accuracies)
                outcome.measurements.append(Measurement("inner accuracy", inner, "%", "higher", at))
            choices.append(choice)
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        outcome.warnings += edge_warnings(choices)
        return outcome


def edge_warnings(choices: Sequence[CostChoice]) -> list[str]:
    """Return a warning if the costs that were chosen in some folds lie at the edge of their grid."""
    edges = sum(choice.at_edge is not None for choice in choices)
    return [f"C at the edge of its grid in {edges} of {len(choices)} folds"] if edges else []
