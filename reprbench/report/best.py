"""Which row of a table is the best, and which rows are not told apart from it, by tests on shared seeds and folds.

With several seeds, a difference of two methods is that of their values of the same seed and fold, so it generalizes to
other seeds and other labeled images (`seed_parts`). Folds of one seed say nothing about another fit of the learner:
where no method has several seeds, the test on folds shows which rows not even they tell apart, and no row is the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reprbench.measurement import Better
from reprbench.report.measured import ByFold, over_seeds, shared_folds
from reprbench.report.significance import against_the_best, parts_test, wilcoxon
from reprbench.report.statistics import Floats, detectable, seed_parts

ALPHA = 0.05

Place = Literal["best", "tie", "other", "untested"]
Test = Literal["t", "wilcoxon"]
"""Of the differences: by the parts of their variance, or Wilcoxon's signed ranks, over seeds if there are several."""

BySeed = Mapping[int, ByFold]
"""The values by fold of each seed."""


@dataclass(frozen=True)
class Standing:
    """How a method compares with the best of its table.

    Attributes
    ----------
    place : "best" if every other competing method is told apart from it; "tie" if it has the best mean, or is not told
        apart from that; "other" if it is; "untested" if it does not compete.
    p : p value of the test against the best mean, adjusted for all pairs; None for the best mean itself, for the
        untested, and where too little is shared for a test.
    seeds, folds : how many it shares with the best mean, on which it was tested; one seed: on folds only.
    """

    place: Place = "untested"
    p: float | None = None
    seeds: int = 0
    folds: int = 0


@dataclass(frozen=True)
class BestTest:
    """What was tested.

    Attributes
    ----------
    best : the name of the method with the best mean.
    methods : how many compete; p values are adjusted for all pairs of them.
    seeds, folds : the numbers of those shared with the best mean, ascending, each once. One seed: no method has more,
        the test is on folds only, and no row is the best. None: some have more, and no test; all are `untold`.
    ratio : overlap ratio of the folds, see `reprbench.report.statistics`.
    test : which test it was.
    detectable : the difference from the best mean that would be told apart with 80 % probability, the median over the
        methods tested; None if that is not known.
    untold : the names of the methods that share too little with the best mean for a test, and count as ties.
    """

    best: str
    methods: int
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    ratio: float
    test: Test
    detectable: float | None = None
    untold: tuple[str, ...] = ()

    @property
    def over_seeds(self) -> bool:
        """Whether the test was over seeds; otherwise on folds only."""
        return self.seeds != (1,)


def compare(
    methods: Mapping[int, BySeed], better: Better, names: Sequence[str], ratio: float, test: Test = "t"
) -> tuple[dict[int, Standing], BestTest | None]:
    """Test each method against the one with the best mean; return the standings, and what was tested.

    Nothing is tested if the metric has no direction, if fewer than two methods compete, or if none shares enough with
    the best mean: two seeds, or where no method has several, two folds. Then no method has a standing.

    Parameters
    ----------
    methods : the values of each competing method, by its place among the `names`.
    ratio : overlap ratio of the folds, see `reprbench.report.statistics`.
    """
    if len(methods) < 2 or better == "neither":
        return {}, None
    sign = -1.0 if better == "lower" else 1.0
    best = max(methods, key=lambda place: sign * _mean(methods[place]))
    several = any(len(seeds) > 1 for seeds in methods.values())
    pair = _differences if several else _of_folds
    leads = {place: _Lead(sign * pair(methods[best], methods[place]), ratio) for place in methods if place != best}
    p_values = {place: lead.p_value(test, several) for place, lead in leads.items()}
    tested = [leads[place].values.shape for place, p in p_values.items() if p is not None]
    if not (tested or several):
        return {}, None
    power = [leads[place] for place, p in p_values.items() if p is not None and test == "t"]
    comparison = BestTest(
        best=names[best],
        methods=len(methods),
        seeds=tuple(sorted({seeds for seeds, _ in tested})),
        folds=tuple(sorted({folds for _, folds in tested})),
        ratio=ratio,
        test=test,
        detectable=_detectable(power, len(methods)),
        untold=tuple(names[place] for place, p in p_values.items() if p is None),
    )
    return _standings(best, leads, p_values, several) if tested else {}, comparison


def _standings(
    best: int, leads: Mapping[int, _Lead], p_values: Mapping[int, float | None], several: bool
) -> dict[int, Standing]:
    """Return the standings; a method without a p value is not told apart, and counts among those compared."""
    adjusted = against_the_best([1.0 if p is None else p for p in p_values.values()]).tolist()
    standings = {
        place: Standing("other" if p < ALPHA else "tie", None if p_values[place] is None else p, *lead.values.shape)
        for (place, lead), p in zip(leads.items(), adjusted, strict=True)
    }
    alone = several and all(one.place == "other" for one in standings.values())
    return {**standings, best: Standing("best" if alone else "tie")}


class _Lead:
    """The lead of the method with the best mean over another: differences of shape (seeds, folds), and their parts."""

    def __init__(self, values: Floats, ratio: float) -> None:
        self.values = values
        self.parts = seed_parts(values, ratio) if values.size else []

    def p_value(self, test: Test, several: bool) -> float | None:
        """Return the p value of the lead; None if too little is shared, 1 if the other method leads there."""
        seeds, folds = self.values.shape
        if not folds or (seeds if several else folds) < 2:
            return None
        mean = float(self.values.mean())
        if mean <= 0:
            return 1.0
        if test == "wilcoxon":
            return wilcoxon(self.values.mean(axis=1) if several else self.values[0]).p
        return parts_test(mean, self.parts).p


def _mean(seeds: BySeed) -> float:
    """Return the mean over seeds and the folds that all of them have."""
    return float(np.mean(list(over_seeds(list(seeds.values())).values())))


def _differences(best: BySeed, other: BySeed) -> Floats:
    """Return the differences by seed and fold, of shape (seeds, folds), of those that both methods have."""
    seeds = [seed for seed in best if seed in other]
    folds = shared_folds([*(best[seed] for seed in seeds), *(other[seed] for seed in seeds)]) if seeds else []
    found = [[best[seed][fold] - other[seed][fold] for fold in folds] for seed in seeds]
    return np.array(found, dtype=np.float64).reshape(len(seeds), len(folds))


def _of_folds(best: BySeed, other: BySeed) -> Floats:
    """Return the differences by fold, of shape (1, folds), of two methods with one seed each, maybe not the same."""
    one, two = (next(iter(seeds.values())) for seeds in (best, other))
    return _differences({0: one}, {0: two})


def _detectable(leads: Sequence[_Lead], methods: int) -> float | None:
    """Return the median over methods of the difference that is told apart with 80 % probability."""
    found = [detectable(lead.parts, ALPHA / math.comb(methods, 2)) for lead in leads]
    known = [one for one in found if one is not None]
    return float(np.median(known)) if known else None
