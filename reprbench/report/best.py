"""Which row of a table is the best, and which cannot be told apart from it: tests on the folds that rows share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from reprbench.report.measured import ByFold, fold_ratio
from reprbench.report.statistics import corrected_resampled_t_test, holm, wilcoxon
from reprbench.trial import DataRecord

if TYPE_CHECKING:
    from reprbench.report.row import Row

ALPHA = 0.05

Place = Literal["best", "tie", "other", "untested"]
Test = Literal["t", "wilcoxon"]
"""Of the differences by fold: the corrected resampled t-test, or Wilcoxon's, which takes folds for independent."""


@dataclass(frozen=True)
class Standing:
    """How a method stands to the best of its table.

    Attributes
    ----------
    place : "best" if the test tells it from every other that competes; "tie" if it is the best or not told apart from
        it; "other" if it is told apart; "untested" if it does not compete.
    p : of the test against the best, after Holm's correction; None for the best itself and for the untested.
    """

    place: Place = "untested"
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What was tested.

    Attributes
    ----------
    best : the label of the method with the best mean.
    comparisons : their number, which Holm's correction is for.
    ratio : of the folds, see `reprbench.report.statistics`.
    test : which test it was.
    """

    best: str
    comparisons: int
    ratio: float
    test: Test


def compare(
    rows: Sequence[Row], data: DataRecord, version: int, test: Test = "t"
) -> tuple[dict[tuple[str, ...], Standing], Comparison | None]:
    """Test each method against the one with the best mean; return standings by the rows' keys, and what was tested.

    All rows with a value under this `version` of the protocol compete, controls too: a control that wins is news.
    Supervised rows do not, since they have seen labels. The values of a method's seeds are averaged fold by fold, so
    the test does not speak about other seeds. Nothing is tested where there is no better and no worse, or where fewer
    than two methods compete, or where one shares fewer than two folds with the best: then nobody is called the best.
    """
    methods = _competitors(rows, version)
    directions = {row.better for row in rows if row.key in methods}
    if len(methods) < 2 or len(directions) != 1 or directions == {"neither"}:
        return {}, None
    sign = -1.0 if directions == {"lower"} else 1.0
    best = max(methods, key=lambda key: sign * float(np.mean(list(methods[key].values()))))
    others = [key for key in methods if key != best]
    ratio = fold_ratio(data)
    p_values = []
    for other in others:
        shared = [fold for fold in methods[best] if fold is not None and fold in methods[other]]
        if len(shared) < 2:
            return {}, None
        differences = [methods[best][fold] - methods[other][fold] for fold in shared]
        result = wilcoxon(differences) if test == "wilcoxon" else corrected_resampled_t_test(differences, ratio)
        p_values.append(result.p)
    adjusted = dict(zip(others, map(float, holm(p_values)), strict=True))
    standings = {key: Standing("other" if p < ALPHA else "tie", p) for key, p in adjusted.items()}
    alone = all(p < ALPHA for p in adjusted.values())
    standings[best] = Standing("best" if alone else "tie")
    return standings, Comparison(best[0], len(others), ratio, test)


def _competitors(rows: Sequence[Row], version: int) -> dict[tuple[str, ...], ByFold]:
    """Return the values by fold of each method that competes: over its seeds the mean, on the folds that all have."""
    values: dict[tuple[str, ...], list[ByFold]] = {}
    for row in rows:
        if row.mean is not None and not row.supervised and row.version == version:
            values.setdefault(row.key, []).append(row.by_fold)
    return {
        key: {fold: sum(one[fold] for one in seeds) / len(seeds) for fold in shared}
        for key, seeds in values.items()
        if (shared := [fold for fold in seeds[0] if all(fold in one for one in seeds)])
    }
