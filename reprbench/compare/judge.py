"""Whether the rows of one store are worse than the same rows of another: tests, tolerances and verdicts.

A row is **worse** if its mean is worse than before by more than the tolerance, and the difference cannot be put down
to chance: the test's p value, adjusted by Holm's method for all that are compared, is below 0.05. Where there is only
one value to compare no test is possible, and the tolerance alone decides. A row that was measured before and is not
measured now (its trial failed, or its protocol or metric is missing) is worse as well. A row that only one store has is
told, and is neither better nor worse. A metric without a direction is shown and never judged; nor are two single
values of different seeds, unless a tolerance says how much seeds may differ.

The test is paired over the folds that both stores share (corrected resampled t-test, see
`reprbench.report.statistics`). It speaks about other labeled images for *these two fits*. With equal seeds that is what
is wanted: nothing but the code differs. Fits of other seeds differ by more than their folds tell: `seeds_t_test`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from reprbench.compare.match import (
    Matched,
    Pair,
    Result,
    RowKey,
    Selection,
    Series,
    differing,
    match,
    read_rows,
)
from reprbench.errors import UserError, did_you_mean
from reprbench.report.statistics import corrected_resampled_t_test, holm, seeds_t_test
from reprbench.store import Store

ALPHA = 0.05
"""The probability, at most, that any row at all is called worse or better where nothing differs but chance."""

Verdict = Literal["worse", "better", "same", "not judged"]
ORDER: tuple[Verdict, ...] = ("worse", "better", "same", "not judged")


@dataclass(frozen=True)
class Settings:
    """What is compared, and how.

    Attributes
    ----------
    selection : which measurements.
    tolerances : by metric, in its unit; 0 where none is given.
    ignore_seeds : whether rows are matched over their seeds.
    """

    selection: Selection = field(default_factory=Selection)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    ignore_seeds: bool = False


class Comparison(Struct, frozen=True):
    """One measurement of one row in both stores.

    Attributes
    ----------
    benchmark, label, dataset, protocol, seeds : which row; the seeds in BASE and in NEW.
    metric, at, unit, better : which measurement; empty where a whole evaluation is missing.
    base, new : means over the shared folds, and over seeds; None where nothing was measured.
    folds : how many are shared; 0 for a value that belongs to no fold.
    p : of the test; None where there was none.
    adjusted : p, adjusted for all comparisons of the report.
    tolerance : what was allowed.
    verdict : what follows.
    notes : what a reader must be told.
    """

    benchmark: str
    label: str
    dataset: str
    protocol: str
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    metric: str = ""
    at: str = ""
    unit: str = ""
    better: str = "neither"
    base: float | None = None
    new: float | None = None
    folds: int = 0
    p: float | None = None
    adjusted: float | None = None
    tolerance: float = 0.0
    verdict: Verdict = "same"
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """NEW minus BASE."""
        return None if self.base is None or self.new is None else self.new - self.base

    @property
    def of_other_seeds(self) -> bool:
        """Whether the fits of BASE and NEW differ by their seeds."""
        return self.seeds[0] != self.seeds[1]

    @property
    def gain(self) -> float:
        """How much better NEW is; negative where it is worse."""
        return (self.difference or 0.0) * (-1 if self.better == "lower" else 1)


@dataclass(frozen=True)
class Report:
    """All comparisons, the worst first, and what does not compare."""

    comparisons: tuple[Comparison, ...]
    only_base: tuple[RowKey, ...]
    only_new: tuple[RowKey, ...]
    notes: tuple[str, ...]
    ignore_seeds: bool

    def count(self, verdict: Verdict) -> int:
        """Return how many comparisons ended so."""
        return sum(comparison.verdict == verdict for comparison in self.comparisons)

    @property
    def status(self) -> int:
        """The exit status: 0 no worse, 1 worse, 3 nothing that compares."""
        if self.count("worse"):
            return 1
        compared = any(c.difference is not None or c.verdict == "better" for c in self.comparisons)
        return 0 if compared else 3


def compare(base: Store, new: Store, settings: Settings, problems: list[str]) -> Report:
    """Compare two stores; a line for each file that cannot be read goes to `problems`.

    Raises
    ------
    UserError
        If a metric is named that neither store has.
    """
    metrics: set[str] = set()
    before, after = (
        read_rows(store.each(problems), settings.selection, settings.ignore_seeds, metrics) for store in (base, new)
    )
    _check_names([*settings.selection.metrics, *settings.tolerances], metrics)
    return compare_rows(match(before, after), settings)


def compare_rows(matched: Matched, settings: Settings) -> Report:
    """Compare what was matched."""
    found = [comparison for pair in matched.pairs for comparison in _compare_pair(pair, settings)]
    adjusted = iter(holm([comparison.p for comparison in found if comparison.p is not None]).tolist())
    judged = [judge(comparison, next(adjusted) if comparison.p is not None else None) for comparison in found]
    judged.sort(key=lambda c: (ORDER.index(c.verdict), c.difference is not None, c.adjusted or 0.0, c.gain))
    before = [result for pair in matched.pairs if pair.new for result in pair.base]
    after = [result for pair in matched.pairs for result in pair.new]
    notes = differing(before, after)
    return Report(tuple(judged), matched.only_base, matched.only_new, tuple(notes), settings.ignore_seeds)


def judge(comparison: Comparison, adjusted: float | None) -> Comparison:
    """Return the comparison with its verdict, as the module's docstring defines it.

    One whose verdict does not depend on its values (a failure, two versions of a protocol) keeps it.

    Parameters
    ----------
    adjusted : its p value, adjusted for all that are compared; None without a test.
    """
    if comparison.difference is None:
        return comparison
    verdict: Verdict = "worse" if comparison.gain < 0 else "better"
    # 60 − 59.5 is not 0.5 in binary.
    if (adjusted is not None and adjusted >= ALPHA) or abs(comparison.gain) <= comparison.tolerance * (1 + 1e-9):
        verdict = "same"
    if comparison.better == "neither" or (adjusted is None and comparison.of_other_seeds and not comparison.tolerance):
        verdict = "not judged"
    return replace(comparison, adjusted=adjusted, verdict=verdict)


def _compare_pair(pair: Pair, settings: Settings) -> list[Comparison]:
    """Compare all measurements of a row under a protocol."""
    first = pair.base[0]
    about = Comparison(
        benchmark=first.row.benchmark,
        label=first.row.label,
        dataset=first.dataset,
        protocol=first.protocol,
        seeds=(tuple(result.seed for result in pair.base), tuple(result.seed for result in pair.new)),
        notes=tuple(_row_notes(pair)),
    )
    before, after = ([result for result in side if not result.failure] for side in (pair.base, pair.new))
    if not before:
        word = "fixed" if after else "not measured in either"
        return [_unmeasured(about, "better" if after else "not judged", f"{word}; BASE: {first.failure}")]
    compared: list[Comparison] = []
    failed = [result for result in pair.new if result.failure]
    if not pair.new:
        return [_unmeasured(about, "worse", "not evaluated in NEW")]
    # Over seeds the shares are compared: one more seed in NEW may not fail where all were fine.
    if len(failed) * len(pair.base) > (len(pair.base) - len(before)) * len(pair.new):
        reasons = "; ".join(f"seed {result.seed}: {result.failure}" for result in failed)
        compared.append(_unmeasured(about, "worse", failed[0].failure if len(pair.new) == 1 else reasons))
    if not after:
        return compared
    was, now = ({result.version for result in side} for side in (before, after))
    if was != now or len(was) > 1:
        return [*compared, _unmeasured(about, "not judged", f"the protocol's version differs: {was} and {now}")]
    return [*compared, *(_compare_series(key, before, after, about, settings) for key in before[0].series)]


def _unmeasured(about: Comparison, verdict: Verdict, note: str) -> Comparison:
    return replace(about, verdict=verdict, notes=(note, *about.notes))


def _row_notes(pair: Pair) -> list[str]:
    """Return what differs between the two sides of a row, besides its numbers."""
    if not pair.new:
        return []
    notes = []
    if (was := pair.base[0].row.call) != (now := pair.new[0].row.call):
        notes.append(f"its parameters changed: {was} → {now}")
    if {result.source for result in pair.base} != {result.source for result in pair.new}:
        notes.append("the method's code changed")
    return notes


def _compare_series(
    key: tuple[str, str], before: Sequence[Result], after: Sequence[Result], about: Comparison, settings: Settings
) -> Comparison:
    """Compare the measurements of one metric at the same coordinates."""
    metric, at = key
    known = before[0].series[key]
    sides = [[result.series[key] for result in side if key in result.series] for side in (before, after)]
    named: dict[str, Any] = {"metric": metric, "at": at, "unit": known.unit, "better": known.better}
    if not sides[1]:
        verdict: Verdict = "not judged" if known.better == "neither" else "worse"
        return _unmeasured(replace(about, **named), verdict, "not measured in NEW")
    folds = _shared_folds([*sides[0], *sides[1]])
    if not folds:
        return _unmeasured(replace(about, **named), "not judged", "no fold is shared")
    base, new = ([[series.values[fold] for fold in folds] for series in side] for side in sides)
    return replace(
        about,
        **named,
        base=_mean(base),
        new=_mean(new),
        folds=0 if folds == [None] else len(folds),
        p=None if known.better == "neither" else _p_value(base, new, before[0].ratio, settings.ignore_seeds),
        tolerance=settings.tolerances.get(metric, 0.0),
    )


def _shared_folds(series: Sequence[Series]) -> list[int | None]:
    """Return the folds that all have, in the order of the first."""
    shared = set(series[0].values).intersection(*(other.values for other in series[1:]))
    return [fold for fold in series[0].values if fold in shared]


def _mean(values: list[list[float]]) -> float:
    return math.fsum(map(math.fsum, values)) / (len(values) * len(values[0]))


def _p_value(base: list[list[float]], new: list[list[float]], ratio: float, ignore_seeds: bool) -> float | None:
    if ignore_seeds:
        result = seeds_t_test(np.array(base), np.array(new), ratio)
        return None if result is None else result.p
    differences = [after - before for before, after in zip(base[0], new[0], strict=True)]
    return None if len(differences) == 1 else corrected_resampled_t_test(differences, ratio).p


def _check_names(names: Sequence[str], known: set[str]) -> None:
    """Raise a `UserError` for the names of metrics that nothing measured; with nothing measured, any name will do."""
    wrong = [name for name in names if known and name not in known]
    if wrong:
        raise UserError(
            "\n".join(f"no metric {name!r} in these stores.{did_you_mean(name, known)}" for name in wrong)
            + f"\nThey have: {', '.join(sorted(known))}"
        )
