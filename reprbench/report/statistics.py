"""The statistics of reports: numbers in, numbers out; every formula has its source. For tests see `significance`.

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
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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
    n, mean, bounds = len(numbers), mean_of(numbers), _kept(bounds, min(numbers), max(numbers))
    if n == 1:
        return Summary(mean, None, 1, None, bounds)
    std = math.sqrt(squares(numbers, mean) / n)
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
        half = _t_quantile(satterthwaite(parts)) * math.sqrt(total)
    return Summary(float(table.mean()), std, len(by_fold), half, _kept(bounds, float(table.min()), float(table.max())))


def variance_components(values_by_seed: ArrayLike) -> Components:
    """Split the variance of values of shape (seeds, folds) into folds, seeds and the rest."""
    table = as_table(values_by_seed)
    by_fold, by_seed = table.mean(axis=0, keepdims=True), table.mean(axis=1, keepdims=True)
    residual = table - by_fold - by_seed + table.mean()
    return Components(float(by_fold.std()), float(by_seed.std()), float(np.sqrt(np.mean(residual**2))))


# For ten thousand rows of ten values, plain floats take a tenth of the time of small arrays.
def mean_of(numbers: list[float]) -> float:
    """Return the mean, exactly rounded."""
    return math.fsum(numbers) / len(numbers)


def squares(numbers: list[float], mean: float) -> float:
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


def satterthwaite(parts: Sequence[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variances, each with its own.

    They depend on no scale; dividing by a power of two, which is exact, keeps the squares from overflowing.
    """
    exponent = math.frexp(max(variance for variance, _ in parts))[1]
    scaled = [(math.ldexp(variance, -exponent), degrees) for variance, degrees in parts]
    total = sum(variance for variance, _ in scaled)
    return total**2 / sum(variance**2 / degrees for variance, degrees in scaled)


# scipy.special imports in a tenth of the time that scipy.stats takes.
@cache
def _t_quantile(degrees: float) -> float:
    """Return the quantile of Student's t that leaves half of 1 − LEVEL above it."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
