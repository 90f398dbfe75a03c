"""Statistics of the codes of one layer: how many directions and units they use, and how sparsely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprbench.features import Matrix
from reprbench.probes.spectra import rank_me, representatives, spectrum
from reprbench.probes.standardize import row_blocks

DEAD = 1e-5
"""A unit whose values differ by no more than this share of its largest magnitude is constant: in float32, means over
the positions of a map are equal up to some 1e-6 only."""


@dataclass(frozen=True)
class LayerStats:
    """The statistics of one layer.

    Attributes
    ----------
    units : columns of its matrix.
    dead : how many of them are constant over all images.
    ranked : the number of units behind RankMe; fewer than `units` in a layer of more than `spectra.MOST_UNITS`.
    rank_me : see `spectra.rank_me`; 1 if all those units are constant, 0 if they are 0.
    lifetime_sparsity : in [0, 1]; None with fewer than two images or without a live unit.
    population_sparsity : in [0, 1]; None with fewer than two live units, or if these are 0 for every image.
    """

    units: int
    dead: int
    ranked: int
    rank_me: float
    lifetime_sparsity: float | None
    population_sparsity: float | None


def layer_stats(codes: Matrix, device: str = "cpu") -> LayerStats:
    """Return the statistics of the codes (images, units), which are read several times, in blocks.

    RankMe, which takes by far the most time, is computed on `device`.
    """
    images, units = codes.shape
    low, high = np.full(units, np.inf), np.full(units, -np.inf)
    magnitudes, squares = np.zeros(units), np.zeros(units)
    for _, values in row_blocks(codes):
        block = values.astype(np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        magnitudes += np.abs(block).sum(axis=0)
        squares += np.square(block).sum(axis=0)
    live = high - low > DEAD * np.maximum(np.abs(low), np.abs(high))
    lifetime = None
    if images > 1 and live.any():
        lifetime = float(_sparsity(magnitudes[live], squares[live], images).mean())
    ranked = representatives(units, "code-stats units")
    return LayerStats(
        units=units,
        dead=int(units - live.sum()),
        ranked=len(ranked),
        rank_me=rank_me(spectrum(codes, ranked, centered=False, device=device)),
        lifetime_sparsity=lifetime,
        population_sparsity=_population_sparsity(codes, live),
    )


def _population_sparsity(codes: Matrix, live: NDArray[np.bool_]) -> float | None:
    count = int(live.sum())
    if count < 2:
        return None
    found = []
    for _, values in row_blocks(codes):
        block = values[:, live].astype(np.float64)
        magnitudes, squares = np.abs(block).sum(axis=1), np.square(block).sum(axis=1)
        active = squares > 0
        found.append(_sparsity(magnitudes[active], squares[active], count))
    sparsities = np.concatenate(found)
    return float(sparsities.mean()) if len(sparsities) else None


def _sparsity(magnitudes: NDArray[np.float64], squares: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return S from the sums of |a| and a² over `count` values, at least one of which is not 0."""
    activity = np.square(magnitudes / count) / (squares / count)
    # Only rounding leads out of [0, 1].
    return np.clip((1 - activity) / (1 - 1 / count), 0, 1)
