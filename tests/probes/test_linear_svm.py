"""The linear SVM against liblinear, against the formulas of its objective, and against what must change nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC
from svms import fit_svm

from reprbench.errors import Diverged, UserError
from reprbench.probes import conjugate, linear_svm, standardize
from reprbench.probes import machines as svm_machines

COSTS = (1e-4, 1e-2, 1.0, 100.0)
Problem = tuple[NDArray[np.float64], NDArray[np.int64]]


class Result(NamedTuple):
    """The result of a classifier trained on one part and tested on another."""

    accuracy: float
    choice: linear_svm.CostChoice


def evaluate_fold(x, labels, test, test_labels, n_classes, costs, generator) -> Result:
    classifier = linear_svm.train_fold(x, labels, n_classes, costs, generator)
    return Result(classifier.accuracy(test, test_labels), classifier.choice)


def make_problem(n: int, d: int, n_classes: int, *, shares: list[float] | None = None, seed: int = 0) -> Problem:
    """Overlapping classes with features of very different spread, as learned ones have."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(n_classes, size=n, p=shares)
    x = rng.normal(size=(n, d)) + rng.normal(size=(n_classes, d))[labels] * 0.3
    return x * np.geomspace(1, 0.05, d), labels


def objective_and_gradient(
    weights: NDArray[np.float64], bias: float, x: NDArray[np.float64], sign: NDArray[np.float64], cost: float
) -> tuple[float, NDArray[np.float64]]:
    """½‖(w, b)‖² + C·Σ max(0, 1 − y·f)² and its gradient, written out for one class in the original space."""
    x1 = np.column_stack([x, np.ones(len(x))])
    w1 = np.append(weights, bias)
    slack = np.maximum(0, 1 - sign * (x1 @ w1))
    return 0.5 * w1 @ w1 + cost * slack @ slack, w1 - 2 * cost * x1.T @ (sign * slack)


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    data = load_digits()
    return data.data.astype(np.float32), data.target.astype(np.int64)


PROBLEMS = {
    "fewer examples": make_problem(60, 200, 3),
    "fewer features": make_problem(300, 40, 3),
    "as many": make_problem(50, 50, 2),
    "imbalanced": make_problem(100, 150, 10, shares=[0.55] + [0.05] * 9),
    "contradictory twins": (np.repeat(make_problem(30, 80, 2)[0], 2, axis=0), np.arange(60) % 2),
    "one row": (np.array([[1.0, -2.0, 0.5]]), np.array([1])),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_solution_has_no_gradient_in_the_original_space(name: str) -> None:
    x, labels = PROBLEMS[name]
    n_classes = int(labels.max()) + 2  # the last class has no example
    machines = fit_svm(x, labels, n_classes, COSTS)
    assert machines.weights.shape == (len(COSTS), n_classes, x.shape[1])
    for i, cost in enumerate(COSTS):
        for k in range(n_classes):
            sign = np.where(labels == k, 1.0, -1.0)
            value, gradient = objective_and_gradient(machines.weights[i, k], machines.biases[i, k], x, sign, cost)
            bound = gradient @ gradient / 2 / value
            assert bound <= 1.01 * svm_machines.TOLERANCE
            assert machines.gaps[i, k] == pytest.approx(bound, rel=1e-2, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "one row"])
def test_objective_is_that_of_liblinear(name: str) -> None:
    x, labels = PROBLEMS[name]
    machines = fit_svm(x, labels, int(labels.max()) + 1, COSTS)
    for i, cost in enumerate(COSTS):
        for k in np.unique(labels):
            sign = np.where(labels == k, 1.0, -1.0)
            other = LinearSVC(C=cost, dual=False, tol=1e-9, max_iter=100_000).fit(x, sign)
            ours = objective_and_gradient(machines.weights[i, k], machines.biases[i, k], x, sign, cost)[0]
            theirs = objective_and_gradient(other.coef_[0], other.intercept_[0], x, sign, cost)[0]
            assert ours == pytest.approx(theirs, rel=2e-6)


def test_accuracy_on_digits_is_that_of_liblinear() -> None:
    x, labels = digits()
    standardizer = standardize.standardize(x[:900])
    train, test = standardizer.apply(x[:900]), standardizer.apply(x[900:])
    costs = (1e-4, 1e-2, 1.0)
    predicted = fit_svm(train, labels[:900], 10, costs).predict(test)
    for i, cost in enumerate(costs):
        other = LinearSVC(C=cost, dual=False, tol=1e-8, max_iter=100_000).fit(train, labels[:900])
        ours = float((predicted[i] == labels[900:]).mean())
        assert ours == pytest.approx(other.score(test, labels[900:]), abs=1e-3)


@pytest.mark.parametrize("name", ["fewer examples", "imbalanced", "fewer features"])
def test_large_matrices_are_solved_like_small_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = PROBLEMS[name]
    n_classes = int(labels.max()) + 1
    exact = fit_svm(x, labels, n_classes, COSTS)
    monkeypatch.setattr(svm_machines, "_ROW_SPACE", 0)
    monkeypatch.setattr(svm_machines, "_DOUBLE", 0)
    monkeypatch.setattr(conjugate, "_CHUNK", 32)
    monkeypatch.setattr(conjugate, "_SUBSPACE_RANK", 8)
    large = fit_svm(x, labels, n_classes, COSTS)
    for i, cost in enumerate(COSTS):
        for k in range(n_classes):
            sign = np.where(labels == k, 1.0, -1.0)
            values = [
                objective_and_gradient(machines.weights[i, k], machines.biases[i, k], x, sign, cost)[0]
                for machines in (exact, large)
            ]
            assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert large.gaps.max() < 1e-4
    scores = exact.scores(x)
    assert np.abs(large.scores(x) - scores).max() < 0.02 * np.abs(scores).max()


def test_a_cost_far_from_its_neighbor_is_solved_too() -> None:
    x, labels = digits()
    x = standardize.standardize(x[:200]).apply(x[:200])
    machines = fit_svm(x, labels[:200], 10, [1e-6, 1e4])
    assert machines.gaps.max() <= svm_machines.TOLERANCE


def test_costs_keep_the_order_they_were_given_in() -> None:
    x, labels = PROBLEMS["fewer examples"]
    up, down = fit_svm(x, labels, 3, COSTS), fit_svm(x, labels, 3, COSTS[::-1])
    assert np.array_equal(up.weights, down.weights[::-1])
    assert down.costs == COSTS[::-1]


def test_scores_are_those_of_the_weights_in_double_precision() -> None:
    x, labels = PROBLEMS["fewer examples"]
    machines = fit_svm(x, labels, 3, COSTS)
    expected = np.einsum("ckd,nd->cnk", machines.weights, x) + machines.biases[:, None]
    np.testing.assert_allclose(machines.scores(x), expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(machines.predict(x), machines.scores(x).argmax(2))


def test_spectrum_preconditions_with_the_exact_inverse_where_it_knows_all() -> None:
    x = torch.from_numpy(make_problem(50, 20, 2)[0])
    design = conjugate.Design(x.float(), constant=True)
    spectrum = conjugate.leading_spectrum(design)
    x1 = torch.cat([x, torch.ones(50, 1)], 1)
    residual, curvature = torch.randn(3, 21, dtype=torch.float64), torch.tensor([[0.01], [1.0], [100.0]])
    for k in range(3):
        matrix = torch.eye(21, dtype=torch.float64) + float(curvature[k]) * x1.T @ x1
        expected = torch.linalg.solve(matrix, residual[k])
        got = spectrum.precondition(residual, curvature)[k]
        assert torch.linalg.norm(got - expected) < 1e-3 * torch.linalg.norm(expected)


@given(
    scale=st.sampled_from([1e-12, 1e-3, 7.0, 1e3, 1e12]),
    shift=st.sampled_from([0.0, -3.0]),
    block=st.sampled_from([1, 64, 2**20]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=25)
def test_standardized_features_are_blind_to_scale_shift_and_order(
    scale: float, shift: float, block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 12)) * rng.gamma(1, size=12)
    x[:, 3] = 2.0  # constant
    order = rng.permutation(12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standardize, "_BLOCK", block)
        changed = ((x + shift) * scale).astype(np.float32)[:, order]
        result = standardize.standardize(changed).apply(changed)
    centered = x - x.mean(0)
    expected = centered / np.sqrt(x.var(0) + 0.01 * (centered**2).mean())
    np.testing.assert_allclose(result, expected[:, order], atol=3e-5)


def test_standardize_equals_coates_on_features_of_unit_scale() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 20))
    x = (x - x.mean(0)) / x.std(0) * np.sqrt(np.linspace(0.5, 1.5, 20))  # mean variance exactly 1
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 0.01)
    np.testing.assert_allclose(standardize.standardize(x).apply(x), expected, atol=1e-6)


def test_constant_features_give_zeros_and_the_most_frequent_class() -> None:
    x = np.full((20, 7), 5.0, dtype=np.float32)
    assert not standardize.standardize(x).apply(x).any()
    labels = np.array([0] * 8 + [1] * 12)
    result = evaluate_fold(x, labels, x, labels, 2, [1e-3, 1.0], np.random.default_rng(0))
    assert result.accuracy == 0.6
    assert max(result.choice.accuracies) == pytest.approx(0.6)


def test_a_single_cost_is_taken_without_cross_validation() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    fits: list[int] = []

    def fit(parts, *given, **named):
        fits.extend(len(x) for x, _ in parts)
        return svm_machines.fit_svms(parts, *given, **named)

    single = linear_svm.train_with(fit, x, labels, 3, [0.1], rng)
    assert fits == [60] and single.choice == linear_svm.CostChoice(0.1, (), None)
    chosen = linear_svm.train_with(fit, x, labels, 3, [0.1, 0.1], rng)
    assert len(fits) == 7 and chosen.accuracy(x, labels) == single.accuracy(x, labels)


def test_a_trained_fold_gives_the_same_result_whatever_it_classified_before() -> None:
    x, labels = digits()
    costs = (1e-4, 1e-2)
    classifier = linear_svm.train_fold(x[:200], labels[:200], 10, costs, np.random.default_rng(0))
    for asked, named in ((x[200:600], labels[200:600]), (x[600:] / 2, labels[600:]), (x[:1], labels[:1])):
        expected = evaluate_fold(x[:200], labels[:200], asked, named, 10, costs, np.random.default_rng(0))
        assert classifier.accuracy(asked, named) == expected.accuracy
        assert classifier.count_right(asked, named) == round(expected.accuracy * len(asked))
        assert classifier.choice.cost == expected.choice.cost


@pytest.mark.parametrize("change", ["times 1000", "times 0.001", "permuted"])
def test_scaled_or_permuted_features_give_the_same_fold_result(change: str) -> None:
    x, labels = digits()
    x = np.concatenate([x, np.sin(x), x[:, ::-1] ** 2], axis=1)  # 192 features of several scales, more than examples
    order = np.random.default_rng(1).permutation(x.shape[1])
    changed = {"times 1000": x * 1000, "times 0.001": x * np.float32(0.001), "permuted": x[:, order]}[change]

    def result(features: NDArray[np.float32]) -> Result:
        train, test = slice(0, 150), slice(150, None)
        grid = [1e-4, 1e-3, 1e-2, 1e-1]
        rng = np.random.default_rng(0)
        return evaluate_fold(features[train], labels[train], features[test], labels[test], 10, grid, rng)

    assert result(changed) == result(x)


def test_cross_validation_equals_liblinear_standardized_in_every_inner_fold() -> None:
    x, labels = digits()
    x, labels = x[:200], labels[:200]
    costs = (1e-4, 1e-2, 1.0)
    choice = linear_svm.select_cost(x, labels, 10, costs, inner_folds=4, generator=np.random.default_rng(5))
    fold_of = linear_svm._stratify(labels, 4, np.random.default_rng(5))
    for cost, accuracy in zip(costs, choice.accuracies, strict=True):
        right = 0.0
        for fold in range(4):
            inner, held_out = x[fold_of != fold].astype(np.float64), x[fold_of == fold]
            variance = inner.var(0)
            spread = np.sqrt(variance + 0.01 * variance.mean())
            other = LinearSVC(C=cost, dual=False, tol=1e-8, max_iter=100_000)
            other.fit((inner - inner.mean(0)) / spread, labels[fold_of != fold])
            right += other.score((held_out - inner.mean(0)) / spread, labels[fold_of == fold]) * len(held_out)
        assert accuracy == pytest.approx(right / 200, abs=1e-9)


@given(st.lists(st.integers(0, 4), min_size=5, max_size=60), st.integers(2, 5), st.integers(0, 9))
@settings(deadline=None)
def test_inner_folds_are_even_in_size_and_in_every_class(labels: list[int], n_folds: int, seed: int) -> None:
    classes = np.array(labels)
    folds = linear_svm._stratify(classes, n_folds, np.random.default_rng(seed))
    for rows in [classes >= 0, *(classes == k for k in np.unique(classes))]:
        sizes = np.bincount(folds[rows], minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1


def test_inner_folds_are_drawn_by_the_generator() -> None:
    labels = np.arange(50) % 5
    first, again, other = (linear_svm._stratify(labels, 5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_most_regularized_of_tied_costs_is_chosen() -> None:
    labels = np.arange(40) % 2
    x = np.where(labels[:, None] == 1, 1.0, -1.0) * np.ones((40, 3))
    choice = linear_svm.select_cost(x, labels, 2, [10.0, 0.1, 1.0], generator=np.random.default_rng(0))
    assert choice == linear_svm.CostChoice(0.1, (1.0, 1.0, 1.0), "lower")


def test_a_cost_at_the_edge_of_the_grid_is_flagged() -> None:
    x, labels = digits()
    x, labels = x[:200], labels[:200]

    def edge(costs: list[float]) -> str | None:
        return linear_svm.select_cost(x, labels, 10, costs, generator=np.random.default_rng(0)).at_edge

    assert edge([1e-6, 1e-5, 1e-2]) == "upper"
    assert edge([1e-2, 1e-5, 1e-6]) == "upper"
    assert edge([1e-2, 1.0, 100.0]) == "lower"
    assert edge([1e-6, 1e-2, 100.0]) is None
    assert edge([1e-6]) is None


def test_a_class_that_an_inner_fold_lacks_does_no_harm() -> None:
    x, labels = digits()
    x, labels = x[labels < 3][:60], labels[labels < 3][:60].copy()
    labels[7] = 3  # a class of one example: the inner fold that holds it out trains without it
    choice = linear_svm.select_cost(x, labels, 4, [1e-3, 1e-2], generator=np.random.default_rng(0))
    assert 0.9 < max(choice.accuracies) < 1


def test_memory_mapped_features_are_read_as_they_are(tmp_path: Path) -> None:
    x, labels = digits()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")

    def result(features: NDArray[np.float32]) -> Result:
        rng = np.random.default_rng(0)
        return evaluate_fold(features[:200], labels[:200], features[200:], labels[200:], 10, [1e-2, 1.0], rng)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert result(mapped) == result(x)


def test_the_same_problem_gives_the_same_bits_and_leaves_the_global_generators_alone() -> None:
    x, labels = PROBLEMS["fewer features"]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (fit_svm(x, labels, 3, COSTS) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_divergence(value: float) -> None:
    x, labels = make_problem(40, 5, 2)
    broken = x.copy()
    broken[7, 2] = value
    with pytest.raises(Diverged, match="NaN or infinite"):
        standardize.standardize(broken)
    for train, test in ((broken, x), (x, broken)):
        with pytest.raises(Diverged, match="NaN or infinite"):
            evaluate_fold(train, labels, test, labels, 2, [1.0], np.random.default_rng(0))


def test_too_few_images_are_the_users_mistake() -> None:
    x, labels = make_problem(4, 5, 2)
    with pytest.raises(UserError, match="5 inner folds need as many labeled images, not 4; set inner_folds lower"):
        linear_svm.select_cost(x, labels, 2, [0.1, 1.0], generator=np.random.default_rng(0))


def test_wrong_arguments_are_refused() -> None:
    x, labels = make_problem(10, 5, 2)
    with pytest.raises(ValueError, match="labels lie in"):
        fit_svm(x, labels + 1, 2, [1.0])
    with pytest.raises(ValueError, match="positive"):
        fit_svm(x, labels, 2, [1.0, 0.0])
    with pytest.raises(ValueError, match="expected features"):
        fit_svm(x, labels[:-1], 2, [1.0])
