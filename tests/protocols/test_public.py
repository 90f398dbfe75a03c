"""What is public of protocols: the examples of all names do what they show, and they are enough to write a protocol."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch

import reprbench
from reprbench import Features, Learner, Protocol, Subject, View
from reprbench.data.folds import named_generator
from reprbench.images import Images
from reprbench.protocols.base import Measurement
from reprbench.protocols.folds import over_folds


@pytest.mark.parametrize(
    "name",
    ["Curve", "Features", "FoldProtocol", "Headline", "Measurement", "Outcome", "Protocol", "Subject", "View"],
)
def test_the_example_of_a_public_name_does_what_it_shows(name):
    (example, *_) = doctest.DocTestFinder().find(getattr(reprbench, name), name, globs={"__name__": "__main__"})
    assert example.examples
    doctest.DebugRunner().run(example)


def test_what_a_protocol_is_written_with_imports_nothing_heavy():
    code = """
import sys
from reprbench import (
    Curve, Features, FoldProtocol, Headline, Measurement, Outcome, Protocol, Snapshots, Subject, View
)
class Mine(FoldProtocol):
    headlines = ("accuracy",)
    def evaluate(self, subject, seed):
        return Outcome()
Mine(layers="all")
print({"torch", "sklearn", "matplotlib", "scipy", "pandas", "torchmetrics"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_protocol_without_a_version_says_so_and_needs_evaluate():
    class Mine(Protocol):
        name = "mine"
        headlines = ("a", "b")

    assert Mine.version is None
    with pytest.raises(TypeError, match="evaluate"):
        Mine()


class Numbers(Learner):
    """Encodes an image as its pixels and their squares, in small batches."""

    encode_batch_size = 3

    def build(self, shape):
        self.dropout = torch.nn.Dropout(0.5)

    def fit(self, images, run):
        """Nothing."""

    def encode(self, x):
        return {"pixels": self.dropout(x), "squares": x.flatten(1).square()}


class Data:
    name = "noise"
    train = Images(np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8))
    test = Images(np.random.default_rng(1).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8))
    folds = (np.array([4, 1]), np.array([2, 3]))


def test_a_subject_without_a_cache_extracts_features_in_evaluation_mode():
    learner = Numbers()
    learner.build((1, 8, 8))
    subject = Subject(Data(), False, lambda rows: learner)
    rows = np.array([6, 0, 2, 5])
    found = subject.features(Features(None, "test", rows, View(layers="all", pooling="sum", grid=1)))
    x = Data.test.pixels(rows).reshape(4, -1) / 255
    assert found == pytest.approx(np.column_stack([x.sum(1), x**2]), rel=1e-5)
    assert learner.dropout.training


@pytest.mark.parametrize(("supervised", "trained"), [(False, None), (True, [4, 1])])
@pytest.mark.parametrize(("split", "count"), [("train", 10), ("test", 7)])
def test_a_whole_split_is_read_from_the_first_fit(supervised, trained, split, count):
    found = Features.of_split(Data(), supervised, split, View())
    assert (found.split, found.rows.tolist()) == (split, list(range(count)))
    assert (None if found.trained is None else found.trained.tolist()) == trained


def test_draws_follow_the_seed_and_their_name_or_the_name_of_the_data_alone():
    def draw(name, seed=None, data="noise"):
        subject = Subject(Data(), False, None)
        subject.dataset.name = data
        return subject.generator(name, seed).integers(2**40)

    assert draw("a", 0) == draw("a", 0) == draw("a", 0, data="other")
    assert len({draw("a", 0), draw("a", 1), draw("b", 0), draw("a")}) == 4
    assert draw("a") != draw("a", data="other")
    assert draw("a") == named_generator("noise a").integers(2**40)


def test_a_metric_is_averaged_over_the_folds_at_each_coordinate():
    found = [
        Measurement("accuracy", value, at={"fold": fold, "level": level, "kind": kind})
        for kind, offset in (("mask", 0), ("noise", 50))
        for level in (0.5, 0.1)
        for fold, value in enumerate((offset + level, offset + 3 * level))
    ]
    levels, means, spread = over_folds([*found, Measurement("C", 9.0)], "accuracy", "level", {"kind": "noise"})
    assert levels == [0.5, 0.1]
    assert means == pytest.approx([51, 50.2])
    assert spread == pytest.approx([0.5, 0.1]), "of the folds themselves: ddof is 0"
