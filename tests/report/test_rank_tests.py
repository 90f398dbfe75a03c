"""Against scipy, scikit-posthocs and the worked examples and tables of Demšar (2006)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats
from test_significance import DEMSAR

from reprbench.report.rank_tests import average_ranks, critical_difference, friedman
from reprbench.report.significance import TestResult


def test_average_ranks_are_those_of_demsars_worked_example():
    assert average_ranks(DEMSAR) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


@pytest.mark.parametrize("higher", [True, False])
def test_average_ranks_are_those_of_scipy(higher):
    ranked = stats.rankdata(-DEMSAR if higher else DEMSAR, axis=1).mean(axis=0)
    assert average_ranks(DEMSAR, higher_is_better=higher) == pytest.approx(ranked)


def test_friedman_is_that_of_demsars_worked_example():
    # Section 3.2.2 gives χ² = 9.28 from the ranks, without scipy's correction for ties, which divides by
    # 1 − Σ(t³ − t)/(n k (k² − 1)), t being the sizes of the groups of equal scores.
    ranks, (n, k) = average_ranks(DEMSAR), DEMSAR.shape
    statistic = 12 * n / (k * (k + 1)) * (np.sum(ranks**2) - k * (k + 1) ** 2 / 4)
    assert statistic == pytest.approx(9.28, abs=0.01)
    ties = sum(t**3 - t for row in DEMSAR for t in np.unique(row, return_counts=True)[1])
    corrected = statistic / (1 - ties / (n * k * (k**2 - 1)))
    assert friedman(DEMSAR).statistic == pytest.approx(corrected)
    assert friedman(DEMSAR).p == pytest.approx(stats.chi2.sf(corrected, k - 1))


def test_friedman_without_ties_is_the_formula():
    scores = np.random.default_rng(4).normal(size=(9, 5))
    ranks, (n, k) = average_ranks(scores), scores.shape
    statistic = 12 * n / (k * (k + 1)) * (np.sum(ranks**2) - k * (k + 1) ** 2 / 4)
    found = friedman(scores)
    assert found.statistic == pytest.approx(statistic)
    assert found.p == pytest.approx(stats.chi2.sf(statistic, k - 1))
    assert friedman(np.ones((4, 3))) == TestResult(0.0, 1.0)
    with pytest.raises(ValueError, match="three methods"):
        friedman(np.ones((4, 2)))


@pytest.mark.parametrize(
    ("alpha", "q_values"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_values_are_those_of_demsars_table_5(alpha, q_values):
    for k, q in enumerate(q_values, start=2):
        n = k * (k + 1) / 6  # makes the factor of q 1
        assert critical_difference(k, 1, alpha) * math.sqrt(1 / n) == pytest.approx(q, abs=1.1e-3)


def test_the_critical_difference_of_demsars_worked_example():
    assert critical_difference(4, 14, 0.05) == pytest.approx(1.25, abs=0.01)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.01)


def test_ranks_further_apart_than_the_critical_difference_differ_by_nemenyis_test():
    scores = np.random.default_rng(5).normal(size=(12, 5)) + np.arange(5)
    ranks, critical = average_ranks(scores), critical_difference(5, 12)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    apart = np.abs(ranks[:, None] - ranks[None, :]) > critical
    assert np.array_equal(apart, p_values < 0.05)
    assert apart.any()
    assert not apart[~np.eye(5, dtype=bool)].all()
