"""What protocols share that classify the test split from the labeled features of each fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from reprbench.features import Matrix, Pooling, View
from reprbench.protocols.base import Protocol, Subject


@dataclass(frozen=True)
class Fold:
    """The features and labels that one fold's classifier learns from, and the test features it is asked about.

    Attributes
    ----------
    number : of the fold, from 0.
    train : float32 array of shape (n, d).
    labels : int64 array of shape (n,).
    test : float32 array of shape (m, d), of the whole test split; it may be mapped from a file.
    """

    number: int
    train: Matrix
    labels: NDArray[np.int64]
    test: Matrix


class FoldProtocol(Protocol):
    """A protocol with a classifier for each fold of the training split, and for which view of the feature maps.

    With ``folds=none`` the whole training split is the only fold (the standard numbers of CIFAR-10, MNIST).
    """

    layers: Literal["last", "all"] | tuple[str, ...] = "last"
    pooling: Pooling = "max"
    grid: PositiveInt = 2
    folds: Literal["dataset", "none"] = "dataset"

    def each_fold(self, subject: Subject) -> Iterator[Fold]:
        """Yield every fold, with features from a learner that saw no labels but the fold's."""
        data, view = subject.dataset, View(layers=self.layers, pooling=self.pooling, grid=self.grid)
        everything = np.arange(len(data.train), dtype=np.int64)
        folds = list(data.folds) if self.folds == "dataset" else [everything]
        test_rows = np.arange(len(data.test), dtype=np.int64)
        # One extraction serves all folds of an unsupervised learner.
        used = np.unique(np.concatenate(folds))
        for number, rows in enumerate(folds):
            subject.progress(self.name, number / len(folds))
            learned_from = rows if subject.supervised else None
            train = subject.features(learned_from, "train", rows if subject.supervised else used, view)
            test = subject.features(learned_from, "test", test_rows, view)
            # A fold of everything, in its order, needs no copy of it.
            as_it_is = subject.supervised or np.array_equal(used, rows)
            part = train if as_it_is else train[np.searchsorted(used, rows)]
            yield Fold(number, part, data.train_labels[rows], test)
