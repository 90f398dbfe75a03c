"""Standardization of features on the rows that a model is trained on, independent of their scale and order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reprbench.errors import Diverged
from reprbench.images import Indices

Matrix = NDArray[np.floating[Any]]

_BLOCK = 2**20  # elements of a matrix converted at a time, so that they stay in the CPU's cache


@dataclass(frozen=True)
class Standardizer:
    """The map x → (x − mean) / spread, feature by feature.

    Attributes
    ----------
    mean, spread : float32 arrays of shape (d,)
        `spread` is positive.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def apply(self, x: Matrix, rows: Indices | None = None) -> NDArray[np.float32]:
        """Return the standardized `rows` of `x` (n, d), all by default, as a new float32 array, computed in blocks."""
        result = np.empty((len(x) if rows is None else len(rows), x.shape[1]), dtype=np.float32)
        for block, values in row_blocks(x, rows):
            np.subtract(values, self.mean, out=result[block], casting="same_kind")
            result[block] /= self.spread
        return result


Scale = Literal["feature", "common"]
"""Whether every feature is divided by its own spread, or all by one number."""


def standardize(train: Matrix, rows: Indices | None = None, scale: Scale = "feature") -> Standardizer:
    """Fit a standardizer to `rows`, all by default, of `train` (n, d), which is read in blocks.

    Coates, Lee and Ng (2011) use (x − mean)/√(var + 0.01), which assumes features of their scale. Here the features are
    first divided by one number s, the root of the mean over the features of their variances, so that x becomes
    (x − mean)/√(var + 0.01·s²). Because s scales with the features and depends neither on their order nor on constants
    added to them, none of these changes the result. Features that are all constant become 0. With the scale "common"
    x becomes (x − mean)/s: for features whose spreads are what was learned, such as principal components, which the
    other scale would whiten.

    Raises
    ------
    Diverged
        If `train` holds NaN or infinite values.
    """
    mean, variance = _moments(train, rows)
    overall = float(variance.mean())
    spreads = np.full_like(variance, overall) if scale == "common" else variance + 0.01 * overall
    spread = np.sqrt(spreads) if overall > 0 else np.ones_like(variance)
    return Standardizer(mean.astype(np.float32), spread.astype(np.float32))


def _moments(train: Matrix, rows: Indices | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the variance of every feature, each of shape (d,)."""
    count = len(train) if rows is None else len(rows)
    mean = np.zeros(train.shape[1])
    for _, values in row_blocks(train, rows):
        mean += values.sum(axis=0, dtype=np.float64)
    mean /= count
    if not np.isfinite(mean).all():
        raise Diverged("the features hold NaN or infinite values")
    variance = np.zeros(train.shape[1])
    for _, values in row_blocks(train, rows):
        variance += np.square(values - mean).sum(axis=0)
    return mean, variance / count


def row_blocks(x: Matrix, rows: Indices | None = None) -> Iterator[tuple[slice, Matrix]]:
    """Yield `rows` of `x`, all by default, in blocks of about a million elements, each with its slice of them."""
    count, step = len(x) if rows is None else len(rows), max(1, _BLOCK // max(1, x.shape[1]))
    for start in range(0, count, step):
        block = slice(start, start + step)
        yield block, x[block] if rows is None else x[rows[block]]
