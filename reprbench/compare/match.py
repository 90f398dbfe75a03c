"""Which rows of two stores are the same row: trials are reduced to what can be compared, and paired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from reprbench.report.measured import fold_ratio, matching
from reprbench.report.text import place_text
from reprbench.trial import Evaluation, Measurement, Trial

FOLD = "fold"


@dataclass(frozen=True)
class Selection:
    """Which measurements are compared: by default a protocol's headline, as the table shows it.

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
        return matching(evaluation, evaluation.headline, evaluation.headline_at)


class Series(Struct, frozen=True):
    """The values of one metric at the same coordinates.

    Attributes
    ----------
    metric, unit, better : as measured.
    at : the coordinates besides the fold, in words.
    values : by fold; by None what belongs to no fold.
    """

    metric: str
    at: str
    unit: str
    better: str
    values: dict[int | None, float]


class RowKey(Struct, frozen=True):
    """What makes a row that row, whatever code ran; `seed` is None where rows are taken over their seeds."""

    benchmark: str
    label: str
    call: str
    budget: str
    digest: str
    seed: int | None


class Origin(Struct, frozen=True):
    """Where numbers came from, in the respects in which those of two stores may differ."""

    code: str
    torch: str
    machine: str


class Result(Struct, frozen=True):
    """What one trial says under one protocol.

    Attributes
    ----------
    row, protocol, dataset : what it speaks of.
    seed : the trial's own.
    version : of the protocol; None where it was not run.
    failure : why nothing was measured; empty where something was.
    series : what was measured, by metric and coordinates.
    ratio : of its folds, see `reprbench.report.statistics`.
    ended : when the trial ended.
    source : the digest of the method's code.
    """

    row: RowKey
    protocol: str
    dataset: str
    seed: int
    version: int | None
    failure: str
    series: Mapping[tuple[str, str], Series]
    ratio: float
    ended: str
    source: str
    origin: Origin


@dataclass(frozen=True)
class Pair:
    """The same row, under the same protocol, in both stores: a result for each seed; `new` may lack it."""

    base: tuple[Result, ...]
    new: tuple[Result, ...]


@dataclass(frozen=True)
class Matched:
    """The pairs, and the rows that only one of the stores has."""

    pairs: tuple[Pair, ...]
    only_base: tuple[RowKey, ...]
    only_new: tuple[RowKey, ...]


Rows = dict[RowKey, dict[str, list[Result]]]
"""Row → protocol → a result for each seed, in the order of the seeds."""


def read_rows(trials: Iterable[Trial], selection: Selection, ignore_seeds: bool, metrics: set[str]) -> Rows:
    """Return the newest result of each row and protocol; the names of all metrics seen are added to `metrics`."""
    newest: dict[tuple[RowKey, str], Result] = {}
    for trial in trials:
        for result in _results(trial, selection, metrics):
            key = (result.row, result.protocol)
            if key not in newest or newest[key].ended <= result.ended:
                newest[key] = result
    rows: defaultdict[RowKey, defaultdict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for (row, protocol), result in sorted(newest.items(), key=lambda item: item[1].seed):
        rows[replace(row, seed=None) if ignore_seeds else row][protocol].append(result)
    # Plain dicts: asking one for what it lacks adds nothing.
    return {row: dict(results) for row, results in rows.items()}


def match(base: Rows, new: Rows) -> Matched:
    """Pair the rows that are equal; then, among the rest, those whose label was kept while its parameters changed.

    A row's label is its call unless somebody gave it another; a label of its own says that this is the row, whatever
    its parameters. Where it names several of the remaining rows, none of them is paired.
    """
    same = {row: row for row in base if row in new}
    before = _unique(row for row in base if row not in same)
    after = _unique(row for row in new if row not in same)
    same |= {row: after[name] for name, row in before.items() if name in after}
    pairs = []
    for row, other in same.items():
        for protocol, results in base[row].items():
            pairs.append(Pair(tuple(results), tuple(new[other].get(protocol, ()))))
    found = set(same.values())
    return Matched(
        tuple(pairs), tuple(row for row in base if row not in same), tuple(row for row in new if row not in found)
    )


def _unique(rows: Iterable[RowKey]) -> dict[RowKey, RowKey]:
    """Return the rows by what remains of their keys without the call, as far as that is theirs alone."""
    named: dict[RowKey, list[RowKey]] = defaultdict(list)
    for row in rows:
        named[replace(row, call="")].append(row)
    return {name: group[0] for name, group in named.items() if len(group) == 1}


def _results(trial: Trial, selection: Selection, metrics: set[str]) -> Iterator[Result]:
    """Yield what a trial says under each of the protocols that were asked for."""
    evaluations = {evaluation.text: evaluation for evaluation in trial.evaluations}
    row = RowKey(trial.benchmark, trial.label, trial.method.call, str(trial.budget), trial.dataset.digest, trial.seed)
    origin = _origin(trial)
    for protocol in trial.protocols:
        evaluation = evaluations.get(protocol)
        yield Result(
            row=row,
            protocol=protocol,
            dataset=trial.dataset.title,
            seed=trial.seed,
            version=evaluation.version if evaluation else None,
            failure=_failure(trial, evaluation),
            series=_series(evaluation, selection, metrics) if evaluation else {},
            ratio=fold_ratio(trial.dataset),
            ended=str(trial.provenance.get("ended", "")),
            source=trial.method.source,
            origin=origin,
        )


def _failure(trial: Trial, evaluation: Evaluation | None) -> str:
    """Return why a trial has no measurements under a protocol."""
    if evaluation is not None:
        return f"skipped: {evaluation.missing}" if evaluation.missing else ""
    return f"{trial.status}: {trial.reason}" if trial.status != "done" else "not evaluated"


def _series(evaluation: Evaluation, selection: Selection, metrics: set[str]) -> dict[tuple[str, str], Series]:
    """Return the measurements that are compared, those that differ in nothing but the fold together."""
    found: dict[tuple[str, str], Series] = {}
    metrics.update({m.metric for m in evaluation.measurements})
    for m in selection.of(evaluation):
        at = m.at
        place = place_text((name, at[name]) for name in sorted(at) if name != FOLD) if len(at) > 1 else ""
        series = found.get((m.metric, place))
        if series is None:
            series = found[m.metric, place] = Series(m.metric, place, m.unit, m.better, {})
        series.values[at.get(FOLD)] = m.value
    return found


def _origin(trial: Trial) -> Origin:
    """Return what the provenance says, as far as it says it."""
    code, versions, machine = (trial.known(part) for part in ("code", "versions", "machine"))
    commit = code.get("commit")
    changed = " with changes" if code.get("dirty") else ""
    return Origin(
        code=f"{str(commit)[:7]}{changed}" if commit else f"reprbench {versions.get('reprbench', 'unknown')}",
        torch=str(versions.get("torch", "unknown")),
        machine=f"{machine.get('processor', 'unknown')}, {trial.provenance.get('device', 'unknown')}",
    )


def differing(before: Sequence[Result], after: Sequence[Result]) -> list[str]:
    """Return a line for each respect in which the numbers of two stores come from different places."""
    lines = []
    for name in ("code", "torch", "machine"):
        was, now = ({getattr(result.origin, name) for result in results} for results in (before, after))
        if was != now:
            lines.append(f"{name} differs: {_listed(was - now or was)} in BASE, {_listed(now - was or now)} in NEW")
    return lines


def _listed(texts: set[str]) -> str:
    first = sorted(texts)[:3]
    return " and ".join(first) + (f" and {len(texts) - len(first)} more" if len(texts) > len(first) else "")
