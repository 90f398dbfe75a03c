"""The protocol of Table 1: a linear SVM trained on the features of each fold, its accuracy on the whole test split."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from reprbench.features import Pooling, View
from reprbench.images import Rows
from reprbench.protocols.base import Measurement, Outcome, Protocol, Subject
from reprbench.run import derive_seed


class LinearSVM(Protocol):
    """10-fold linear SVM (METHODS: one-vs-rest, squared hinge, L2): mean test accuracy over the dataset's folds.

    Features are standardised on the fold. C is chosen inside the fold by stratified cross-validation, never on the
    test split; a single cost is taken as it is. With ``folds=none`` the whole training split is the only fold (the
    standard numbers of CIFAR-10, MNIST).
    """

    name = "linear-svm"
    version = 1
    headline = "accuracy"

    layers: Literal["last", "all"] | tuple[str, ...] = "last"
    pooling: Pooling = "max"
    grid: PositiveInt = 2
    folds: Literal["dataset", "none"] = "dataset"
    costs: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    inner_folds: Annotated[int, Field(ge=2)] = 5

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%), the chosen C and its cross-validated accuracy (%) of every fold."""
        from reprbench.protocols.svm import evaluate_fold

        data = subject.dataset
        everything = np.arange(len(data.train), dtype=np.int64)
        folds = list(data.folds) if self.folds == "dataset" else [everything]
        outcome = Outcome()
        edges: list[int] = []
        for number, rows in enumerate(folds):
            subject.progress("linear-svm", number / len(folds))
            train, test = self._features(subject, rows, folds)
            result = evaluate_fold(
                train,
                data.train_labels[rows],
                test,
                data.test_labels,
                len(data.classes),
                self.costs,
                np.random.default_rng(derive_seed(seed, f"linear-svm/inner folds/{number}")),
                inner_folds=self.inner_folds,
            )
            outcome.measurements += [
                Measurement("accuracy", 100 * result.accuracy, "%", "higher", {"fold": number}),
                Measurement("C", result.cost, at={"fold": number}),
            ]
            if result.inner_accuracies:
                inner = 100 * max(result.inner_accuracies)
                outcome.measurements.append(Measurement("inner accuracy", inner, "%", "higher", {"fold": number}))
            if result.at_edge:
                edges.append(number)
        outcome.measurements.append(Measurement("feature dimension", train.shape[1]))
        if edges:
            outcome.warnings.append(f"C at the edge of its grid in {len(edges)} of {len(folds)} folds")
        return outcome

    def _features(self, subject: Subject, rows: Rows, folds: list[Rows]) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of the fold and of the test split, from a learner that saw no labels but the fold's."""
        view = View(layers=self.layers, pooling=self.pooling, grid=self.grid)
        test_rows = np.arange(len(subject.dataset.test), dtype=np.int64)
        if subject.supervised:
            return subject.features(rows, "train", rows, view), subject.features(rows, "test", test_rows, view)
        # One extraction serves all folds.
        used = np.unique(np.concatenate(folds))
        train = subject.features(None, "train", used, view)
        test = subject.features(None, "test", test_rows, view)
        # A fold of everything needs no copy of it.
        return train if len(rows) == len(used) else train[np.searchsorted(used, rows)], test
