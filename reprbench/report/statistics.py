"""The statistics of reports: numbers in, numbers out; every formula has its source. For ranks see `rank_tests`.

What can be concluded from folds depends on what they are. A fold is a random part of one training split, and all folds
share one test split. So everything here generalizes to *other labeled images from the same source, on this test
split*; not to other test images, nor, within one seed, to other fits of the learner.

Two folds of f images out of N share f/N of their images on average, and to first order (a value is a mean of what the
fold's images contribute) that share ρ is the correlation of their values. The mean over n folds then has the variance
σ²(1/n + (1 − 1/n)ρ), and the sample variance S² estimates σ²(1 − ρ), so that S²(1/n + ρ/(1 − ρ)) is unbiased. This is
the correction of Nadeau and Bengio, whose ρ is n_test/(n_train + n_test) because it is the test sets that overlap by
chance in their resampling; their ρ/(1 − ρ) is n_test/n_train. The term ρ/(1 − ρ) is called `ratio` throughout.

Intervals are cut off at the bounds of the metric. The true mean lies between these, so the cut interval contains it
exactly as often as the full one. docs/statistics.md compares this with other intervals.

C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).
R. Bouckaert, E. Frank, "Evaluating the replicability of significance tests", PAKDD (2004).
J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Bounds = tuple[float, float]
"""The lowest and the highest value that a metric can have."""

UNBOUNDED: Bounds = (-math.inf, math.inf)

LEVEL = 0.95
"""The confidence level of the intervals."""


@dataclass(frozen=True)
class Summary:
    """Mean, spread and interval of the values of the folds.

    Attributes
    ----------
    mean : over the folds.
    std : standard deviation over the folds, ddof = 0, as papers on STL-10 print it; None for a single value.
    n : the number of folds.
    half_width : half of Student's 95 % interval of the mean, mean ± half_width; None for a single value.
    bounds : the range of the metric.
    """

    mean: float
    std: float | None
    n: int
    half_width: float | None
    bounds: Bounds = UNBOUNDED

    @property
    def interval(self) -> Bounds | None:
        """The 95 % interval of the mean, low and high: Student's, cut off at the bounds of the metric."""
        if self.half_width is None:
            return None
        return max(self.mean - self.half_width, self.bounds[0]), min(self.mean + self.half_width, self.bounds[1])


@dataclass(frozen=True)
class TestResult:
    """What a test found: its statistic and the two-sided p value."""

    # Keeps pytest from collecting this class as a test.
    __test__ = False

    statistic: float
    p: float


@dataclass(frozen=True)
class Components:
    """How much values differ between folds, between seeds, and beyond what folds and seeds explain.

    All three are standard deviations with ddof = 0; their squares add up to the variance of all values.
    """

    folds: float
    seeds: float
    residual: float


def overlap_ratio(fold_size: float, train_size: float) -> float:
    """Return ρ/(1 − ρ), where ρ = fold_size / train_size is the share of images that two random folds have in common.

    Close to 0 if folds hardly overlap; infinite if every fold is the whole training split.
    """
    if not 0 < fold_size <= train_size:
        raise ValueError(f"a fold of {fold_size} images of {train_size}; expected 0 < fold_size ≤ train_size")
    return math.inf if fold_size == train_size else fold_size / (train_size - fold_size)


def bounds_of(unit: str) -> Bounds:
    """Return the range of a metric by its unit: 0 to 100 for "%"; metrics in other units are unbounded."""
    return (0.0, 100.0) if unit == "%" else UNBOUNDED


def summarize(values: ArrayLike, ratio: float = 0.0, bounds: Bounds = UNBOUNDED) -> Summary:
    """Return mean, spread and 95 % interval of one seed's fold values.

    The interval is Student's with n − 1 degrees of freedom and the variance S²(1/n + ratio), cut off at the bounds;
    with ``ratio=0`` (folds that do not overlap) it is the plain one. Equal values have an interval of width 0.
    Bounds are ignored if a value lies outside: not every percentage that a plugin measures is a proportion.
    """
    numbers: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    if not numbers:
        raise ValueError("no values to summarize")
    n, mean, bounds = len(numbers), _mean(numbers), _kept(bounds, min(numbers), max(numbers))
    if n == 1:
        return Summary(mean, None, 1, None, bounds)
    std = math.sqrt(_squares(numbers, mean) / n)
    return Summary(mean, std, n, half_width(std, n, ratio), bounds)


def half_width(std: float, n: int, ratio: float = 0.0) -> float | None:
    """Return half the width of the 95 % interval of a mean, from its spread (ddof = 0) over n folds, as published."""
    if n < 2 or math.isinf(ratio):
        return None
    variance = std**2 * n / (n - 1) * (1 / n + ratio)
    return _t_quantile(n - 1) * math.sqrt(variance) if math.isfinite(variance) else None


def summarize_seeds(values: ArrayLike, ratio: float = 0.0, bounds: Bounds = UNBOUNDED) -> Summary:
    """Return mean, spread over folds, and the interval of the mean over seeds and folds.

    Folds and seeds are crossed: the variance of the mean is S²_folds(1/n + ratio) + S²_seeds/m, S² being the sample
    variances of the means over seeds of each fold, and over folds of each seed. Degrees of freedom after
    F. Satterthwaite (Biometrics Bulletin 2, 1946). It counts the residual twice, which is conservative.

    Parameters
    ----------
    values : of shape (seeds, folds).
    ratio, bounds : as in `summarize`.
    """
    table = as_table(values)
    if len(table) == 1:
        return summarize(table[0], ratio, bounds)
    by_fold, by_seed = table.mean(axis=0), table.mean(axis=1)
    parts = [(float(by_seed.var(ddof=1)) / len(by_seed), len(by_seed) - 1)]
    if len(by_fold) > 1:
        parts.append((float(by_fold.var(ddof=1)) * (1 / len(by_fold) + ratio), len(by_fold) - 1))
    std = float(by_fold.std()) if len(by_fold) > 1 else None
    total = sum(variance for variance, _ in parts)
    half: float | None = 0.0
    if not math.isfinite(total):
        half = None
    elif total:
        half = _t_quantile(_satterthwaite(parts)) * math.sqrt(total)
    return Summary(float(table.mean()), std, len(by_fold), half, _kept(bounds, float(table.min()), float(table.max())))


def variance_components(values_by_seed: ArrayLike) -> Components:
    """Split the variance of values of shape (seeds, folds) into folds, seeds and the rest."""
    table = as_table(values_by_seed)
    by_fold, by_seed = table.mean(axis=0, keepdims=True), table.mean(axis=1, keepdims=True)
    residual = table - by_fold - by_seed + table.mean()
    return Components(float(by_fold.std()), float(by_seed.std()), float(np.sqrt(np.mean(residual**2))))


def corrected_resampled_t_test(differences: ArrayLike, ratio: float) -> TestResult:
    """Test whether paired differences over overlapping folds are 0 on average (Nadeau and Bengio; see the module).

    t = mean / √(S²(1/n + ratio)) with n − 1 degrees of freedom; ``ratio=0`` is the plain paired t-test. Differences
    that are all equal have no variance: if all are 0, p = 1; if all have the same other value, p = 0.
    """
    numbers: list[float] = _differences(differences).tolist()
    n, mean = len(numbers), _mean(numbers)
    # Rounding would give equal numbers a variance.
    same = numbers.count(numbers[0]) == n
    variance = 0.0 if same else _squares(numbers, mean) / (n - 1) * (1 / n + ratio)
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
    return _student(difference, variance, _satterthwaite(parts))


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


# For ten thousand rows of ten values, plain floats take a tenth of the time of small arrays.
def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _squares(numbers: list[float], mean: float) -> float:
    """Return the sum of squared deviations."""
    return math.fsum([(number - mean) ** 2 for number in numbers])


def _kept(bounds: Bounds, lowest: float, highest: float) -> Bounds:
    """Return the bounds if all values lie between them."""
    return bounds if bounds[0] <= lowest and highest <= bounds[1] else UNBOUNDED


def as_table(values: ArrayLike) -> Floats:
    """Return values as a two-dimensional array; raise a `ValueError` if they are not one, or empty."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"expected a table with rows and columns, not an array of shape {table.shape}")
    return table


def _differences(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError("a paired test needs two differences or more")
    return numbers


def _satterthwaite(parts: Sequence[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variances, each with its own.

    They depend on no scale; dividing by a power of two, which is exact, keeps the squares from overflowing.
    """
    exponent = math.frexp(max(variance for variance, _ in parts))[1]
    scaled = [(math.ldexp(variance, -exponent), degrees) for variance, degrees in parts]
    total = sum(variance for variance, _ in scaled)
    return total**2 / sum(variance**2 / degrees for variance, degrees in scaled)


def _student(difference: float, variance: float, degrees: float) -> TestResult:
    """Test a difference by its variance: if that is 0, any difference is significant; if it is not finite, none is."""
    if variance == 0:
        return TestResult(0.0, 1.0) if difference == 0 else TestResult(math.copysign(math.inf, difference), 0.0)
    if not math.isfinite(variance):
        return TestResult(0.0, 1.0)
    statistic = difference / math.sqrt(variance)
    return TestResult(statistic, 2 * _t_below(-abs(statistic), degrees))


# scipy.special imports in a tenth of the time that scipy.stats takes.
def _t_below(statistic: float, degrees: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, statistic))


@cache
def _t_quantile(degrees: float) -> float:
    """Return the quantile of Student's t that leaves half of 1 − LEVEL above it."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
