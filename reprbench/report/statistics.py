"""The statistics of reports: numbers in, numbers out; every formula has its source. For tests see `significance`.

What can be concluded from folds depends on what they are. A fold is a random part of one training split, and all folds
share one test split. So everything here generalizes to *other labeled images from the same source, on this test
split*; not to other test images, nor, within one seed, to other fits of the learner. Values of several seeds generalize
to other seeds too.

Two folds of f images out of N share f/N of their images on average, and to first order (a value is a mean of what the
fold's images contribute) that share ρ is the correlation of their values. The mean over n folds then has the variance
σ²(1/n + (1 − 1/n)ρ), and the sample variance S² estimates σ²(1 − ρ), so that S²(1/n + ρ/(1 − ρ)) is unbiased. This is
the correction of Nadeau and Bengio, whose ρ is n_test/(n_train + n_test) because it is the test sets that overlap by
chance in their resampling; their ρ/(1 − ρ) is n_test/n_train. The term ρ/(1 − ρ) is called `ratio` throughout.

The variance of a mean over seeds and folds is a sum of two, each estimated with its own degrees of freedom: a *part*.
The interval of Banerjee, √(Σ tᵢ² vᵢ) with Student's quantile tᵢ of each part, contains the true mean in at least 95 %
whatever the true variances are. Satterthwaite's degrees of freedom, estimated from the same variances, do not: three
seeds that happen to agree would count as many.

Intervals are cut off at the bounds of the metric. The true mean lies between these, so the cut interval contains it
exactly as often as the full one. docs/statistics.md compares this with other intervals.

S. Banerjee, "Approximate confidence interval for linear functions of means of k populations when the population
variances are not equal", Sankhyā 22 (1960).
C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Bounds = tuple[float, float]
"""The lowest and the highest value that a metric can have."""

UNBOUNDED: Bounds = (-math.inf, math.inf)

LEVEL = 0.95
"""The confidence level of the intervals."""

POWER = 0.8
"""The probability with which a difference called detectable would be found."""

Part = tuple[float, int]
"""A part of the variance of a mean, and the degrees of freedom of its estimate."""


@dataclass(frozen=True)
class Summary:
    """Mean, spread and interval of the values of the folds.

    Attributes
    ----------
    mean : over the folds.
    std : standard deviation over the folds, ddof = 0, as papers on STL-10 print it; None for a single value.
    n : the number of folds.
    half_width : half of the 95 % interval of the mean, mean ± half_width; None for a single value.
    bounds : the range of the metric.
    detectable : how far the true mean must be from a given value for the interval to exclude it with 80 % probability.
    """

    mean: float
    std: float | None
    n: int
    half_width: float | None
    bounds: Bounds = UNBOUNDED
    detectable: float | None = None

    @property
    def interval(self) -> Bounds | None:
        """The 95 % interval of the mean, low and high, cut off at the bounds of the metric."""
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
    parts = [fold_part(std**2 * n / (n - 1), n, ratio)]
    return Summary(mean, std, n, half_width(parts), bounds, detectable(parts))


def summarize_seeds(values: ArrayLike, ratio: float = 0.0, bounds: Bounds = UNBOUNDED) -> Summary:
    """Return mean, spread over folds, and the interval of the mean over seeds and folds; see `seed_parts`.

    Parameters
    ----------
    values : of shape (seeds, folds).
    ratio, bounds : as in `summarize`.
    """
    table = as_table(values)
    if len(table) == 1:
        return summarize(table[0], ratio, bounds)
    by_fold, parts = table.mean(axis=0), seed_parts(table, ratio)
    std = float(by_fold.std()) if len(by_fold) > 1 else None
    kept = _kept(bounds, float(table.min()), float(table.max()))
    return Summary(float(table.mean()), std, len(by_fold), half_width(parts), kept, detectable(parts))


def seed_parts(table: Floats, ratio: float) -> list[Part]:
    """Return the parts of the variance of the mean of values of shape (seeds, folds); none for a single value.

    Folds and seeds are crossed: S²_seeds/m, and S²_folds(1/n + ratio), S² being the sample variances of the means over
    folds of each seed, and over seeds of each fold. The residual counts twice, which is conservative. One seed has no
    part: what is concluded from it holds for this fit only.
    """
    (m, n), parts = table.shape, []
    if m > 1:
        parts.append((float(table.mean(axis=1).var(ddof=1)) / m, m - 1))
    if n > 1:
        parts.append(fold_part(float(table.mean(axis=0).var(ddof=1)), n, ratio))
    return parts


def fold_part(variance: float, n: int, ratio: float) -> Part:
    """Return the part of n folds; infinite where each is the whole training split, even if they all agree."""
    return (math.inf if math.isinf(ratio) else variance * (1 / n + ratio)), n - 1


def half_width(parts: Sequence[Part]) -> float | None:
    """Return half the width of the 95 % interval of a mean; None if its variance is not known."""
    return reach(parts, (1 - LEVEL) / 2) if _known(parts) else None


def detectable(parts: Sequence[Part], level: float = 1 - LEVEL) -> float | None:
    """Return how large a difference must be to be found with the probability `POWER`; None if that is not known.

    Each part's quantiles add up: that of the two-sided test at this `level`, and that of the power.
    """
    if not _known(parts):
        return None
    quantiles = [t_quantile(degrees, level / 2) + t_quantile(degrees, 1 - POWER) for _, degrees in parts]
    return math.sqrt(sum(q**2 * variance for q, (variance, _) in zip(quantiles, parts, strict=True)))


def reach(parts: Sequence[Part], tail: float) -> float:
    """Return √(Σ tᵢ² vᵢ), tᵢ being the quantile with the probability `tail` above it (Banerjee)."""
    return math.sqrt(sum(t_quantile(degrees, tail) ** 2 * variance for variance, degrees in parts))


def _known(parts: Sequence[Part]) -> bool:
    return bool(parts) and all(math.isfinite(variance) for variance, _ in parts)


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


# scipy.special imports in a tenth of the time that scipy.stats takes.
@lru_cache(maxsize=256)
def t_quantile(degrees: int, tail: float) -> float:
    """Return the quantile of Student's t with the probability `tail` above it."""
    from scipy.special import stdtrit

    return -float(stdtrit(degrees, tail))
