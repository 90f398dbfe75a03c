"""Nearest neighbours: what the geometry of the features alone is worth, with nothing trained."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from reprbench.errors import UserError
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import FoldProtocol


class KNN(FoldProtocol):
    """k nearest neighbours, exact: the test accuracy of a vote among the k nearest examples of each fold.

    Features are taken as they are; neither scaling all of them nor permuting them changes a neighbour. Of classes with
    equally many votes the one with the nearest example wins. Nothing is chosen, on any split.
    """

    name = "knn"
    version = 1
    headline = "accuracy"

    k: PositiveInt = 1
    metric: Literal["euclidean", "cosine"] = "euclidean"

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%) of every fold."""
        from reprbench.protocols.neighbours import nearest, vote

        outcome = Outcome()
        for fold in self.each_fold(subject):
            if self.k > len(fold.train):
                raise UserError(f"{self.k} neighbours need as many labeled images, not {len(fold.train)}; set k lower")
            neighbours = nearest(fold.train, fold.test, self.k, self.metric)
            right = vote(fold.labels[neighbours]) == subject.dataset.test_labels
            outcome.measurements.append(
                Measurement("accuracy", 100 * float(right.mean()), "%", "higher", {"fold": fold.number})
            )
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        return outcome
