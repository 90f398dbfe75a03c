"""Which row of a table is the best, and which rows do not differ significantly from it, by tests on shared folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reprbench.measurement import Better
from reprbench.report.measured import ByFold, shared_folds
from reprbench.report.significance import corrected_resampled_t_test, holm, wilcoxon

ALPHA = 0.05

Place = Literal["best", "tie", "other", "untested"]
Test = Literal["t", "wilcoxon"]
"""Of the differences per fold: the corrected resampled t-test, or Wilcoxon's, which treats folds as independent."""


@dataclass(frozen=True)
class Standing:
    """How a method compares with the best of its table.

    Attributes
    ----------
    place : "best" if it differs significantly from every other competing method; "tie" if it is the best, or does not
        differ significantly from it; "other" if it does; "untested" if it does not compete.
    p : p value of the test against the best, after Holm's correction; None for the best itself and for the untested.
    """

    place: Place = "untested"
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What was tested.

    Attributes
    ----------
    best : the name of the method with the best mean.
    comparisons : how many comparisons Holm's correction is for.
    ratio : overlap ratio of the folds, see `reprbench.report.statistics`.
    test : which test it was.
    """

    best: str
    comparisons: int
    ratio: float
    test: Test


def compare(
    methods: Mapping[int, ByFold], better: Better, names: Sequence[str], ratio: float, test: Test = "t"
) -> tuple[dict[int, Standing], Comparison | None]:
    """Test each method against the one with the best mean; return the standings, and what was tested.

    The values of a method's seeds are averaged fold by fold, so the test says nothing about other seeds. Nothing is
    tested if the metric has no direction, if fewer than two methods compete, or if one shares fewer than two folds
    with the best; then no method is called the best.

    Parameters
    ----------
    methods : the values by fold of each competing method, by its place among the `names`; with several seeds their
        mean, on the folds that all of them have.
    ratio : overlap ratio of the folds, see `reprbench.report.statistics`.
    """
    if len(methods) < 2 or better == "neither":
        return {}, None
    sign = -1.0 if better == "lower" else 1.0
    best = max(methods, key=lambda place: sign * float(np.mean(list(methods[place].values()))))
    others = [place for place in methods if place != best]
    p_values = [_p_value(methods[best], methods[other], ratio, test) for other in others]
    tested = [p for p in p_values if p is not None]
    if len(tested) < len(others):
        return {}, None
    adjusted = dict(zip(others, map(float, holm(tested)), strict=True))
    standings = {place: Standing("other" if p < ALPHA else "tie", p) for place, p in adjusted.items()}
    alone = all(p < ALPHA for p in adjusted.values())
    standings[best] = Standing("best" if alone else "tie")
    return standings, Comparison(names[best], len(others), ratio, test)


def _p_value(best: ByFold, other: ByFold, ratio: float, test: Test) -> float | None:
    """Return the p value of the difference on shared folds; None if there are fewer than two."""
    shared = [fold for fold in shared_folds([best, other]) if fold is not None]
    if len(shared) < 2:
        return None
    differences = [best[fold] - other[fold] for fold in shared]
    result = wilcoxon(differences) if test == "wilcoxon" else corrected_resampled_t_test(differences, ratio)
    return result.p
