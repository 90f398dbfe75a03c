"""Fits and features shared by the protocols of one trial, in whatever order they run, together or later."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from common import digits
from jobs import evaluator, protocol_job
from made_protocols import make_protocols

from reprbench.errors import UserError
from reprbench.features import View
from reprbench.learner import Learner, SupervisedLearner
from reprbench.protocols.base import Measurement, Outcome, Protocol
from reprbench.spec import parse_call

READERS = [
    "linear-svm[costs=[0.1]]",
    "logistic[costs=[0.1]]",
    "knn",
    "retrieval",
    "clustering[runs=1]",
    "few-labels[labels=[1,3],costs=[0.1]]",
    "code-stats",
    "embedding[tsne=false]",
    "knn[layers=all,pooling=mean,grid=1]",
]
"""Protocols that look at clean images through features alone; together in two views."""


class Counting(Learner):
    """Counts how often it is fitted, and every image that it encodes in a batch.

    Batches of one are not counted: code-stats uses one image to find the widths of the layers.
    """

    fits: ClassVar[list] = []
    encoded: ClassVar[Counter] = Counter()

    def fit(self, images, run):
        self.fits.append(len(images))

    def encode(self, x):
        return count_and_encode(self, x)


class CountingLabels(SupervisedLearner):
    fits: ClassVar[list] = []
    encoded: ClassVar[Counter] = Counter()

    def fit_labeled(self, images, labels, run):
        self.fits.append(len(images))

    def encode(self, x):
        return count_and_encode(self, x)


class Reconstructing(Counting):
    method_name = "reconstructing"

    def reconstruct(self, x, layer=None):
        return x


class Infinite(Counting):
    """One of its layers is not finite."""

    def encode(self, x):
        maps = count_and_encode(self, x)
        return {"infinite": maps["pixels"] / 0, **maps}


class Asking(Protocol):
    """Asks for nothing, which must be all that comes of what is wrong with it."""

    name = "asking"
    headlines = ("nothing",)

    def evaluate(self, subject, seed):
        return Outcome([Measurement("nothing", 0.0)])


class Refusing(Asking):
    def reads(self, dataset, supervised):
        raise UserError("there are too few images")


class Leaving(Asking):
    def reads(self, dataset, supervised):
        sys.exit("gone")


class Confused(Asking):
    def reads(self, dataset, supervised):
        return [View()]


def count_and_encode(learner, x: torch.Tensor) -> dict[str, torch.Tensor]:
    if len(x) > 1:
        learner.encoded.update(image.numpy().tobytes() for image in x)
    return {"quarter": torch.nn.functional.avg_pool2d(x, 2), "pixels": x.contiguous()}


@pytest.fixture(autouse=True)
def start_counting():
    forget_counts()


def forget_counts() -> None:
    for cls in (Counting, CountingLabels):
        cls.fits.clear()
        cls.encoded.clear()


@pytest.fixture(scope="module")
def dataset():
    return digits(150)


@dataclasses.dataclass
class First:
    """The evaluations of the first trial, the folder of its cache, and what was counted."""

    found: list
    cache: Path
    fits: list
    encoded: Counter


@pytest.fixture(scope="module")
def first(dataset, tmp_path_factory):
    forget_counts()  # of an earlier test of this file: `start_counting` comes after this
    cache = tmp_path_factory.mktemp("first")
    found = run(Counting, dataset, cache, *READERS)
    return First(found, cache, list(Counting.fits), Counter(Counting.encoded))


def run(cls: type[Learner], dataset, cache: Path, *calls: str):
    """Evaluate a trial's protocols one after the other, as its process does; what fails is raised."""
    protocols = make_protocols([parse_call(call) for call in calls])
    made, _ = evaluator(cls, dataset, cache, protocols)
    return [made.evaluate(protocol_job(protocol), protocol) for protocol in protocols]


def attempted(cls: type[Learner], dataset, cache: Path, protocols: Sequence[Protocol]):
    """Evaluate a trial's protocols one after the other, as its process does."""
    made, _ = evaluator(cls, dataset, cache, protocols)
    return [made.attempt(protocol_job(protocol), protocol) for protocol in protocols]


def pictures(images, rows=None, times: int = 1) -> Counter:
    rows = np.arange(len(images)) if rows is None else rows
    return Counter({image.numpy().tobytes(): times for image in images.batch(rows)})


def once(dataset) -> Counter:
    """Every image of a fold and of the test split, once."""
    return pictures(dataset.train, np.unique(np.concatenate(dataset.folds))) + pictures(dataset.test)


def test_all_views_of_an_image_come_from_encoding_it_once(dataset, first):
    assert all(evaluation.measurements and evaluation.status == "done" for evaluation in first.found)
    assert first.encoded == once(dataset)
    assert len(first.fits) == 1


def test_it_does_not_matter_which_protocol_comes_first(dataset, first, tmp_path):
    backwards = run(Counting, dataset, tmp_path, *READERS[::-1])
    assert Counting.encoded == once(dataset)
    assert [one.measurements for one in backwards[::-1]] == [one.measurements for one in first.found]


def test_a_second_evaluation_encodes_and_fits_nothing(dataset, first):
    second = run(Counting, dataset, first.cache, *READERS)
    assert not Counting.encoded and not Counting.fits
    assert [one.measurements for one in second] == [one.measurements for one in first.found]


def test_a_protocol_that_is_added_later_encodes_for_its_new_view_alone_and_fits_nothing(dataset, tmp_path):
    run(Counting, dataset, tmp_path, READERS[0])
    Counting.encoded.clear()
    run(Counting, dataset, tmp_path, READERS[0], "embedding[tsne=false]", "knn")
    assert not Counting.encoded, "their view was there"
    run(Counting, dataset, tmp_path, READERS[0], "code-stats")
    assert Counting.encoded == pictures(dataset.test), "code-stats reads all layers of the test images"
    run(Counting, dataset, tmp_path, READERS[0], "code-stats", "knn[layers=all,pooling=mean,grid=1]")
    assert Counting.encoded == once(dataset), "the test images were there in that view"
    assert len(Counting.fits) == 1


@pytest.mark.slow
def test_protocols_find_the_same_together_and_alone(dataset, first, tmp_path):
    for call, evaluation in zip(READERS, first.found, strict=True):
        (alone,) = run(Counting, dataset, tmp_path / evaluation.hash, call)
        assert alone.measurements == evaluation.measurements


@pytest.mark.slow
def test_a_supervised_learner_is_fitted_and_encodes_once_per_fold_for_all_protocols(dataset, tmp_path):
    run(CountingLabels, dataset, tmp_path, *READERS)
    assert CountingLabels.fits == [len(fold) for fold in dataset.folds]
    expected = pictures(dataset.test, times=len(dataset.folds))
    for fold in dataset.folds:
        expected += pictures(dataset.train, fold)
    assert CountingLabels.encoded == expected


def test_figures_are_in_the_folder_under_the_names_in_the_evaluation(first):
    names = [figure.file for evaluation in first.found for figure in evaluation.figures]
    assert len(set(names)) == len(names)
    folder = first.cache / "work"
    assert sorted(names) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    for evaluation in first.found:
        for figure in evaluation.figures:
            name = f"{evaluation.call.name}-{evaluation.hash[:8]}-{figure.name}.png"
            assert figure.file == f"figures/{name}"
            assert (folder / figure.file).read_bytes().startswith(b"\x89PNG")
    assert {"few-labels", "code-stats", "embedding"} <= {one.call.name for one in first.found if one.figures}


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Counting, "convergence needs a learner that reconstructs"),
        (Reconstructing, "convergence: the fit of reconstructing keeps no reconstructions as it learns"),
    ],
)
def test_a_protocol_that_finds_nothing_leaves_a_row_with_its_reason_and_the_others_go_on(
    dataset, tmp_path, cls, reason
):
    missing, neighbors = run(cls, dataset, tmp_path, "convergence", "knn")
    assert (missing.status, missing.reason) == ("skipped", reason)
    assert missing.measurements == [] and missing.figures == []
    assert neighbors.status == "done" and neighbors.measurements
    assert len(Counting.fits) == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Refusing(), "there are too few images"),
        (Leaving(), "gone"),
        (Confused(), "Confused.reads must return Features, not View"),
    ],
)
def test_what_is_wrong_with_what_a_protocol_reads_fails_that_protocol_alone(dataset, tmp_path, wrong, reason):
    before, failed, after = attempted(Counting, dataset, tmp_path, [Asking(), wrong, *made("knn")])
    assert (failed.status, failed.measurements) == ("failed", [])
    assert reason in failed.reason
    assert (before.status, after.status) == ("done", "done")


def test_too_few_images_for_one_protocol_are_enough_for_another(dataset, tmp_path):
    few = dataclasses.replace(dataset, test=dataset.test.take(np.arange(3)), test_labels=dataset.test_labels[:3])
    skipped, neighbors = attempted(Counting, few, tmp_path, made("similarity", "knn"))
    assert (skipped.status, skipped.reason) == ("skipped", "similarity needs 4 test images, and there are 3")
    assert neighbors.status == "done"


def test_a_layer_that_is_not_there_fails_that_protocol_alone(dataset, tmp_path):
    calls = ["knn", "knn[layers=[layer99]]", "knn[k=3]"]
    one, failed, other = attempted(Counting, dataset, tmp_path, made(*calls))
    assert failed.status == "failed" and failed.reason.startswith("no layer 'layer99'")
    assert (one.status, other.status) == ("done", "done")
    assert Counting.fits == [len(dataset.unlabeled)], "nothing is fitted again"


def test_a_layer_that_is_not_finite_fails_those_that_read_it_alone(dataset, tmp_path):
    calls = ["knn", "knn[layers=all]", "knn[layers=[quarter]]"]
    one, diverged, other = attempted(Infinite, dataset, tmp_path, made(*calls))
    assert diverged.status == "diverged" and "layer 'infinite'" in diverged.reason
    assert (one.status, other.status) == ("done", "done")


def made(*calls: str) -> list[Protocol]:
    return make_protocols([parse_call(call) for call in calls])
