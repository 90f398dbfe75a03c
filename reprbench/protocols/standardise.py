"""Standardisation of features on the rows that a model is trained on, blind to their scale and order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprbench.errors import Diverged

Matrix = NDArray[np.floating[Any]]

_BLOCK = 2**20  # elements of a matrix that are converted at a time: they stay in the CPU's cache


@dataclass(frozen=True)
class Standardiser:
    """The map x → (x − mean) / spread, feature by feature.

    Attributes
    ----------
    mean, spread : float32 arrays of shape (d,)
        `spread` is positive.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def apply(self, x: Matrix) -> NDArray[np.float32]:
        """Return the standardised rows of `x` (n, d) as a new float32 array, made block by block."""
        result = np.empty(x.shape, dtype=np.float32)
        for block in row_blocks(x):
            np.subtract(x[block], self.mean, out=result[block], casting="same_kind")
            result[block] /= self.spread
        return result


def standardise(train: Matrix) -> Standardiser:
    """Fit a standardiser to the rows of `train`, shape (n, d).

    Coates, Lee and Ng (2011) use (x − mean)/√(var + 0.01), which presumes features of their scale. Here the features
    are first divided by one number s, the root of the mean over the features of their variances, so that x becomes
    (x − mean)/√(var + 0.01·s²). Because s multiplies with the features, does not depend on their order and is blind to
    what is added to one of them, none of these changes the result. Features that are all constant become 0.

    Raises
    ------
    Diverged
        If `train` holds NaN or infinite values.
    """
    mean = np.zeros(train.shape[1])
    for block in row_blocks(train):
        mean += train[block].sum(axis=0, dtype=np.float64)
    mean /= len(train)
    if not np.isfinite(mean).all():
        raise Diverged("the features hold NaN or infinite values")
    variance = np.zeros(train.shape[1])
    for block in row_blocks(train):
        variance += np.square(train[block] - mean).sum(axis=0)
    variance /= len(train)
    overall = float(variance.mean())
    spread = np.sqrt(variance + 0.01 * overall) if overall > 0 else np.ones_like(variance)
    return Standardiser(mean.astype(np.float32), spread.astype(np.float32))


def row_blocks(x: Matrix) -> Iterator[slice]:
    """Yield slices of rows that go through `x` in blocks of about a million elements."""
    step = max(1, _BLOCK // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        yield slice(start, start + step)
