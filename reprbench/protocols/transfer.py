"""Transfer: the linear SVM of Table 1 on other datasets than the one that the learner was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from reprbench.dataset_parameter import DatasetCall
from reprbench.protocols.base import Features, Headline, Measurement, Outcome, Subject
from reprbench.protocols.linear_svm import SVMProtocol
from reprbench.spec import Call

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.data.dataset import Dataset

SHOWN_IMAGES = 8


def _as_several(value: Any) -> Any:
    """Return a single dataset, as in ``to=mnist``, as a list."""
    return [value] if isinstance(value, str | dict | Call) else value


def _distinct(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    return tuple(dict.fromkeys(calls))


class Transfer(SVMProtocol):
    """Linear SVM on the features of other datasets, by a learner that was fitted to this one and is not fitted again.

    For each dataset: the accuracy (%) of `linear-svm` with that dataset's own folds and test split, at {"dataset",
    "digest"}: its name, and that of its content as the learner sees it. What a run limits, as by ``--limit``, is
    limited there too. Images are adapted to the shape of those that the learner was fitted to, in channels and size,
    as `reprbench.data.adapted` says.

    A supervised learner is the one that was fitted to the first fold of its own dataset. It has seen no label of the
    others, so that C is chosen there as for any learner.

    Parameters
    ----------
    to : a dataset, or a list of them: ``mnist``, ``[mnist,fashion-mnist]``, ``"folder[path=birds]"``.
    """

    name = "transfer"
    version = 1
    headlines = ("accuracy",)

    to: Annotated[tuple[DatasetCall, ...], BeforeValidator(_as_several), Field(min_length=1), AfterValidator(_distinct)]

    @property
    def other_datasets(self) -> tuple[Call, ...]:
        """The datasets to transfer to."""
        return self.to

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return nothing: the features of the learner's own dataset are not used."""
        return []

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%), the chosen C and its cross-validated accuracy (%) for every dataset and fold."""
        outcome = Outcome()
        shown: dict[str, Dataset] = {}
        for call in self.to:
            there = subject.on(call)
            shown[str(call)] = there.dataset
            # Rows that saw other content under the same name are then told apart.
            at = {"dataset": str(call), "digest": there.dataset.digest[:12]}
            self._measure(outcome, there, seed, at)
            outcome.headlines.append(Headline("accuracy", at))
            outcome.warnings += [f"{call}: {note}" for note in there.dataset.notes]
            if there.dataset.digest == subject.dataset.digest:
                outcome.warnings.append(f"{call} is the dataset that the learner was fitted to: this is no transfer")
        if subject.supervised:
            outcome.warnings.append(f"fitted to the labels of the first fold of {subject.dataset.title} alone")
        outcome.figures = {"images": images_figure(shown)}
        return outcome

    def _measure(self, outcome: Outcome, there: Subject, seed: int, at: Mapping[str, Any]) -> None:
        """Add the measurements of one dataset, and what is to be said about C there."""
        choices, width = [], 0
        for fold in self.each_fold(there):
            classifier = self.train(fold, there, seed)
            found = self.measurements(classifier, fold, there.dataset.test_labels)
            outcome.measurements += [Measurement(m.metric, m.value, m.unit, m.better, {**m.at, **at}) for m in found]
            choices.append(classifier.choice)
            width = fold.train.shape[1]
        outcome.measurements.append(Measurement("feature dimension", width, at=dict(at)))
        outcome.warnings += [f"{at['dataset']}: {warning}" for warning in self.cost_warnings(there, choices)]


def images_figure(datasets: Mapping[str, Dataset]) -> Figure:
    """Draw the first test images of every dataset as the learner sees them, a row each."""
    from reprbench.plotting import image_grid

    count = min(SHOWN_IMAGES, *(len(dataset.test) for dataset in datasets.values()))
    rows = [dataset.test.pixels(np.arange(count, dtype=np.int64)) / np.float32(255) for dataset in datasets.values()]
    return image_grid(rows, list(datasets), title="Test images as the learner sees them")
