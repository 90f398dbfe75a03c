"""Against scipy, statsmodels, published worked examples, and simulations of the claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from reprbench.report import statistics as s
from reprbench.report.significance import corrected_resampled_t_test

VALUES = np.array([50.2, 49.1, 50.7, 51.3, 48.8, 50.0, 49.9, 50.4, 51.0, 49.6])


def test_the_plain_interval_is_that_of_scipy():
    found = s.summarize(VALUES)
    low, high = stats.t.interval(0.95, len(VALUES) - 1, loc=VALUES.mean(), scale=stats.sem(VALUES))
    assert found.interval == pytest.approx((low, high))
    assert (found.mean, found.std, found.n) == (pytest.approx(VALUES.mean()), pytest.approx(VALUES.std(ddof=0)), 10)


def test_a_single_value_has_no_spread_and_no_interval():
    found = s.summarize([3.0])
    assert (found.mean, found.std, found.n, found.half_width, found.interval) == (3.0, None, 1, None, None)
    with pytest.raises(ValueError, match="no values"):
        s.summarize([])


PERCENTS = st.lists(st.floats(0, 100), min_size=2, max_size=10)
RATIOS = st.floats(0, 10)


@given(PERCENTS, RATIOS)
@example([91.0, 94.8], 0.25)
@example([100.0, 100.0, 100.0], 0.25)
@example([0.0, 100.0], 0.25)
@example([99.9] * 3, 0.25)
def test_intervals_of_percentages_are_students_cut_off_at_0_and_100(values, ratio):
    found, students = s.summarize(values, ratio, s.bounds_of("%")), s.summarize(values, ratio)
    low, high = found.interval
    assert 0 <= low <= found.mean <= high <= 100
    assert (found.mean, found.half_width) == (students.mean, students.half_width)
    assert low == (students.interval[0] if students.interval[0] > 0 else 0)
    assert high == (students.interval[1] if students.interval[1] < 100 else 100)


@given(PERCENTS, st.floats(0, 1e-3), RATIOS)
def test_the_interval_does_not_jump_where_students_reaches_a_bound(values, shift, ratio):
    bounds = s.bounds_of("%")
    near = [max(value - shift, 0) for value in values]
    moves = zip(s.summarize(values, ratio, bounds).interval, s.summarize(near, ratio, bounds).interval, strict=True)
    whole = zip(s.summarize(values, ratio).interval, s.summarize(near, ratio).interval, strict=True)
    for (one, other), (free, other_free) in zip(moves, whole, strict=True):
        assert abs(one - other) <= abs(free - other_free) + 1e-9


def test_folds_that_all_reach_the_bound_have_an_interval_of_width_0():
    assert s.summarize([100.0] * 10, 0.25, s.bounds_of("%")).interval == (100, 100)
    assert s.summarize_seeds([[100.0] * 10] * 3, 0.25, s.bounds_of("%")).interval == (100, 100)


@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(st.floats(0, 100), min_size=n, max_size=n), min_size=1)))
def test_intervals_over_seeds_stay_in_range_too(table):
    found, students = s.summarize_seeds(table, 0.25, s.bounds_of("%")), s.summarize_seeds(table, 0.25)
    low, high = found.interval
    assert 0 <= low <= found.mean <= high <= 100
    assert (low, high) == (max(students.interval[0], 0), min(students.interval[1], 100))


@pytest.mark.parametrize("values", [[-5.0, 3.0, 8.0], [98.0, 103.0, 99.0]])
def test_percentages_that_are_not_proportions_are_unbounded(values):
    assert s.summarize(values, 0.25, s.bounds_of("%")) == s.summarize(values, 0.25)
    assert s.summarize_seeds([values, values], 0.25, s.bounds_of("%")) == s.summarize_seeds([values, values], 0.25)


def test_only_percentages_are_bounded():
    assert s.bounds_of("%") == (0, 100)
    assert s.bounds_of("dB") == s.bounds_of("") == (-math.inf, math.inf)


def test_overlap_widens_the_interval_as_written_by_nadeau_and_bengio():
    ratio = s.overlap_ratio(1000, 5000)
    assert ratio == pytest.approx(0.25)
    widened = s.summarize(VALUES, ratio).half_width / s.summarize(VALUES).half_width
    assert widened == pytest.approx(math.sqrt((1 / 10 + 0.25) / (1 / 10)))


def test_folds_that_are_the_whole_training_split_have_no_interval():
    ratio = s.overlap_ratio(100, 100)
    assert math.isinf(ratio)
    assert s.summarize(VALUES, ratio).half_width is None
    assert corrected_resampled_t_test(VALUES, ratio).p == 1
    with pytest.raises(ValueError, match="fold of 101"):
        s.overlap_ratio(101, 100)


def _coverage(ratio: float, n_trials: int = 1500) -> float:
    """Return how often the interval of ten folds of 40 out of 200 contributions contains their true mean, 0."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(n_trials):
        contributions = generator.normal(size=200)
        folds = [contributions[generator.choice(200, 40, replace=False)].mean() for _ in range(10)]
        low, high = s.summarize(folds, ratio).interval
        held += low <= 0 <= high
    return held / n_trials


def test_the_corrected_interval_contains_the_truth_in_95_percent_and_the_plain_one_does_not():
    assert _coverage(s.overlap_ratio(40, 200)) == pytest.approx(0.95, abs=0.02)
    assert _coverage(0.0) < 0.80


def test_components_add_up_to_the_variance_of_all_values():
    table = np.random.default_rng(2).normal(size=(3, 10)) + np.arange(3)[:, None]
    found = s.variance_components(table)
    assert found.folds**2 + found.seeds**2 + found.residual**2 == pytest.approx(table.var())


def test_components_find_where_the_variance_comes_from():
    fold, seed = np.arange(10.0), np.array([0.0, 3.0])
    found = s.variance_components(fold[None, :] + seed[:, None])
    assert found.folds == pytest.approx(fold.std())
    assert found.seeds == pytest.approx(1.5)
    assert found.residual == pytest.approx(0, abs=1e-12)


def test_seeds_that_agree_leave_the_interval_of_the_folds():
    # Two seeds with the same values: no variance from the seeds, and Satterthwaite's degrees of freedom are n − 1.
    together = s.summarize_seeds([VALUES, VALUES], 0.25)
    assert together.half_width == pytest.approx(s.summarize(VALUES, 0.25).half_width)
    assert together.n == 10  # folds, not values
    assert s.summarize_seeds([VALUES], 0.25) == s.summarize(VALUES, 0.25)


def test_a_single_fold_of_several_seeds_is_the_plain_interval_over_seeds():
    seeds = np.array([[50.0], [51.0], [53.0]])
    assert s.summarize_seeds(seeds).half_width == pytest.approx(s.summarize(seeds[:, 0]).half_width)
    assert s.summarize_seeds([[1.0, 1.0], [1.0, 1.0]]).half_width == 0


def _coverage_over_seeds(seeds: int, by_fold: float, by_seed: float, rest: float, n_trials: int = 2000) -> float:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(n_trials):
        values = by_fold * generator.normal(size=(1, 10)) + by_seed * generator.normal(size=(seeds, 1))
        low, high = s.summarize_seeds(values + rest * generator.normal(size=(seeds, 10))).interval
        held += low <= 0 <= high
    return held / n_trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("by_fold", "by_seed"), [(1.0, 1.0), (0.1, 1.0), (1.0, 0.1), (2.0, 1.0)])
def test_the_interval_over_seeds_and_folds_contains_the_truth_in_at_least_95_percent(seeds, by_fold, by_seed):
    # 2000 draws: 0.5 points of standard error.
    assert _coverage_over_seeds(seeds, by_fold, by_seed, 0.3) > 0.935


def test_the_interval_is_not_wider_than_needed_where_one_part_dominates():
    assert _coverage_over_seeds(3, 0.0, 1.0, 0.0) < 0.965
    assert _coverage_over_seeds(3, 1.0, 0.0, 0.0) < 0.965


def test_the_interval_over_seeds_is_that_of_banerjee():
    table = np.array([[50.0, 51.0, 53.0], [51.0, 51.5, 54.0]])
    seeds, folds = table.mean(axis=1).var(ddof=1) / 2, table.mean(axis=0).var(ddof=1) * (1 / 3 + 0.25)
    expected = math.sqrt(stats.t.ppf(0.975, 1) ** 2 * seeds + stats.t.ppf(0.975, 2) ** 2 * folds)
    assert s.summarize_seeds(table, 0.25).half_width == pytest.approx(expected)


def test_what_is_detectable_is_found_with_80_percent_probability():
    # One part: the shifted t statistic is noncentral; adding quantiles is the usual approximation.
    size = s.detectable([(1.0, 9)])
    t = stats.t.ppf(0.975, 9)
    assert stats.nct.sf(t, 9, size) + stats.nct.cdf(-t, 9, size) == pytest.approx(0.8, abs=0.02)
    assert s.summarize(VALUES, 0.25).detectable == pytest.approx(size * VALUES.std(ddof=1) * math.sqrt(0.35))
    assert s.detectable([(1.0, 9)], level=0.01) > size
    assert s.detectable([]) is None
    assert s.detectable([(math.inf, 9)]) is None
