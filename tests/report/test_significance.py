"""Tests of differences, against scipy, statsmodels, published worked examples, and simulations of the claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reprbench.report import significance as s
from reprbench.report.statistics import overlap_ratio

# J. Demšar (2006), table 6: the AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 datasets. In the second to last row
# it prints 0.975 twice and yet ranks the two 2 and 3: they differ beyond the third digit, restored by the fifth.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_without_overlap_the_corrected_test_is_the_paired_t_test_of_scipy():
    a, b = DEMSAR[:, 0], DEMSAR[:, 1]
    expected = stats.ttest_rel(a, b)
    found = s.corrected_resampled_t_test(a - b, 0.0)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)


def test_the_corrected_test_by_hand():
    # Bouckaert and Frank (2004), equation for 10 × 10 cross-validation: n₂/n₁ = 1/9. Here three differences 1, 2, 3:
    # mean 2, S² 1, t = 2/√(1/3 + 1/9) = 3, and Student's distribution with 2 degrees of freedom has the closed form
    # P(T < t) = 1/2 + t/(2√(2 + t²)).
    found = s.corrected_resampled_t_test([1.0, 2.0, 3.0], 1 / 9)
    assert found.statistic == pytest.approx(3.0)
    assert found.p == pytest.approx(1 - 3 / math.sqrt(11))


def test_the_corrected_test_errs_as_often_as_promised_if_folds_overlap():
    generator = np.random.default_rng(1)
    rejected = {0.0: 0, overlap_ratio(40, 200): 0}
    for _ in range(1500):
        contributions = generator.normal(size=200)
        folds = [contributions[generator.choice(200, 40, replace=False)].mean() for _ in range(10)]
        for ratio in rejected:
            rejected[ratio] += s.corrected_resampled_t_test(folds, ratio).p < 0.05
    plain, corrected = (count / 1500 for count in rejected.values())
    assert corrected == pytest.approx(0.05, abs=0.02)
    assert plain > 0.2


@pytest.mark.parametrize(("value", "statistic", "p"), [(0.0, 0.0, 1.0), (2.0, math.inf, 0.0), (-2.0, -math.inf, 0.0)])
def test_differences_without_variance(value, statistic, p):
    assert s.corrected_resampled_t_test([value] * 4, 0.25) == s.TestResult(statistic, p)


PARTS = [(0.04, 2), (0.09, 9)]


@pytest.mark.parametrize("difference", [0.01, 0.5, -2.0, 30.0, 1e6])
def test_a_test_by_parts_is_where_the_interval_reaches_zero(difference):
    found = s.parts_test(difference, PARTS)
    quantiles = stats.t.isf(found.p / 2, [degrees for _, degrees in PARTS])
    assert math.sqrt(quantiles**2 @ [variance for variance, _ in PARTS]) == pytest.approx(abs(difference), rel=1e-6)
    assert found.statistic == pytest.approx(difference / math.sqrt(0.13))
    # It is never more certain than either part alone.
    assert found.p >= max(s.parts_test(difference, [part]).p for part in PARTS)


@pytest.mark.parametrize("difference", [0.3, 3.0])
@pytest.mark.parametrize("negligible", [0.0, 1e-40, 1e-20])
def test_with_one_part_it_is_students_test(difference, negligible):
    found = s.parts_test(difference, [(0.04, 2), (negligible, 9)])
    assert found.p == pytest.approx(2 * stats.t.sf(difference / 0.2, 2))


def test_folds_that_are_the_whole_training_split_show_nothing():
    assert s.corrected_resampled_t_test([2.0] * 4, math.inf) == s.TestResult(0.0, 1.0)
    assert s.corrected_resampled_t_test([2.0, 2.1, 1.9], math.inf) == s.TestResult(0.0, 1.0)
    for values in ([[80.0, 80.0], [80.0, 80.0]], [[80.0, 81.0], [80.5, 80.0]]):
        base = np.array(values)
        assert s.seeds_t_test(base, base + 2, math.inf) == s.TestResult(0.0, 1.0)


def test_parts_that_are_unknown_or_none():
    assert s.parts_test(3.0, [(math.inf, 9), (0.1, 2)]) == s.TestResult(0.0, 1.0)
    assert s.parts_test(0.0, PARTS).p == 1
    assert s.parts_test(3.0, [(0.0, 2)]) == s.TestResult(math.inf, 0.0)
    assert s.parts_test(1e300, [(1e-300, 2), (1e-300, 9)]).p == 0


def test_against_the_best_all_pairs_among_those_left_count():
    # Four methods: six pairs; without the first, three; then one.
    assert s.against_the_best([0.02, 0.001, 0.01]) == pytest.approx([0.03, 0.006, 0.03])
    assert s.against_the_best([0.04]) == pytest.approx([0.04])
    assert s.against_the_best([0.5, 0.5]) == pytest.approx([1.0, 1.0])
    assert s.against_the_best([]).shape == (0,)


def test_a_paired_test_needs_pairs():
    with pytest.raises(ValueError, match="two differences"):
        s.corrected_resampled_t_test([1.0], 0.0)
    with pytest.raises(ValueError, match="two differences"):
        s.wilcoxon([1.0])


def test_wilcoxon_is_that_of_demsars_worked_example():
    # Section 3.1.3: C4.5 against C4.5+m, T = min(R+, R-) = 12 and z = -2.54 with two zeros split.
    found = s.wilcoxon(DEMSAR[:, 1] - DEMSAR[:, 0])
    assert found.statistic == pytest.approx(12.0)
    assert found.p < 0.05
    assert s.wilcoxon([0.0, 0.0, 0.0]) == s.TestResult(0.0, 1.0)


def test_wilcoxon_without_ties_is_exact():
    # All ten differences of one sign: 2/2¹⁰.
    assert s.wilcoxon(np.arange(1.0, 11.0)).p == pytest.approx(2 / 2**10)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_holm_is_that_of_statsmodels(count):
    generator = np.random.default_rng(count)
    for _ in range(3):
        p_values = np.round(generator.random(count) ** 3, 2)  # small ones, and ties
        assert s.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_nothing_is_nothing():
    assert s.holm([]).shape == (0,)


@pytest.mark.parametrize(("m", "k"), [(3, 4), (5, 2), (2, 2), (1, 6)])
def test_with_one_fold_the_seeds_are_two_independent_samples(m, k):
    numbers = np.random.default_rng(m * 10 + k)
    base, new = numbers.normal(80, 2, (m, 1)), numbers.normal(82, 2, (k, 1))
    expected = stats.ttest_ind(new[:, 0], base[:, 0])
    found = s.seeds_t_test(base, new, 0.25)
    assert found is not None
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
