"""Tests of differences between methods, and the adjustment of their p values; for ranks see `rank_tests`.

What they generalize to, and the `ratio` of folds that overlap: see `statistics`.

C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).
R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests", PAKDD (2004).
J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from reprbench.report.statistics import Floats, mean_of, satterthwaite, squares


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
    that are all equal have no variance: if all are 0, p = 1; if all have the same other value, p = 0.
    """
    numbers: list[float] = _differences(differences).tolist()
    n, mean = len(numbers), mean_of(numbers)
    # Rounding would give equal numbers a variance.
    same = numbers.count(numbers[0]) == n
    variance = 0.0 if same else squares(numbers, mean) / (n - 1) * (1 / n + ratio)
    return _student(mean, variance, n - 1)


def seeds_t_test(base: Floats, new: Floats, ratio: float) -> TestResult | None:
    """Test the difference of two groups of fits, over seeds and folds at once.

    Folds are shared by all fits: their part of the variance is that of the paired differences of the means over seeds,
    S²_folds(1/n + ratio). Seeds are not: their part is S²_seeds(1/m + 1/k), pooled from the means over folds of the m
    and k seeds. Degrees of freedom after Satterthwaite, as in `summarize_seeds`, which this extends to two groups.

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
    parts: list[tuple[float, int]] = []
    if n > 1:
        folds = float((new.mean(axis=0) - base.mean(axis=0)).var(ddof=1))
        parts.append((folds * (1 / n + ratio) if folds else 0.0, n - 1))
    if m + k > 2:
        pooled = sum(float(((group.mean(axis=1) - group.mean()) ** 2).sum()) for group in (base, new))
        parts.append((pooled / (m + k - 2) * (1 / m + 1 / k), m + k - 2))
    elif n > 1:
        pooled = float(base.var(ddof=1) + new.var(ddof=1)) / 2
        parts.append((2 * pooled, 2 * (n - 1)))
    if not parts:
        return None
    variance = sum(part for part, _ in parts)
    if variance in (0, math.inf):
        return _student(difference, variance, math.inf)
    return _student(difference, variance, satterthwaite(parts))


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
    numbers = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(numbers, kind="stable")
    factors = np.arange(numbers.size, 0, -1)
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * numbers[order]), 1.0)
    return adjusted


def _differences(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError("a paired test needs two differences or more")
    return numbers


def _student(difference: float, variance: float, degrees: float) -> TestResult:
    """Test a difference by its variance: if that is 0, any difference is significant; if it is not finite, none is."""
    if variance == 0:
        return TestResult(0.0, 1.0) if difference == 0 else TestResult(math.copysign(math.inf, difference), 0.0)
    if not math.isfinite(variance):
        return TestResult(0.0, 1.0)
    statistic = difference / math.sqrt(variance)
    return TestResult(statistic, 2 * _t_below(-abs(statistic), degrees))


def _t_below(statistic: float, degrees: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, statistic))
