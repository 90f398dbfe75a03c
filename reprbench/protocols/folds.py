"""The base of protocols that classify the test split with the labeled features of each fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reprbench.features import Matrix
from reprbench.protocols.base import Features, Measurement, Subject
from reprbench.protocols.codes import CodeProtocol

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.images import Indices, Labels


@dataclass(frozen=True)
class Fold:
    """The features and labels that one fold's classifier is trained on, and the test features it classifies.

    Attributes
    ----------
    number : int
        Of the fold, from 0.
    train : float32 array of shape (n, d)
    labels : Labels of shape (n,)
    test : float32 array of shape (m, d)
        Of the whole test split, in order; it may be mapped from a file.
    trained : Indices or None
        The rows whose labels the learner saw; None for an unsupervised one.
    """

    number: int
    train: Matrix
    labels: Labels
    test: Matrix
    trained: Indices | None


class FoldProtocol(CodeProtocol):
    """A protocol with one classifier per fold of the training split.

    Learner and classifier see the same labels: a supervised learner is fitted once per fold.

    Parameters
    ----------
    layers, pooling, grid : how maps are made into codes, as in `View`.
    folds : "dataset" or "none"
        The dataset's folds; or the whole training split as the only fold (the standard numbers of CIFAR-10, MNIST).

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from sklearn.neighbors import NearestCentroid
    >>> from reprbench import FoldProtocol, Measurement, Outcome, Subject
    >>> class Centroids(FoldProtocol):
    ...     headlines = ("accuracy",)
    ...
    ...     def evaluate(self, subject, seed):
    ...         outcome = Outcome()
    ...         for fold in self.each_fold(subject):
    ...             classifier = NearestCentroid().fit(fold.train, fold.labels)
    ...             accuracy = 100 * classifier.score(fold.test, subject.dataset.test_labels)
    ...             outcome.measurements.append(Measurement("accuracy", accuracy, "%", "higher", {"fold": fold.number}))
    ...         return outcome
    >>> numbers, labels = np.arange(8), np.arange(8) // 4
    >>> data = SimpleNamespace(train=numbers, train_labels=labels, test=numbers, test_labels=labels)
    >>> data.folds = (np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7]))
    >>> subject = Subject(data, False, None, features=lambda wanted: wanted.rows[:, None])
    >>> [found.value for found in Centroids().evaluate(subject, seed=0).measurements]
    [87.5, 87.5]
    """

    folds: Literal["dataset", "none"] = "dataset"

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the features of every fold."""
        return [features for pair in self._pairs(dataset, supervised) for features in pair]

    def each_fold(self, subject: Subject) -> Iterator[Fold]:
        """Yield every fold, with features from a learner that saw no labels but the fold's; report the progress."""
        folds, pairs = self._folds(subject.dataset), self._pairs(subject.dataset, subject.supervised)
        for number, rows in enumerate(folds):
            subject.progress(self.name, number / len(folds))
            wanted, asked = pairs[number if subject.supervised else 0]
            train, test = subject.features(wanted), subject.features(asked)
            # A fold of all rows, in order, needs no copy.
            part = train if np.array_equal(wanted.rows, rows) else train[np.searchsorted(wanted.rows, rows)]
            yield Fold(number, part, subject.dataset.train_labels[rows], test, wanted.trained)

    def _folds(self, dataset: Dataset) -> list[Indices]:
        return list(dataset.folds) if self.folds == "dataset" else [np.arange(len(dataset.train), dtype=np.int64)]

    def _pairs(self, dataset: Dataset, supervised: bool) -> list[tuple[Features, Features]]:
        """Return the features of train and test: per fold, or once for all folds of an unsupervised learner."""
        folds, test_rows = self._folds(dataset), np.arange(len(dataset.test), dtype=np.int64)
        parts = [(rows, rows) for rows in folds] if supervised else [(None, np.unique(np.concatenate(folds)))]
        return [
            (Features(trained, "train", rows, self.view), Features(trained, "test", test_rows, self.view))
            for trained, rows in parts
        ]


def over_folds(
    measurements: Sequence[Measurement], metric: str, x: str, at: Mapping[str, Any]
) -> tuple[list[float], list[float], list[float]]:
    """Return the values of the coordinate `x`, and mean and standard deviation of a metric over the folds at each.

    `at` holds the other coordinates that select the measurements.
    """
    values: dict[float, list[float]] = {}
    for one in measurements:
        if one.metric == metric and at.items() <= one.at.items():
            values.setdefault(one.at[x], []).append(one.value)
    return list(values), [float(np.mean(v)) for v in values.values()], [float(np.std(v)) for v in values.values()]
