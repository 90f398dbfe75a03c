"""Multinomial logistic regression against scikit-learn, and against what must change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from reprbench.errors import Diverged
from reprbench.probes import logistic
from reprbench.probes.linear_svm import _divisions, train_with
from reprbench.probes.logistic import Logistic, fit_logistics
from reprbench.probes.standardize import standardize

COSTS = (1e-4, 1e-2, 1.0)


def data(count: int, width: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    x = 0.5 * generator.normal(size=(classes, width))[labels] + generator.normal(size=(count, width))
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), labels


def objective(weights: np.ndarray, biases: np.ndarray, cost: float, x: np.ndarray, labels: np.ndarray) -> float:
    losses = torch.nn.functional.cross_entropy(
        torch.from_numpy(x.astype(np.float64) @ weights.T + biases), torch.from_numpy(labels), reduction="sum"
    )
    return float(np.square(weights).sum() / 2 + cost * losses)


def trained(x: np.ndarray, labels: np.ndarray, costs: tuple[float, ...] = COSTS) -> Logistic:
    return fit_logistics([(x, labels)], int(labels.max()) + 1, costs)[0]


# More examples than features, fewer, and as many.
@pytest.mark.parametrize("shape", [(120, 9), (40, 90), (50, 50)])
def test_weights_biases_and_objective_are_those_of_scikit_learn(shape):
    x, labels = data(*shape)
    found = trained(x, labels)
    assert all(found.converged)
    for number, cost in enumerate(COSTS):
        other = LogisticRegression(C=cost, tol=1e-10, max_iter=10_000).fit(x.astype(np.float64), labels)
        assert found.weights[number] == pytest.approx(other.coef_, abs=1e-4 * np.abs(other.coef_).max())
        biases = found.biases[number] - found.biases[number].mean()
        assert biases == pytest.approx(other.intercept_ - other.intercept_.mean(), abs=1e-4)
        least = objective(other.coef_, other.intercept_, cost, x, labels)
        assert objective(found.weights[number], found.biases[number], cost, x, labels) <= least * (1 + 1e-7)
        assert np.array_equal(found.predict(x)[number], other.predict(x))


def test_separable_examples_with_a_large_cost_reach_at_least_the_minimum_of_scikit_learn():
    x, labels = data(60, 100)
    found = trained(x, labels, (1e3,))
    other = LogisticRegression(C=1e3, tol=1e-8, max_iter=10_000).fit(x.astype(np.float64), labels)
    least = objective(other.coef_, other.intercept_, 1e3, x, labels)
    assert objective(found.weights[0], found.biases[0], 1e3, x, labels) <= least * (1 + 1e-6)


def test_costs_may_be_in_any_order_and_repeated():
    x, labels = data(60, 8)
    one, other = trained(x, labels, (1.0, 1e-4, 1.0)), trained(x, labels, (1e-4, 1.0))
    assert one.costs == (1.0, 1e-4, 1.0)
    assert np.array_equal(one.weights, other.weights[[1, 0, 1]])
    assert np.array_equal(one.biases, other.biases[[1, 0, 1]])


@pytest.mark.parametrize("name", ["_MOST_AXES", "_DOUBLE"])
def test_wide_and_large_sets_give_the_same_classifier(monkeypatch, name):
    x, labels = data(80, 30)
    expected = trained(x, labels)
    monkeypatch.setattr(logistic, name, 1)
    found = trained(x, labels)
    assert all(found.converged)
    tolerance = 1e-4 if name == "_MOST_AXES" else 5e-3
    assert found.weights == pytest.approx(expected.weights, abs=tolerance * np.abs(expected.weights).max())


def test_permuted_features_have_permuted_weights():
    x, labels = data(70, 20)
    order = np.random.default_rng(1).permutation(20)
    assert trained(x[:, order], labels).weights == pytest.approx(trained(x, labels).weights[..., order], abs=1e-5)


def test_a_class_without_examples_is_never_predicted():
    x, labels = data(60, 8, classes=3)
    (found,) = fit_logistics([(x, labels)], 5, COSTS)
    assert found.weights.shape == (3, 5, 8) and set(np.unique(found.predict(x))) <= {0, 1, 2}


def test_a_single_class_has_nothing_to_learn():
    x, _ = data(20, 6)
    (found,) = fit_logistics([(x, np.zeros(20, np.int64))], 1, COSTS)
    assert all(found.converged) and not found.weights.any()


@pytest.mark.parametrize("width", [6, 40])
def test_features_that_say_nothing_leave_the_frequencies_of_the_classes(width):
    labels = np.repeat([0, 1], [10, 20])
    (found,) = fit_logistics([(np.zeros((30, width), np.float32), labels)], 2, (1.0,))
    assert not found.weights.any()
    assert found.biases[0, 1] - found.biases[0, 0] == pytest.approx(np.log(2), abs=1e-4)


def test_too_few_steps_are_reported(monkeypatch):
    monkeypatch.setattr(logistic, "MOST_STEPS", 3)
    x, labels = data(120, 40)
    assert trained(x, labels, (1.0,)).converged == (False,)


def test_features_that_are_not_finite_are_reported():
    x, labels = data(60, 8)
    found = trained(x, labels)
    x[3, 1] = np.inf
    with pytest.raises(Diverged, match="NaN or infinite"):
        found.predict(x)


def test_the_cost_is_that_of_the_smallest_cross_validated_log_loss():
    x, labels = data(100, 60)
    chosen = train_with(fit_logistics, x, labels, 4, COSTS, np.random.default_rng(0), inner_folds=4)
    losses, accuracies = np.zeros(len(COSTS)), np.zeros(len(COSTS))
    for train, test in _divisions(labels, 4, np.random.default_rng(0)):
        apply = standardize(x, train).apply
        for number, cost in enumerate(COSTS):
            other = LogisticRegression(C=cost, tol=1e-10, max_iter=10_000).fit(apply(x, train), labels[train])
            losses[number] += log_loss(labels[test], other.predict_proba(apply(x, test)), normalize=False)
            accuracies[number] += (other.predict(apply(x, test)) == labels[test]).sum()
    assert chosen.choice.accuracies == pytest.approx(accuracies / 100)
    assert chosen.choice.cost == COSTS[losses.argmin()] == chosen.machines.costs[0]


def test_what_is_judged_are_accuracy_and_log_likelihood():
    x, labels = data(60, 8)
    found = trained(x, labels)
    right, likelihood = found.judged(x, labels)
    assert right.tolist() == (found.predict(x) == labels).sum(1).tolist()
    for number in range(len(COSTS)):
        probabilities = softmax(found.logits(x)[number].astype(np.float64), axis=1)
        assert likelihood[number] == pytest.approx(-log_loss(labels, probabilities, normalize=False), rel=1e-6)
