"""Compares a measured value with a published one.

Every reference of Table 1 lists differences ("widths … are ours"), since a paper leaves much unsaid. These do not
prevent a comparison; they are shown with the verdict, so that nobody reads "reproduced" as "repeated in every detail".
Not comparable are rows that are not the benchmark's, because of other data, fewer images, another protocol, budget or
width (their *deviations*), and values in another unit. What the benchmark itself sets for a row is not a deviation.

The verdict is a test of equivalence: the measured interval must lie inside the tolerance for "reproduced", and outside
for "above" and "below". So noise makes each of them rarer, and "inconclusive" more frequent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reprbench.benchmark import Reference
from reprbench.report.statistics import Summary

Word = Literal["reproduced", "above", "below", "inconclusive", "one seed", "two seeds", "not comparable", "not run"]

FEWEST_SEEDS = 3
"""With fewer there is a difference, and no verdict: two seeds do not show how much fits differ."""

SPREADS = 2
"""The tolerance that is not stated, in published standard deviations: about 95 % of the published folds lie within."""


@dataclass(frozen=True)
class Verdict:
    """A word, and what it is based on.

    Attributes
    ----------
    word : the verdict.
    difference : measured minus published, in the metric's unit; None if nothing was measured.
    half_width : half of the 95 % interval of the difference.
    tolerance : how large a difference still counts as reproduced; None if neither that nor a spread is published.
    detectable : how far beyond the tolerance the true mean must be to be called above or below with 80 % probability.
    because : why the values are not comparable, or what differs although they are.
    """

    word: Word
    difference: float | None = None
    half_width: float | None = None
    tolerance: float | None = None
    detectable: float | None = None
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.word


def judge(
    reference: Reference,
    measured: Summary | None,
    unit: str,
    deviations: tuple[str, ...],
    seeds: int,
    reason: str = "",
) -> Verdict:
    """Return the verdict on one row.

    Parameters
    ----------
    measured : mean and interval over seeds and folds; None if the row holds no value.
    deviations : of the trial from its benchmark, in words (`Deviation.from_benchmark`).
    seeds : how many it is over.
    reason : why there is no value.
    """
    if measured is None:
        return Verdict("not run", because=(reason,) if reason else ())
    difference = measured.mean - reference.value
    if unit != "%":
        return Verdict("not comparable", because=(f"measured in {unit or 'no unit'}, published in %",))
    if deviations:
        return Verdict("not comparable", difference, because=deviations)
    tolerance = tolerance_of(reference)
    word: Word = "one seed" if seeds == 1 else "two seeds"
    if seeds >= FEWEST_SEEDS:
        word = _word(difference, measured.half_width, tolerance)
    return Verdict(word, difference, measured.half_width, tolerance, measured.detectable, because=reference.differences)


def tolerance_of(reference: Reference) -> float | None:
    """Return how large a difference counts as reproduced: as stated, or else from the published spread."""
    if reference.tolerance is not None:
        return reference.tolerance
    return None if reference.spread is None else SPREADS * reference.spread


def _word(difference: float, half_width: float | None, tolerance: float | None) -> Word:
    """Return the verdict by where the interval of the difference lies; without a tolerance, none is reproduced."""
    if half_width is None:
        return "inconclusive"
    if tolerance is not None and abs(difference) + half_width <= tolerance:
        return "reproduced"
    if abs(difference) - half_width > (tolerance or 0.0):
        return "above" if difference > 0 else "below"
    return "inconclusive"
