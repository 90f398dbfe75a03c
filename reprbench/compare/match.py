"""Matches the rows of two stores: trials are reduced to what can be compared, and paired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from reprbench.compare.environment import Environment, environment_of
from reprbench.measurement import FOLD, Better, Coordinate, Measurement
from reprbench.report.measured import ByFold, by_fold, fold_ratio, matching
from reprbench.spec import Call
from reprbench.trial import Code, Evaluation, MethodRecord, ProtocolRecord, RowKey, Trial

SeriesKey = tuple[str, tuple[tuple[str, Coordinate], ...]]
"""A metric, and the coordinates besides the fold, sorted by name."""


@dataclass(frozen=True)
class Selection:
    """Which measurements are compared: by default a protocol's headline metrics.

    Attributes
    ----------
    metrics : these instead.
    every : all that have a direction instead.
    """

    metrics: tuple[str, ...] = ()
    every: bool = False

    def of(self, evaluation: Evaluation) -> list[Measurement]:
        """Return the measurements that are compared."""
        if self.every:
            return [m for m in evaluation.measurements if m.better != "neither"]
        if self.metrics:
            return [m for m in evaluation.measurements if m.metric in self.metrics]
        return [m for headline in evaluation.headlines for m in matching(evaluation, headline.metric, headline.at)]


class Series(Struct, frozen=True):
    """The values of one metric at the same coordinates.

    Attributes
    ----------
    unit, better : as measured.
    values : by fold, the mean of those of one fold.
    """

    unit: str
    better: Better
    values: ByFold


class RowTrial(Struct, frozen=True):
    """The newest trial of a row, as far as it is compared or reported.

    Attributes
    ----------
    seed, method : as in the trial.
    dataset : its title.
    ratio : overlap ratio of its folds, see `reprbench.report.statistics`.
    environment : what it ran with.
    """

    seed: int
    dataset: str
    method: MethodRecord
    ratio: float
    environment: Environment


class ProtocolResult(Struct, frozen=True):
    """What one trial found under one protocol.

    Attributes
    ----------
    trial : the trial.
    protocol : its call.
    code : of the protocol; None where it was not run.
    failure : why nothing was measured; empty where something was.
    series : what is compared.
    metrics : all that was measured.
    """

    trial: RowTrial
    protocol: Call
    code: Code | None
    failure: str
    series: Mapping[SeriesKey, Series]
    metrics: frozenset[str]


@dataclass(frozen=True)
class Pair:
    """The same row, under the same protocol, in both stores: a result for each seed; `new` may lack it."""

    row: RowKey
    protocol: Call
    base: tuple[ProtocolResult, ...]
    new: tuple[ProtocolResult, ...]


@dataclass(frozen=True)
class Matched:
    """The pairs, and the rows that only one of the stores has."""

    pairs: tuple[Pair, ...]
    only_base: tuple[RowKey, ...] = ()
    only_new: tuple[RowKey, ...] = ()
    metrics: frozenset[str] = field(default_factory=frozenset)
    """All that either store has measured."""


Rows = dict[RowKey, list[ProtocolResult]]
"""By row, the results of its newest trial; if rows are taken over their seeds, of the newest trial of each seed."""


def read_rows(trials: Iterable[Trial], selection: Selection, ignore_seeds: bool = False) -> Rows:
    """Return the results of the newest trial of each row; a trial that a newer one supersedes is ignored.

    Parameters
    ----------
    trials : of one store; read one at a time, so that only what is compared stays in memory.
    selection : which measurements are compared.
    ignore_seeds : whether rows are taken over their seeds; results are then in the order of the seeds.
    """
    newest: dict[RowKey, tuple[str, list[ProtocolResult]]] = {}
    for trial in trials:
        if trial.row not in newest or newest[trial.row][0] <= trial.order:
            newest[trial.row] = trial.order, _results(trial, selection)
    if not ignore_seeds:
        return {row: results for row, (_, results) in newest.items()}
    rows: Rows = {}
    for row, (_, results) in newest.items():
        rows.setdefault(replace(row, seed=None), []).extend(results)
    return {row: sorted(results, key=lambda result: result.trial.seed) for row, results in rows.items()}


def match(base: Rows, new: Rows) -> Matched:
    """Pair the rows of two stores by their keys, and within a row the protocols by their calls."""
    pairs = [pair for row in base if row in new for pair in _pairs(row, base[row], new[row])]
    return Matched(
        tuple(pairs),
        tuple(row for row in base if row not in new),
        tuple(row for row in new if row not in base),
        frozenset().union(*(result.metrics for rows in (base, new) for results in rows.values() for result in results)),
    )


def _pairs(row: RowKey, base: Sequence[ProtocolResult], new: Sequence[ProtocolResult]) -> list[Pair]:
    """Return a pair for each protocol that BASE has."""
    protocols = dict.fromkeys(result.protocol for result in base)
    return [Pair(row, protocol, _under(protocol, base), _under(protocol, new)) for protocol in protocols]


def _under(protocol: Call, results: Sequence[ProtocolResult]) -> tuple[ProtocolResult, ...]:
    return tuple(result for result in results if result.protocol == protocol)


def _results(trial: Trial, selection: Selection) -> list[ProtocolResult]:
    """Return what a trial found under each of its protocols."""
    dataset = trial.dataset
    row_trial = RowTrial(trial.seed, dataset.title, trial.method, fold_ratio(dataset), environment_of(trial))
    results: list[ProtocolResult] = []
    for protocol in trial.protocols:
        if any(result.protocol == protocol.call for result in results):
            continue
        found = trial.results(protocol)
        results.append(
            ProtocolResult(
                trial=row_trial,
                protocol=protocol.call,
                code=found.code if found else None,
                failure=_failure(trial, protocol),
                series=_series(selection.of(found)) if found else {},
                metrics=frozenset(m.metric for m in found.measurements) if found else frozenset(),
            )
        )
    return results


def _failure(trial: Trial, protocol: ProtocolRecord) -> str:
    """Return why a trial has no measurements under a protocol; empty if it has."""
    status, reason = trial.outcome(protocol)
    return "" if status == "done" else f"{status}: {reason}"


def _series(measurements: Iterable[Measurement]) -> dict[SeriesKey, Series]:
    """Return measurements, grouping those that differ only in the fold."""
    found: dict[SeriesKey, list[Measurement]] = {}
    for m in measurements:
        elsewhere = len(m.at) > (FOLD in m.at)
        at = tuple((name, m.at[name]) for name in sorted(m.at) if name != FOLD) if elsewhere else ()
        found.setdefault((m.metric, at), []).append(m)
    return {key: Series(same[0].unit, same[0].better, by_fold(same)) for key, same in found.items()}
