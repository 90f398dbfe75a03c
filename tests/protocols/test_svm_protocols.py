"""What all protocols with the linear SVM share: how C is chosen, and on which scale features are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from common import values
from made_protocols import make_protocols
from sklearn.svm import LinearSVC

from reprbench import Images, Learner, SupervisedLearner
from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.linear_svm import COSTS, LinearSVM, SVMProtocol
from reprbench.spec import parse_call

N_TRAIN, N_TEST = 60, 90


class Data:
    """Two folds of ten examples of each of three classes. The first pixel of a test image is its class."""

    name = "toy"
    classes = ("a", "b", "c")
    train_labels, test_labels = np.arange(N_TRAIN) % 3, np.arange(N_TEST) % 3
    folds = (np.arange(30), np.arange(30, 60))
    train = range(N_TRAIN)
    test = Images(np.zeros((N_TEST, 1, 8, 8), np.uint8) + (np.arange(N_TEST) % 3).astype(np.uint8)[:, None, None, None])


CENTERS = np.random.default_rng(1).normal(size=(3, 20))


def feature_matrix(split: str, factor: np.ndarray | float = 1.0) -> np.ndarray:
    labels = getattr(Data, f"{split}_labels")
    noise = np.random.default_rng(len(split)).normal(size=(len(labels), 20))
    return ((CENTERS[labels] + 1.5 * noise) * factor).astype(np.float32)


def evaluated(call: str, learner: Learner | None = None, factor: np.ndarray | float = 1.0) -> Outcome:
    (protocol,) = make_protocols([parse_call(call)])
    features = lambda asked: feature_matrix(asked.split, factor)[asked.rows]  # noqa: E731
    return protocol.evaluate(Subject(Data, learner is not None, lambda rows: learner, features), 0)


class Headless(SupervisedLearner):
    def fit_labeled(self, images, labels, run):
        pass

    def encode(self, x):
        return {"pixels": x}


class Headed(Headless):
    """Right about the classes 0 and 1 alone."""

    def build(self, shape):
        self.network = torch.nn.BatchNorm2d(1).train()

    def classify(self, x):
        assert not self.network.training and not torch.is_grad_enabled()
        classes = (255 * x[:, 0, 0, 0]).round().long()
        return torch.nn.functional.one_hot(classes.clamp(max=1), 3).float()


def test_the_grid_reaches_a_thousand():
    assert (min(COSTS), max(COSTS)) == (1e-6, 1e3)
    for call in ("linear-svm", "few-labels", "robustness"):
        (protocol,) = make_protocols([parse_call(call)])
        assert isinstance(protocol, SVMProtocol) and protocol.costs == COSTS


def test_a_supervised_learner_gets_a_fixed_cost_and_its_row_says_so():
    outcome = evaluated("linear-svm", Headless())
    assert values(outcome, "C") == [1.0, 1.0]
    assert values(outcome, "inner accuracy") == []
    assert outcome.warnings == ["C = 1, not chosen: the features have seen the labels of all inner folds"]
    other = evaluated("linear-svm[supervised_cost=0.01]", Headless())
    assert values(other, "C") == [0.01, 0.01]
    assert values(other, "accuracy") == values(evaluated("linear-svm[costs=[0.01]]"), "accuracy")
    few = evaluated("few-labels[labels=[2,5]]", Headless())
    assert set(values(few, "C")) == {1.0}
    assert outcome.warnings[0] in few.warnings


def test_the_head_of_a_supervised_learner_is_measured_beside_the_svm():
    learner = Headed()
    learner.build((1, 8, 8))
    assert values(evaluated("linear-svm", learner), "head accuracy") == pytest.approx([200 / 3, 200 / 3])
    assert learner.network.training
    assert values(evaluated("linear-svm", Headless()), "head accuracy") == []
    assert values(evaluated("linear-svm"), "head accuracy") == []


def test_scores_of_another_shape_are_refused():
    learner = Headed()
    learner.build((1, 8, 8))
    learner.classify = lambda x: torch.zeros(len(x))
    with pytest.raises(TypeError, match=r"logits of shape \(N, K\), not \(90,\)"):
        evaluated("linear-svm", learner)


def test_a_common_scale_is_that_of_liblinear_on_centered_features_divided_by_one_number():
    spreads = np.geomspace(1, 1e-3, 20)
    outcome = evaluated("linear-svm[scale=common,costs=[0.1]]", factor=spreads)
    train, test = feature_matrix("train", spreads), feature_matrix("test", spreads)
    for rows, found in zip(Data.folds, values(outcome, "accuracy"), strict=True):
        x, labels = train[rows].astype(np.float64), Data.train_labels[rows]
        scale = np.sqrt(x.var(0).mean())
        other = LinearSVC(C=0.1, dual=False, tol=1e-9, max_iter=100_000).fit((x - x.mean(0)) / scale, labels)
        assert found == pytest.approx(100 * other.score((test - x.mean(0)) / scale, Data.test_labels))
    assert values(outcome, "accuracy") != values(evaluated("linear-svm[costs=[0.1]]", factor=spreads), "accuracy")


@pytest.mark.parametrize("scale", ["feature", "common"])
@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_scaling_all_features_changes_nothing(scale, factor):
    call = f"linear-svm[scale={scale}]"
    assert evaluated(call, factor=factor).measurements == evaluated(call).measurements


def test_it_has_a_version_for_the_new_grid():
    assert LinearSVM.version == 2
