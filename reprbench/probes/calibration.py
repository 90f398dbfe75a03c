"""How far predicted probabilities are from the shares observed: bins, their gaps, and the errors of the shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of the probability, of equal width, as in C. Guo et al., "On calibration of modern neural networks" (2017)."""
EDGES = np.linspace(0, 1, BINS + 1)


@dataclass(frozen=True)
class Calibration:
    """Predictions in the non-empty bins of their probability.

    Attributes
    ----------
    predicted : float64 array (bins,), the mean probability of a bin.
    observed : float64 array (bins,), the share of its predictions that came true.
    counts : int64 array (bins,), of predictions.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]: the mean over predictions of |observed − predicted|."""
        share = self.counts / self.counts.sum()
        return float((share * np.abs(self.observed - self.predicted)).sum())

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """Of the observed shares."""
        spread: NDArray[np.float64] = np.sqrt(self.observed * (1 - self.observed) / self.counts)
        return spread


def calibration(probabilities: NDArray[np.float64], came_true: NDArray[np.bool_]) -> Calibration:
    """Sort predictions (m,) into the bins ((i − 1)/15, i/15] of their probability."""
    place = np.searchsorted(EDGES[1:-1], probabilities)
    counts = np.bincount(place, minlength=BINS)
    filled = counts > 0
    predicted, observed = (
        np.bincount(place, values, BINS)[filled] / counts[filled] for values in (probabilities, came_true)
    )
    return Calibration(predicted, observed, counts[filled])
