"""The protocol of Table 1: a linear SVM trained on the features of each fold, tested on the whole test split.

Other protocols that train the same SVM are `SVMProtocol`s too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, PositiveFloat

from reprbench.capabilities import Classifies
from reprbench.probes.heads import accuracy_of_head
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold, FoldProtocol
from reprbench.run_context import derive_seed

if TYPE_CHECKING:
    from reprbench.images import Labels
    from reprbench.probes.linear_svm import CostChoice, FoldClassifier


T = TypeVar("T")

INNER_ACCURACY = "inner accuracy"
COSTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


class CostProtocol(FoldProtocol):
    """A protocol whose linear classifier has a C, which is chosen by cross-validation inside the fold.

    Parameters
    ----------
    costs : the grid of C.
    inner_folds : of the cross-validation that chooses C in a fold.
    scale : "feature" standardizes each feature by its own spread; "common" divides all by one number, for features
        whose spreads are what was learned, such as many principal components.
    supervised_cost : C for a supervised learner. Its features have seen the labels of every inner fold, which all C
        then get right, so that nothing in the fold can choose one. 1 is the default of LIBLINEAR and of scikit-learn.
    """

    costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = COSTS
    inner_folds: Annotated[int, Field(ge=2)] = 5
    scale: Literal["feature", "common"] = "feature"
    supervised_cost: PositiveFloat = 1.0

    @staticmethod
    def inner_generator(seed: int, fold: int) -> np.random.Generator:
        """Return the generator of the inner folds, the same in all these protocols: equal data give an equal C."""
        return np.random.default_rng(derive_seed(seed, f"linear-svm/inner folds/{fold}"))

    def grid_of_costs(self, subject: Subject) -> tuple[float, ...]:
        """Return the values of C to choose from; only one for a supervised learner."""
        return (self.supervised_cost,) if subject.supervised else self.costs

    def trained(self, train: Callable[..., T], fold: Fold, subject: Subject, seed: int) -> T:
        """Return the classifier that `train`, with the arguments of `train_fold`, makes of a fold."""
        return train(
            fold.train,
            fold.labels,
            len(subject.dataset.classes),
            self.grid_of_costs(subject),
            self.inner_generator(seed, fold.number),
            inner_folds=self.inner_folds,
            device=subject.device,
            scale=self.scale,
        )

    def chosen(self, choice: CostChoice, fold: int) -> list[Measurement]:
        """Return C and, if there were several, its accuracy (%) in the cross-validation."""
        at: dict[str, Any] = {"fold": fold}
        inner = [
            Measurement(INNER_ACCURACY, 100 * accuracy, "%", "higher", at)
            for cost, accuracy in dict(zip(self.costs, choice.accuracies, strict=False)).items()
            if cost == choice.cost
        ]
        return [Measurement("C", choice.cost, at=at), *inner]

    def cost_warnings(self, subject: Subject, choices: Sequence[CostChoice]) -> list[str]:
        """Return what the row has to say about how C was chosen."""
        if subject.supervised:
            return [f"C = {self.supervised_cost:g}, not chosen: the features have seen the labels of all inner folds"]
        edges = sum(choice.at_edge is not None for choice in choices)
        return [f"C at the edge of its grid in {edges} of {len(choices)} folds"] if edges else []


class SVMProtocol(CostProtocol):
    """A protocol whose classifier is the linear SVM of Table 1."""

    def train(self, fold: Fold, subject: Subject, seed: int) -> FoldClassifier:
        """Return the classifier of a fold, with C chosen by cross-validation inside the fold."""
        from reprbench.probes.linear_svm import train_fold

        return self.trained(train_fold, fold, subject, seed)

    def measurements(self, classifier: FoldClassifier, fold: Fold, test_labels: Labels) -> list[Measurement]:
        """Return the accuracy (%) of a fold's classifier, its C, and the inner accuracy (%) that chose C if one did."""
        accuracy = 100 * classifier.accuracy(fold.test, test_labels)
        found = Measurement("accuracy", accuracy, "%", "higher", {"fold": fold.number})
        return [found, *self.chosen(classifier.choice, fold.number)]


class LinearSVM(SVMProtocol):
    """10-fold linear SVM (METHODS: one-vs-rest, squared hinge, L2): mean test accuracy over the dataset's folds.

    Features are standardized on the fold. C is chosen inside the fold by stratified cross-validation, never on the
    test split; a single cost is used without. Of a supervised learner that classifies images itself, the accuracy of
    its own head on the test split is measured beside the SVM's.
    """

    name = "linear-svm"
    version = 2
    headlines = ("accuracy",)

    @property
    def selects(self) -> tuple[str, ...]:
        """Accuracy in the cross-validation that chooses C; there is none if there is only one."""
        return (INNER_ACCURACY,) if len(self.costs) > 1 else ()

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%), the chosen C and its cross-validated accuracy (%) for every fold."""
        outcome, choices = Outcome(), []
        for fold in self.each_fold(subject):
            classifier = self.train(fold, subject, seed)
            outcome.measurements += self.measurements(classifier, fold, subject.dataset.test_labels)
            outcome.measurements += head_measurements(subject, fold)
            choices.append(classifier.choice)
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        outcome.warnings += self.cost_warnings(subject, choices)
        return outcome


def head_measurements(subject: Subject, fold: Fold) -> list[Measurement]:
    """Return the accuracy (%) of a supervised learner that classifies images itself; nothing of another one."""
    learner = subject.learner(fold.trained) if subject.supervised else None
    if not isinstance(learner, Classifies):
        return []
    accuracy = accuracy_of_head(learner, subject.dataset.test, subject.dataset.test_labels, subject.device)
    return [Measurement("head accuracy", 100 * accuracy, "%", "higher", {"fold": fold.number})]
