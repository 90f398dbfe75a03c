"""Few labels: the accuracy of a linear SVM trained on one, five, ten … labeled images per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, PositiveInt

from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold, over_folds
from reprbench.protocols.linear_svm import SVMProtocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.images import Indices, Labels

HEADLINE = 10
"""Labels per class of the accuracy shown in tables, if it is measured."""


class FewLabels(SVMProtocol):
    """The SVM of `linear-svm`, trained on a few labeled images per class of each fold, tested on the whole test split.

    The images for a number of labels are included in those for every larger number; they depend on the dataset and the
    fold alone, so that all methods and seeds use the same ones. C is chosen on them by cross-validation with
    min(`inner_folds`, labels) inner folds; the smallest in case of ties. With one label per class there is nothing to
    cross-validate: all costs are tied, and the smallest of the grid, the most regularized, is used.

    Parameters
    ----------
    labels : how many labeled images of each class.
    """

    name = "few-labels"
    version = 2
    headlines = ("accuracy",)

    labels: Annotated[
        tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(lambda labels: tuple(sorted(set(labels))))
    ] = (1, 5, 10, 25, 50, 100)

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%) of every fold for every number of labels that all classes of the fold have."""
        outcome = Outcome()
        lacking = dict.fromkeys(self.labels, 0)
        for fold in self.each_fold(subject):
            ranks = ranks_in_class(fold.labels, subject.generator(f"few labels of fold {fold.number}"))
            fewest = int(np.bincount(fold.labels, minlength=len(subject.dataset.classes)).min())
            for count in self.labels:
                if count > fewest:
                    lacking[count] += 1
                else:
                    outcome.measurements += self._measure(subject, fold, np.flatnonzero(ranks < count), count, seed)
        outcome.warnings += self.cost_warnings(subject, []) if subject.supervised else []
        self._explain(outcome, lacking, fold.number + 1, subject.supervised)
        return outcome

    def _measure(self, subject: Subject, fold: Fold, rows: Indices, count: int, seed: int) -> list[Measurement]:
        """Train on `rows` of a fold, `count` of each class, and test."""
        from reprbench.probes.linear_svm import train_fold

        costs = self.grid_of_costs(subject)
        classifier = train_fold(
            fold.train[rows],
            fold.labels[rows],
            len(subject.dataset.classes),
            costs if count > 1 else [min(costs)],
            self.inner_generator(seed, fold.number),
            inner_folds=min(self.inner_folds, count),
            device=subject.device,
            scale=self.scale,
        )
        accuracy = 100 * classifier.accuracy(fold.test, subject.dataset.test_labels)
        at = {"fold": fold.number, "labels": count}
        return [
            Measurement("accuracy", accuracy, "%", "higher", at),
            Measurement("C", classifier.choice.cost, at=at),
        ]

    def _explain(self, outcome: Outcome, lacking: dict[int, int], n_folds: int, supervised: bool) -> None:
        """Add warnings, and the headline, curve and figure of what was measured."""
        outcome.warnings += [
            f"{count} labels per class left out in {folds} of {n_folds} folds: a class has fewer images there"
            for count, folds in lacking.items()
            if folds
        ]
        if supervised:
            outcome.warnings.append("the learner itself saw all labels of each fold, not only the few")
        measured = [count for count, folds in lacking.items() if folds < n_folds]
        if not measured:
            outcome.missing = f"few-labels needs {self.labels[0]} images of every class in a fold"
            return
        nearest = min(measured, key=lambda count: abs(count - HEADLINE))
        outcome.headlines = [Headline("accuracy", {"labels": nearest})]
        outcome.curves = [
            Curve("accuracy", "labels", title="Accuracy (%), few labels", x_label="labeled images per class", log=True)
        ]
        outcome.figures = {"curve": _curve(outcome.measurements)}


def ranks_in_class(labels: Labels, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the rank, from 0, of each image in a random order of its class; shape (n,), as `labels`."""
    order = generator.permutation(len(labels))
    ranks = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        places = order[labels[order] == label]
        ranks[places] = np.arange(len(places))
    return ranks


def _curve(measurements: Sequence[Measurement]) -> Figure:
    """Draw the mean accuracy over the folds, and its standard deviation, against the number of labels."""
    from matplotlib.ticker import FixedLocator, NullLocator

    from reprbench.plotting import line, new_axes, new_figure

    figure = new_figure(3.5, 2.6)
    panel = new_axes(figure)[0, 0]
    counts, means, spread = over_folds(measurements, "accuracy", "labels", {})
    line(panel, counts, means, "mean ± standard deviation over folds", spread=spread)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(counts))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.set_xlabel("labeled images per class")
    panel.set_ylabel("Accuracy (%)")
    panel.legend(loc="lower right", fontsize=8, frameon=False)
    return figure
