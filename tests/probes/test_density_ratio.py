from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss

from reprbench.errors import Diverged
from reprbench.probes.density_ratio import Training, divide, judge, train_classifier

PAIRS = 2000
LOG4 = math.log(4)


class Mixture:
    """A mixture of Gaussians with equal weights, in one dimension."""

    def __init__(self, *parts: tuple[float, float]) -> None:
        self.parts = parts

    def rvs(self, count, random_state):
        means, spreads = np.array(self.parts)[random_state.integers(0, len(self.parts), count)].T
        return random_state.normal(means, spreads)

    def pdf(self, x):
        return np.mean([stats.norm.pdf(x, mean, spread) for mean, spread in self.parts], axis=0)


LINE = [
    (stats.norm(0, 1), stats.norm(1, 1)),
    (stats.norm(0, 1), stats.norm(0.5, 2)),
    (Mixture((-2, 0.6), (2, 0.8)), stats.norm(0, 1.5)),
]
PLANE = [
    (stats.multivariate_normal([0, 0], np.eye(2)), stats.multivariate_normal([1, -1], np.eye(2))),
    (
        stats.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]]),
        stats.multivariate_normal([0.5, 0], [[1.5, -0.6], [-0.6, 0.8]]),
    ),
]


def drawn(one, other, seed=0, pairs=PAIRS):
    generator = np.random.default_rng(seed)
    samples = [np.asarray(q.rvs(pairs, random_state=generator)).reshape(pairs, -1) for q in (one, other)]
    return np.stack(samples).astype(np.float32)


def divided(codes):
    return divide(codes.shape[1], np.random.default_rng(1))


def trained(codes, **changes):
    """Return the classifier, and its evaluation on the part that it has not seen."""
    parts = divided(codes)
    classifier = train_classifier(codes, parts, Training(**changes), seed=0)
    logits = [classifier.logits(codes[which, parts.evaluation]) for which in (0, 1)]
    return classifier, judge(*logits)


def best(one, other, x):
    return one.pdf(x) / (one.pdf(x) + other.pdf(x))


def true_value(one, other, dimensions):
    """2·JSD − log 4 as the integral of q_d log C* + q_r log(1 − C*), by adaptive quadrature or on a fine grid."""

    def integrand(x):
        p, q = one.pdf(x), other.pdf(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(p * np.log(p / (p + q))) + np.nan_to_num(q * np.log(q / (p + q)))

    if dimensions == 1:
        return integrate.quad(integrand, -15, 15, limit=200)[0]
    side = np.linspace(-8, 8, 401)
    return integrate.trapezoid(integrate.trapezoid(integrand(np.dstack(np.meshgrid(side, side))), side), side)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other", "dimensions"), [(*q, 1) for q in LINE] + [(*q, 2) for q in PLANE])
def test_where_densities_are_known_c_is_their_ratio_and_the_bound_holds_and_is_near(one, other, dimensions):
    classifier, judged = trained(drawn(one, other, pairs=8000))
    assert classifier.converged
    # Fresh points of both densities: the difference counts where there is mass.
    x = drawn(one, other, seed=5, pairs=8000).reshape(-1, dimensions)
    exact = best(one, other, x[:, 0] if dimensions == 1 else x)
    assert np.abs(expit(classifier.logits(x)) - exact).mean() < 0.03
    truth = true_value(one, other, dimensions)
    assert truth - 0.03 - 4 * judged.standard_error < judged.value < truth + 4 * judged.standard_error
    assert judged.divergence == pytest.approx((judged.value + LOG4) / 2)
    assert judged.calibration_error < 0.05


def test_the_integral_is_right_where_the_divergence_is_known():
    assert true_value(stats.norm(0, 1), stats.norm(0, 1), 1) == pytest.approx(-LOG4, abs=1e-8)
    assert true_value(stats.multivariate_normal([0, 0]), stats.multivariate_normal([0, 0]), 2) == pytest.approx(
        -LOG4, abs=1e-6
    )


def test_equal_distributions_cannot_be_separated():
    q = stats.multivariate_normal(np.zeros(5))
    _, judged = trained(drawn(q, q))
    assert judged.accuracy == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(0.8 * PAIRS))
    assert judged.value == pytest.approx(-LOG4, abs=0.02)
    assert judged.divergence < 0.01


def test_reconstructions_that_equal_originals_are_right_half_of_the_time():
    one = drawn(stats.norm(0, 1), stats.norm(0, 1))[0]
    _, judged = trained(np.stack([one, one]))
    assert judged.accuracy == 0.5
    assert judged.value == pytest.approx(-LOG4, abs=1e-4)


def test_disjoint_distributions_are_separated_completely():
    _, judged = trained(drawn(stats.norm(0, 1), stats.norm(30, 1)))
    assert judged.accuracy == 1
    assert judged.value == pytest.approx(0, abs=1e-3)
    assert judged.divergence == pytest.approx(math.log(2), abs=1e-3)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    codes = drawn(*LINE[0])
    parts = divided(codes)
    one, same, other = (
        train_classifier(codes, parts, Training(epochs=2), seed).logits(codes[0, :50]) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_evaluation_part_is_not_read_in_training():
    codes = drawn(*LINE[0])
    parts = divided(codes)
    spoiled = codes.copy()
    spoiled[:, parts.evaluation] = np.nan
    found = [train_classifier(c, parts, Training(epochs=2), 0).logits(codes[0, :50]) for c in (codes, spoiled)]
    assert np.array_equal(*found)


@pytest.mark.parametrize("factor", [2.0**20, 2.0**-20])
def test_scaling_all_codes_changes_nothing(factor):
    codes = drawn(*PLANE[1])
    assert trained(codes * np.float32(factor), epochs=2)[1] == trained(codes, epochs=2)[1]


def test_a_limit_on_epochs_is_not_convergence_and_the_best_weights_are_kept():
    codes = drawn(*LINE[0])
    short, _ = trained(codes, epochs=2, patience=3)
    assert (short.epochs, short.converged) == (2, False)
    long, judged = trained(codes, patience=3)
    assert long.converged
    assert long.best_epoch < long.epochs < 200
    # Stopping at the best epoch gives the very weights that were put back.
    until_best, the_same = trained(codes, epochs=long.best_epoch, patience=99)
    assert the_same == judged
    assert until_best.epochs == until_best.best_epoch == long.best_epoch


@pytest.mark.parametrize(
    ("losses", "epochs", "best_epoch", "converged"),
    [
        # A ten-thousandth of a nat below the last loss that was progress is progress; less is not, unless it adds up.
        ([0.6 - 0.00011 * epoch for epoch in range(6)], 5, 5, False),
        ([0.6 - 0.00009 * epoch / 2 for epoch in range(6)], 2, 2, True),
        ([0.6 - 0.00006 * epoch for epoch in range(6)], 5, 5, False),
        ([0.6, 0.7, 0.8, 0.1], 2, 0, True),
        ([0.6, 0.5, 0.5, 0.4, 0.4, 0.4], 5, 3, True),
    ],
)
def test_training_stops_where_the_validation_loss_stops_falling(monkeypatch, losses, epochs, best_epoch, converged):
    scripted = iter(losses)
    monkeypatch.setattr("reprbench.probes.density_ratio._Loss.on_validation", lambda self: next(scripted))
    codes = drawn(*LINE[0], pairs=20)
    found = train_classifier(codes, divided(codes), Training(epochs=5, patience=2), seed=0)
    assert (found.epochs, found.best_epoch, found.converged) == (epochs, best_epoch, converged)


def test_training_is_by_default_as_the_protocol_says():
    assert Training() == Training(width=128, learning_rate=1e-3, batch_size=128, epochs=200, patience=10)


def test_parts_are_a_division_into_half_a_tenth_and_two_fifths():
    parts = divide(1003, np.random.default_rng(0))
    rows = [parts.training, parts.validation, parts.evaluation]
    assert [len(part) for part in rows] == [501, 100, 402]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(1003))


def test_the_judgment_is_that_of_scikit_learn_and_of_the_definitions():
    generator = np.random.default_rng(0)
    originals, reconstructions = generator.normal(0.5, 2, 700), generator.normal(-1, 2, 700)
    judged = judge(originals, reconstructions)
    c, targets = expit(np.concatenate([originals, reconstructions])), np.repeat([1, 0], 700)
    assert judged.accuracy == pytest.approx(accuracy_score(targets, c > 0.5))
    assert judged.log_loss == pytest.approx(log_loss(targets, c))
    assert judged.value == pytest.approx(np.log(c[:700]).mean() + np.log(1 - c[700:]).mean())
    values = np.log(c[:700]) + np.log(1 - c[700:])
    assert judged.standard_error == pytest.approx(stats.sem(values))
    bins = np.floor(c * 15).astype(int)
    gaps = [abs(targets[bins == b].mean() - c[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    assert judged.calibration_error == pytest.approx(sum(gaps))


def test_a_classifier_worse_than_chance_bounds_the_divergence_by_zero():
    judged = judge(np.full(10, -3.0), np.full(10, 3.0))
    assert judged.value < -LOG4
    assert judged.divergence == 0


def test_logits_of_any_size_give_finite_numbers():
    judged = judge(np.array([1e4, -1e4]), np.array([-1e4, -1e4]))
    assert judged.value == pytest.approx(-5000)


def test_codes_that_are_not_finite_are_reported():
    codes = drawn(*LINE[0])
    codes[1, divided(codes).training[3]] = np.inf
    with pytest.raises(Diverged):
        trained(codes)
