"""Compares a measured value with a published one.

Every reference of Table 1 lists differences ("widths … are ours"), since a paper leaves much unsaid. These do not
prevent a comparison; they are shown with the verdict, so that nobody reads "reproduced" as "repeated in every detail".
Not comparable are rows that are not the benchmark's, because of other data, fewer images, another protocol, budget or
width (their *deviations*), and values in another unit. What the benchmark itself sets for a row is not a deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reprbench.benchmark import Reference
from reprbench.report.statistics import Summary, half_width
from reprbench.report.text import fixed

Word = Literal["reproduced", "above", "below", "not comparable", "not run"]


@dataclass(frozen=True)
class Verdict:
    """A word, and what it is based on.

    Attributes
    ----------
    word : the verdict.
    difference : measured minus published, in the metric's unit; None if nothing was measured.
    margin : how large a difference still counts as reproduced.
    because : why the values are not comparable, or what differs although they are.
    """

    word: Word
    difference: float | None = None
    margin: float | None = None
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.difference is None or self.word not in ("reproduced", "above", "below"):
            return self.word
        return f"{self.word} ({fixed(self.difference, sign='+')})"


def judge(
    reference: Reference,
    measured: Summary | None,
    unit: str,
    deviations: tuple[str, ...],
    ratio: float,
    reason: str = "",
) -> Verdict:
    """Return the verdict on one row.

    The values agree if their difference lies within the combined 95 % interval √(h² + h_ref²), or within the
    reference's tolerance if it states a larger one. h_ref comes from the published standard deviation, assumed to
    be over as many folds with the same overlap as ours; without one, the published value counts as exact.

    Parameters
    ----------
    measured : mean and interval; None if the row holds no value.
    deviations : of the trial from its benchmark, in words (`Deviation.from_benchmark`).
    ratio : overlap ratio of the folds, see `reprbench.report.statistics`.
    reason : why there is no value.
    """
    if measured is None:
        return Verdict("not run", because=(reason,) if reason else ())
    difference = measured.mean - reference.value
    if unit != "%":
        return Verdict("not comparable", because=(f"measured in {unit or 'no unit'}, published in %",))
    if deviations:
        return Verdict("not comparable", difference, None, deviations)
    published = half_width(reference.spread, measured.n, ratio) if reference.spread is not None else None
    margin = max(math.hypot(measured.half_width or 0.0, published or 0.0), reference.tolerance or 0.0)
    if measured.half_width is None and reference.tolerance is None:
        because = ("a single fold or training set: no interval, and no tolerance is stated", *reference.differences)
        return Verdict("not comparable", difference, None, because)
    word: Word = "reproduced" if abs(difference) <= margin else "above" if difference > 0 else "below"
    return Verdict(word, difference, margin, reference.differences)
