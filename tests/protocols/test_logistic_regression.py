"""The protocol logistic: its metrics against scikit-learn and torchmetrics, and what must change none of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from common import values
from made_protocols import make_protocols
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from reprbench.probes import logistic as probe
from reprbench.probes.calibration import BINS, calibration
from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.logistic import judge
from reprbench.spec import parse_call

CLASSES, WIDTH = 7, 12
LABELS = {"train": np.arange(140) % CLASSES, "test": np.arange(210) % CLASSES}
FOLDS = (np.arange(70), np.arange(70, 140))
CENTERS = np.random.default_rng(1).normal(size=(CLASSES, WIDTH))


def feature_matrix(split: str) -> np.ndarray:
    noise = np.random.default_rng(len(split)).normal(size=(len(LABELS[split]), WIDTH))
    return (CENTERS[LABELS[split]] + 1.2 * noise).astype(np.float32)


def evaluated(call: str, change=lambda x: x, learner=None) -> Outcome:
    data = SimpleNamespace(
        name="toy",
        classes=tuple("abcdefg"),
        train=range(140),
        test=range(210),
        train_labels=LABELS["train"],
        test_labels=LABELS["test"],
        folds=FOLDS,
    )
    (protocol,) = make_protocols([parse_call(call)])
    features = lambda asked: change(feature_matrix(asked.split))[asked.rows]  # noqa: E731
    return protocol.evaluate(Subject(data, learner is not None, lambda rows: learner, features), 0)


def expected(fold: np.ndarray, cost: float) -> np.ndarray:
    """Return scikit-learn's probabilities of the test images, of features standardized as ours are."""
    train, test = feature_matrix("train")[fold].astype(np.float64), feature_matrix("test")
    spread = np.sqrt(train.var(0) + 0.01 * train.var(0).mean())
    model = LogisticRegression(C=cost, tol=1e-10, max_iter=10_000)
    model.fit((train - train.mean(0)) / spread, LABELS["train"][fold])
    return model.predict_proba((test - train.mean(0)) / spread)


def test_all_metrics_are_those_of_scikit_learn_and_torchmetrics():
    outcome, labels = evaluated("logistic[costs=[0.1]]"), LABELS["test"]
    for number, fold in enumerate(FOLDS):
        probabilities = expected(fold, 0.1)
        predicted = probabilities.argmax(1)
        assert values(outcome, "accuracy")[number] == pytest.approx(100 * (predicted == labels).mean())
        top = 100 * top_k_accuracy_score(labels, probabilities, k=5)
        assert values(outcome, "top-5 accuracy")[number] == pytest.approx(top)
        assert values(outcome, "macro F1")[number] == pytest.approx(100 * f1_score(labels, predicted, average="macro"))
        error = multiclass_calibration_error(
            torch.from_numpy(probabilities), torch.from_numpy(labels), CLASSES, n_bins=BINS, norm="l1"
        )
        assert values(outcome, "calibration error")[number] == pytest.approx(float(error), abs=1e-4)
    assert {one.at["fold"] for one in outcome.measurements if one.at} == {0, 1}
    assert values(outcome, "feature dimension") == [WIDTH]
    assert values(outcome, "inner accuracy") == []
    assert outcome.warnings == []


def test_the_cost_is_chosen_inside_the_fold_and_a_sweep_may_select_by_it():
    outcome = evaluated("logistic")
    assert len(values(outcome, "inner accuracy")) == len(values(outcome, "C")) == 2
    (protocol, single) = make_protocols([parse_call("logistic"), parse_call("logistic[costs=[1.0]]")])
    assert protocol.selects == ("inner accuracy",) and single.selects == ()


CHANGES = {
    "scaled up": lambda x: 1024 * x,
    "scaled down": lambda x: x / 2**20,
    "permuted": lambda x: x[:, np.random.default_rng(3).permutation(WIDTH)],
    "shifted": lambda x: x + 4,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("scale", ["feature", "common"])
def test_scaled_permuted_or_shifted_features_give_the_same_numbers(scale, change):
    call = f"logistic[scale={scale},costs=[0.001,0.1]]"
    for one, other in zip(evaluated(call, change).measurements, evaluated(call).measurements, strict=True):
        assert (one.metric, one.at) == (other.metric, other.at)
        assert one.value == pytest.approx(other.value, rel=1e-4)


def test_a_supervised_learner_gets_a_fixed_cost_and_its_row_says_so():
    learner = SimpleNamespace(encode_batch_size=8)
    outcome = evaluated("logistic[supervised_cost=0.01]", learner=learner)
    assert values(outcome, "C") == [0.01, 0.01]
    assert outcome.warnings == ["C = 0.01, not chosen: the features have seen the labels of all inner folds"]


def test_a_regression_that_has_not_converged_is_reported(monkeypatch):
    monkeypatch.setattr(probe, "MOST_STEPS", 2)
    outcome = evaluated("logistic[costs=[1.0]]")
    assert outcome.warnings == ["the regression had not converged in 2 of 2 folds"]


def test_the_figure_shows_the_bins_of_all_folds():
    figure = evaluated("logistic[costs=[0.1]]").figures["reliability"]
    upper, lower = figure.axes
    probabilities = np.concatenate([expected(fold, 0.1) for fold in FOLDS])
    labels = np.tile(LABELS["test"], 2)
    bins = calibration(probabilities.max(1), probabilities.argmax(1) == labels)
    (points,) = [one for one in upper.lines if one.get_marker() == "o"]
    assert points.get_ydata() == pytest.approx(bins.observed)
    assert sum(patch.get_height() for patch in lower.patches) == pytest.approx(100)


@pytest.mark.parametrize("classes", [5, 6])
def test_the_five_most_probable_are_asked_for_only_with_more_classes(classes):
    probabilities = softmax(np.random.default_rng(0).normal(size=(30, classes)), axis=1)
    judged = judge(probabilities, np.arange(30) % classes)
    assert (judged.top is None) == (classes == 5)
