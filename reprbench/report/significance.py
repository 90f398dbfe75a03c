"""Tests of differences between methods, and the adjustment of their p values; for ranks see `rank_tests`.

What they generalize to, and the `ratio` of folds that overlap: see `statistics`.

C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).
R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests", PAKDD (2004).
J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from reprbench.report.statistics import Floats, Part, fold_part, mean_of, reach, squares


@dataclass(frozen=True)
class TestResult:
    """What a test found: its statistic and the two-sided p value."""

    # Keeps pytest from collecting this class as a test.
    __test__ = False

    statistic: float
    p: float


def corrected_resampled_t_test(differences: ArrayLike, ratio: float) -> TestResult:
    """Test whether paired differences over overlapping folds are 0 on average (Nadeau and Bengio; see `statistics`).

    t = mean / √(S²(1/n + ratio)) with n − 1 degrees of freedom; ``ratio=0`` is the plain paired t-test. Differences
    that are all equal have no variance: if all are 0, p = 1; if all have the same other value, p = 0. If each fold is
    the whole training split, the ratio is infinite, and nothing is significant.
    """
    numbers: list[float] = _differences(differences).tolist()
    n, mean = len(numbers), mean_of(numbers)
    # Rounding would give equal numbers a variance.
    same = numbers.count(numbers[0]) == n
    return parts_test(mean, [fold_part(0.0 if same else squares(numbers, mean) / (n - 1), n, ratio)])


def parts_test(difference: float, parts: Sequence[Part]) -> TestResult:
    """Test a difference by the parts of its variance: p is where its interval (Banerjee's, see `statistics`) reaches 0.

    Without variance, any difference is significant; with an infinite one, none is.
    """
    parts = [part for part in parts if part[0]]
    variance = sum(part for part, _ in parts)
    if not math.isfinite(variance):
        return TestResult(0.0, 1.0)
    if difference == 0 or not parts:
        return TestResult(0.0, 1.0) if difference == 0 else TestResult(math.copysign(math.inf, difference), 0.0)
    statistic = difference / math.sqrt(variance)
    # With one of the parts alone, p would be smaller; with a single part, that is it.
    least = max(2 * _t_below(-abs(difference) / math.sqrt(part), degrees) for part, degrees in parts)
    if len(parts) == 1 or not least:
        return TestResult(statistic, least)
    from scipy.optimize import brentq

    excess = lambda log_p: reach(parts, math.exp(log_p) / 2) - abs(difference)  # noqa: E731
    # Where the other parts are negligible, the root is at the end of the bracket, up to rounding.
    return TestResult(statistic, math.exp(float(brentq(excess, math.log(least) - 1e-9, 0.0))))


def seeds_t_test(base: Floats, new: Floats, ratio: float) -> TestResult | None:
    """Test the difference of two groups of fits, over seeds and folds at once.

    Folds are shared by all fits: their part of the variance is that of the paired differences of the means over seeds,
    S²_folds(1/n + ratio). Seeds are not: their part is S²_seeds(1/m + 1/k), pooled from the means over folds of the m
    and k seeds.

    One seed on each side does not show how much fits differ. Two fits are then assumed to differ as much as the values
    of two folds do, and the report says so.

    Parameters
    ----------
    base, new : of shape (m, n) and (k, n): seeds and shared folds.
    ratio : overlap ratio of the folds.

    Returns
    -------
    None if there is one value on each side.
    """
    (m, n), k = base.shape, len(new)
    difference = float(new.mean() - base.mean())
    parts: list[Part] = []
    if n > 1:
        folds = float((new.mean(axis=0) - base.mean(axis=0)).var(ddof=1))
        parts.append(fold_part(folds, n, ratio))
    if m + k > 2:
        pooled = sum(float(((group.mean(axis=1) - group.mean()) ** 2).sum()) for group in (base, new))
        parts.append((pooled / (m + k - 2) * (1 / m + 1 / k), m + k - 2))
    elif n > 1:
        pooled = float(base.var(ddof=1) + new.var(ddof=1)) / 2
        parts.append((2 * pooled, 2 * (n - 1)))
    if not parts:
        return None
    return parts_test(difference, parts)


def wilcoxon(differences: ArrayLike) -> TestResult:
    """Test paired differences by their signed ranks; zeros are split between both sides (Demšar, section 3.1.3).

    It assumes that the differences are independent, so for overlapping folds its p values are too small; it is meant
    for differences over datasets, or as a second opinion.
    """
    from scipy import stats

    numbers = _differences(differences)
    if not numbers.any():
        return TestResult(0.0, 1.0)
    found: Any = stats.wilcoxon(numbers, zero_method="zsplit")
    return TestResult(float(found.statistic), float(found.pvalue))


def holm(p_values: ArrayLike) -> Floats:
    """Return the p values adjusted for their number (S. Holm, Scand. J. Statistics 6, 1979), in the given order."""
    return _stepwise(p_values, lambda left: left)


def against_the_best(p_values: ArrayLike) -> Floats:
    """Return the p values of tests against the method with the best mean, adjusted, in the given order.

    That method is chosen from the data, so that each test is the one of many that looked best, and Holm's correction
    for the tests made is not enough: all pairs of methods count. The smallest p value is multiplied by k(k − 1)/2;
    that method is then out of the running, and the next is multiplied by (k − 1)(k − 2)/2, the number of pairs among
    those left; and so on. While all that are equally good are still in the running, their pairs are among those
    counted; so the probability that any of them is told apart from the best is at most the level (Bonferroni).
    """
    return _stepwise(p_values, lambda left: left * (left + 1) // 2)


def _stepwise(p_values: ArrayLike, factor: Callable[[int], int]) -> Floats:
    """Return p values times the factor for how many are left, from the smallest on; none below the one before it."""
    numbers = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(numbers, kind="stable")
    factors = np.array([factor(left) for left in range(numbers.size, 0, -1)], dtype=np.float64)
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * numbers[order]), 1.0)
    return adjusted


def _differences(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError("a paired test needs two differences or more")
    return numbers


def _t_below(statistic: float, degrees: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, statistic))
