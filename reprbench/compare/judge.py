"""Whether the rows of one store are worse than the same rows of another: tests, tolerances and verdicts.

A row is **worse** if its mean is worse than before by more than the tolerance, and the difference cannot be put down
to chance: the test's p value, adjusted by Holm's method for all that are compared, is below 0.05. Where there is only
one value to compare no test is possible, and the tolerance alone decides. A row that was measured before and is not
measured now (its trial failed, or its protocol or metric is missing) is worse as well. A row that only one store has is
listed, and is neither better nor worse. A metric without a direction is shown and never judged; nor are two single
values of different seeds, unless a tolerance says how much seeds may differ.

The test is paired over the folds that both stores share (corrected resampled t-test, see
`reprbench.report.statistics`). It generalizes to other labeled images for *these two fits*. With equal seeds that is
what is wanted: nothing but the code differs. Fits with different seeds differ by more than their folds show; for them
see `seeds_t_test`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced

import numpy as np
from msgspec.structs import replace

from reprbench.compare.comparison import ORDER, ComparisonVerdict, RowComparison, StoreComparison
from reprbench.compare.environment import differing
from reprbench.compare.match import (
    Matched,
    Pair,
    ProtocolResult,
    Selection,
    SeriesKey,
    match,
    read_rows,
)
from reprbench.errors import UserError, did_you_mean
from reprbench.report.measured import shared_folds
from reprbench.report.significance import corrected_resampled_t_test, holm, seeds_t_test
from reprbench.store import Store
from reprbench.trial import Code, MethodRecord, Trial

ALPHA = 0.05
"""The highest probability that any row at all is called worse or better by chance alone."""


@dataclass(frozen=True)
class CompareSettings:
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


def compare(base: Store, new: Store, settings: CompareSettings, problems: list[str]) -> StoreComparison:
    """Compare two stores; a line for each trial that cannot be relied upon goes to `problems`.

    Raises
    ------
    UserError
        If a metric is named that neither store has.
    """
    before, after = (
        read_rows(_each(store, problems), settings.selection, settings.ignore_seeds) for store in (base, new)
    )
    matched = match(before, after)
    _check_names([*settings.selection.metrics, *settings.tolerances], matched.metrics)
    return replaced(compare_rows(matched, settings), unreliable=tuple(problems))


def _each(store: Store, problems: list[str]) -> Iterator[Trial]:
    """Yield the trials of a store; name those that cannot be read, or were changed by hand."""
    for trial in store.each(problems):
        if trial.changed_by_hand:
            problems.append(f"{store.shown(trial.path)}: changed by hand")
        yield trial


def compare_rows(matched: Matched, settings: CompareSettings) -> StoreComparison:
    """Compare what was matched."""
    found = [comparison for pair in matched.pairs for comparison in _compare_pair(pair, settings)]
    adjusted = iter(holm([comparison.p for comparison in found if comparison.p is not None]).tolist())
    judged = [judge(comparison, next(adjusted) if comparison.p is not None else None) for comparison in found]
    judged.sort(key=lambda c: (ORDER.index(c.verdict), c.difference is not None, c.adjusted or 0.0, c.gain))
    before = (result.trial.environment for pair in matched.pairs if pair.new for result in pair.base)
    after = (result.trial.environment for pair in matched.pairs for result in pair.new)
    notes = tuple(differing(before, after))
    return StoreComparison(tuple(judged), matched.only_base, matched.only_new, notes, settings.ignore_seeds)


def judge(comparison: RowComparison, adjusted: float | None) -> RowComparison:
    """Return the comparison with its verdict, as the module's docstring defines it.

    One whose verdict does not depend on its values (a failure, two versions of a protocol) keeps it.

    Parameters
    ----------
    adjusted : its p value, adjusted for all that are compared; None without a test.
    """
    if comparison.difference is None:
        return comparison
    verdict: ComparisonVerdict = "worse" if comparison.gain < 0 else "better"
    # 60 − 59.5 is not 0.5 in binary.
    if (adjusted is not None and adjusted >= ALPHA) or abs(comparison.gain) <= comparison.tolerance * (1 + 1e-9):
        verdict = "same"
    if comparison.better == "neither" or (adjusted is None and comparison.seeds_differ and not comparison.tolerance):
        verdict = "not judged"
    return replace(comparison, adjusted=adjusted, verdict=verdict)


def _compare_pair(pair: Pair, settings: CompareSettings) -> Iterator[RowComparison]:
    """Yield the comparisons of all measurements of a row under a protocol."""
    about = _about(pair)
    before, after = ([result for result in side if not result.failure] for side in (pair.base, pair.new))
    if not before:
        word = "fixed" if after else "not measured in either"
        yield _unmeasured(about, "better" if after else "not judged", f"{word}; BASE: {pair.base[0].failure}")
        return
    if not pair.new:
        yield _unmeasured(about, "worse", "not evaluated in NEW")
    # Over seeds, the shares of failures are compared: a seed that only NEW has must not fail if all were fine.
    if (len(pair.new) - len(after)) * len(pair.base) > (len(pair.base) - len(before)) * len(pair.new):
        yield _unmeasured(about, "worse", _failures(pair.new))
    if not after:
        return
    was, now = (list(dict.fromkeys(result.code for result in side)) for side in (before, after))
    if len(was) > 1 or was != now:
        versions = f"{_listed(was)} in BASE, {_listed(now)} in NEW"
        yield _unmeasured(about, "not judged", f"the protocol's version differs: {versions}")
        return
    for key in dict.fromkeys(key for result in before for key in result.series):
        yield _compare_series(key, before, after, about, settings)


def _about(pair: Pair) -> RowComparison:
    """Return what all comparisons of a row under a protocol have in common."""
    return RowComparison(
        row=pair.row,
        dataset=pair.base[0].trial.dataset,
        protocol=pair.protocol,
        seeds=(_seeds(pair.base), _seeds(pair.new)),
        notes=tuple(_method_notes(pair)),
    )


def _seeds(results: Sequence[ProtocolResult]) -> tuple[int, ...]:
    return tuple(result.trial.seed for result in results)


def _unmeasured(about: RowComparison, verdict: ComparisonVerdict, note: str) -> RowComparison:
    return replace(about, verdict=verdict, notes=(note, *about.notes))


def _failures(results: Sequence[ProtocolResult]) -> str:
    """Return why nothing was measured; of several seeds, for each one that failed."""
    failed = [result for result in results if result.failure]
    if len(results) == 1:
        return failed[0].failure
    return "; ".join(f"seed {result.trial.seed}: {result.failure}" for result in failed)


def _method_notes(pair: Pair) -> list[str]:
    """Return how the method of a row differs between the two sides."""
    before, after = ([result.trial.method for result in side] for side in (pair.base, pair.new))
    if not after:
        return []
    notes = []
    was, now = (list(dict.fromkeys(method.call for method in side)) for side in (before, after))
    if _differ(was, now):
        what = "parameters" if {call.name for call in was} == {call.name for call in now} else "method"
        notes.append(f"its {what} changed: {_listed(was)} → {_listed(now)}")
    elif changed := _changed_defaults(before[0], after[0]):
        notes.append(f"its parameters changed: {', '.join(changed)}")
    if _code_differs([method.code for method in before], [method.code for method in after]):
        notes.append("the method's code changed")
    return notes


def _changed_defaults(was: MethodRecord, now: MethodRecord) -> list[str]:
    """Return the parameters that differ although the calls do not."""
    names = sorted({*was.parameters, *now.parameters})
    return [
        f"{name} {was.parameters.get(name, 'absent')} → {now.parameters.get(name, 'absent')}"
        for name in names
        if was.parameters.get(name) != now.parameters.get(name)
    ]


def _code_differs(before: Sequence[Code], after: Sequence[Code]) -> bool:
    """Return whether the code changed; a version and a digest, from trials of two schemas, are not comparable."""
    comparable = {code.version is None for code in before} == {code.version is None for code in after}
    return comparable and _differ(before, after)


def _differ(before: Sequence[object], after: Sequence[object]) -> bool:
    """Return whether one side has a value that the other lacks."""
    return any(value not in after for value in before) or any(value not in before for value in after)


def _listed(values: Sequence[object]) -> str:
    return " and ".join(map(str, values))


def _compare_series(
    key: SeriesKey,
    before: Sequence[ProtocolResult],
    after: Sequence[ProtocolResult],
    about: RowComparison,
    settings: CompareSettings,
) -> RowComparison:
    """Compare the measurements of one metric at the same coordinates."""
    metric, at = key
    was, now = ([result.series[key] for result in side if key in result.series] for side in (before, after))
    about = replace(about, metric=metric, at=dict(at), unit=was[0].unit, better=was[0].better)
    if not now:
        return _unmeasured(about, "not judged" if about.better == "neither" else "worse", "not measured in NEW")
    about = replace(about, notes=(*_seeds_without(key, before, after), *about.notes))
    folds = shared_folds([series.values for series in (*was, *now)])
    if not folds:
        return _unmeasured(about, "not judged", "no fold is shared")
    base, new = ([[series.values[fold] for fold in folds] for series in side] for side in (was, now))
    ratio = before[0].trial.ratio
    return replace(
        about,
        base=_mean(base),
        new=_mean(new),
        folds=0 if folds == [None] else len(folds),
        p=None if about.better == "neither" else _p_value(base, new, ratio, settings.ignore_seeds),
        tolerance=settings.tolerances.get(metric, 0.0),
    )


def _seeds_without(key: SeriesKey, before: Sequence[ProtocolResult], after: Sequence[ProtocolResult]) -> Iterator[str]:
    """Yield a note for each side with seeds that lack this measurement, and so are not compared."""
    for side, results in (("BASE", before), ("NEW", after)):
        lacking = [str(result.trial.seed) for result in results if key not in result.series]
        if lacking:
            yield f"not measured in {side} with seed{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}"


def _mean(values: list[list[float]]) -> float:
    return math.fsum(map(math.fsum, values)) / (len(values) * len(values[0]))


def _p_value(base: list[list[float]], new: list[list[float]], ratio: float, ignore_seeds: bool) -> float | None:
    if ignore_seeds:
        result = seeds_t_test(np.array(base), np.array(new), ratio)
        return None if result is None else result.p
    differences = [after - before for before, after in zip(base[0], new[0], strict=True)]
    return None if len(differences) == 1 else corrected_resampled_t_test(differences, ratio).p


def _check_names(names: Sequence[str], known: frozenset[str]) -> None:
    """Raise a `UserError` for metrics that nothing measured; if nothing was measured at all, any name is accepted."""
    wrong = [name for name in names if known and name not in known]
    if wrong:
        raise UserError(
            "\n".join(f"no metric {name!r} in these stores.{did_you_mean(name, known)}" for name in wrong)
            + f"\nThey have: {', '.join(sorted(known))}"
        )
