"""The protocol of Table 1: a linear SVM trained on the features of each fold, its accuracy on the whole test split.

Other protocols that train the same SVM are `SVMProtocol`s too.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat

from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import FoldProtocol
from reprbench.run import derive_seed


class SVMProtocol(FoldProtocol):
    """A protocol whose classifier is the linear SVM of Table 1: its grid of C, and the draws of its inner folds."""

    costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    inner_folds: Annotated[int, Field(ge=2)] = 5

    @staticmethod
    def inner_generator(seed: int, fold: int) -> np.random.Generator:
        """Return what draws the inner folds: the same in all these protocols, so that equal data give an equal C."""
        return np.random.default_rng(derive_seed(seed, f"linear-svm/inner folds/{fold}"))


class LinearSVM(SVMProtocol):
    """10-fold linear SVM (METHODS: one-vs-rest, squared hinge, L2): mean test accuracy over the dataset's folds.

    Features are standardized on the fold. C is chosen inside the fold by stratified cross-validation, never on the
    test split; a single cost is taken as it is.
    """

    name = "linear-svm"
    version = 1
    headlines = ("accuracy",)

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%), the chosen C and its cross-validated accuracy (%) of every fold."""
        from reprbench.probes.linear_svm import evaluate_fold

        outcome = Outcome()
        edges: list[int] = []
        for fold in self.each_fold(subject):
            result = evaluate_fold(
                fold.train,
                fold.labels,
                fold.test,
                subject.dataset.test_labels,
                len(subject.dataset.classes),
                self.costs,
                self.inner_generator(seed, fold.number),
                inner_folds=self.inner_folds,
            )
            at = {"fold": fold.number}
            outcome.measurements += [
                Measurement("accuracy", 100 * result.accuracy, "%", "higher", at),
                Measurement("C", result.cost, at=at),
            ]
            if result.inner_accuracies:
                inner = 100 * max(result.inner_accuracies)
                outcome.measurements.append(Measurement("inner accuracy", inner, "%", "higher", at))
            if result.at_edge:
                edges.append(fold.number)
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        if edges:
            outcome.warnings.append(f"C at the edge of its grid in {len(edges)} of {fold.number + 1} folds")
        return outcome
