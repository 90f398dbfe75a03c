"""The content of a Table 1: which trials stand in which table, and what each row says. No formatting here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from reprbench.benchmark import Benchmark
from reprbench.report.best import Comparison, Test, compare
from reprbench.report.marks import mark
from reprbench.report.row import Row, Source, make_row, merge_seeds, not_run
from reprbench.report.statistics import variance_components
from reprbench.report.verdict import deviations_of
from reprbench.trial import Evaluation, Trial

Seeds = Literal["apart", "together"]

__all__ = ["Row", "SeedSpread", "Table", "make_tables", "newest", "reference_text"]


@dataclass(frozen=True)
class SeedSpread:
    """How much one method's values vary between seeds, apart from how much they vary between folds (both ddof = 0)."""

    label: str
    seeds: tuple[int, ...]
    mean: float
    std_seeds: float
    std_folds: float


@dataclass(frozen=True)
class Table:
    """The rows that share benchmark, data and protocol."""

    benchmark: str
    dataset: str
    digest: str
    counts: str
    protocol: str
    versions: tuple[int, ...]
    """Of the protocol; more than one means that the rows do not compare."""
    metric: str
    rows: tuple[Row, ...]
    superseded: int = 0
    """Older trials of the same rows, not shown."""
    references: tuple[str, ...] = field(default=())
    """The sources of the reference values, and what differs there."""
    title: str = ""
    """The benchmark's, where its file is known."""
    at: Mapping[str, Any] = field(default_factory=dict)
    """The coordinates at which the metric is taken, besides the fold."""
    comparison: Comparison | None = None
    """How rows were tested against the best; None if nothing could be tested."""
    seeds: tuple[SeedSpread, ...] = ()
    explanations: tuple[str, ...] = ()
    """What else a reader must know of the rows together."""
    order: tuple[str, ...] = ()
    """The labels of the rows in the order of the benchmark's file, where it is known."""


def make_tables(
    trials: Iterable[Trial],
    benchmarks: Mapping[str, Benchmark] | None = None,
    seeds: Seeds = "apart",
    test: Test = "t",
) -> list[Table]:
    """Return one table for each benchmark, data and protocol among the trials, rows in the order of their best mean.

    A row for which the benchmark sets another pooling ("protocol of its own") stands in the benchmark's table, and a
    note says so.

    Parameters
    ----------
    benchmarks : by name, as far as known: they give title and groups, and the published rows that were not run.
    seeds : whether the seeds of a method are rows of their own or one row.
    test : which test tells the best row from the others.
    """
    trials = list(trials)
    homes = _homes(trials)
    groups: dict[tuple[str, str, str], list[Source]] = {}
    for trial in trials:
        for place, protocol in enumerate(trial.protocols):
            home = homes.get((trial.benchmark, trial.dataset.digest, protocol), protocol) if _own(trial) else protocol
            source = Source(trial, _find(trial, protocol), protocol, is_first=place == 0)
            groups.setdefault((trial.benchmark, trial.dataset.digest, home), []).append(source)
    known = benchmarks or {}
    return [_table(key[2], group, known.get(key[0]), seeds, test) for key, group in sorted(groups.items())]


def _own(trial: Trial) -> bool:
    return any(note.startswith("protocol of its own") for note in trial.deviations)


def _homes(trials: Sequence[Trial]) -> dict[tuple[str, str, str], str]:
    """Return, for a protocol of a row's own, that of the same name which the most other rows of its benchmark have."""
    common: dict[tuple[str, str, str], Counter[str]] = {}
    for trial in trials:
        for protocol in () if _own(trial) else trial.protocols:
            common.setdefault((trial.benchmark, trial.dataset.digest, _name(protocol)), Counter())[protocol] += 1
    homes = {}
    for trial in trials:
        for protocol in trial.protocols if _own(trial) else ():
            counts = common.get((trial.benchmark, trial.dataset.digest, _name(protocol)))
            if counts:
                homes[trial.benchmark, trial.dataset.digest, protocol] = counts.most_common(1)[0][0]
    return homes


def _name(protocol: str) -> str:
    return protocol.partition("[")[0]


def _table(protocol: str, group: Sequence[Source], benchmark: Benchmark | None, seeds: Seeds, test: Test) -> Table:
    latest = {id(trial) for trial in newest(source.trial for source in group)}
    sources = [source for source in group if id(source.trial) in latest]
    first = next((source for source in sources if source.evaluation), sources[0])
    evaluations = [source.evaluation for source in sources if source.evaluation]
    versions = tuple(sorted({evaluation.version for evaluation in evaluations}))
    groups = {row.label or str(row.method): row.group for row in benchmark.methods} if benchmark else {}
    notes, explanations = mark(sources, protocol)
    rows = [make_row(source, groups, own) for source, own in zip(sources, notes, strict=True)]
    standings, comparison = compare(rows, first.trial.dataset, versions[-1] if versions else 0, test)
    rows = [msgspec.structs.replace(row, standing=standings.get(row.key, row.standing)) for row in rows]
    spread = _seed_spread(rows)
    if seeds == "together":
        rows = merge_seeds(rows, sources)
    if benchmark and not any(deviations_of(source.trial.deviations) for source in sources) and first.is_first:
        rows += not_run(benchmark, {row.label for row in rows})
    # Holes come last; among equals the order is that of the names.
    rows.sort(key=lambda row: (row.mean is None, _badness(row), row.label, row.seed))
    data = first.trial.dataset
    return Table(
        benchmark=first.trial.benchmark,
        dataset=data.title,
        digest=data.digest,
        counts=f"{data.unlabeled} unlabeled, {data.train} train, {data.test} test images; {data.classes} classes",
        protocol=protocol,
        versions=versions,
        metric=first.evaluation.headline if first.evaluation else "",
        rows=tuple(rows),
        superseded=len(group) - len(sources),
        references=tuple(sorted({reference for row in rows for reference in row.references})),
        title=benchmark.title if benchmark else "",
        at=first.evaluation.headline_at if first.evaluation else {},
        comparison=comparison,
        seeds=spread,
        explanations=explanations,
        order=tuple(groups),
    )


def newest(trials: Iterable[Trial]) -> list[Trial]:
    """Return, of trials that differ only in the code that ran, the last one."""
    latest: dict[tuple[Any, ...], Trial] = {}
    for trial in sorted(trials, key=lambda trial: str(trial.provenance.get("ended", ""))):
        key = (trial.label, trial.method.call, trial.seed, str(trial.budget), trial.dataset.digest)
        latest[key] = trial
    return list(latest.values())


def _find(trial: Trial, protocol: str) -> Evaluation | None:
    found = [evaluation for evaluation in trial.evaluations if evaluation.text == protocol]
    return found[-1] if found else None


def _badness(row: Row) -> float:
    """Return a number that is smaller for better rows."""
    return (row.mean or 0.0) if row.better == "lower" else -(row.mean or 0.0)


def _seed_spread(rows: Sequence[Row]) -> tuple[SeedSpread, ...]:
    """Return the spread over seeds of every method that has values of several, on the folds that all of them have."""
    methods: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.mean is not None:
            methods.setdefault(row.key, []).append(row)
    found = []
    for same in methods.values():
        shared = set.intersection(*(set(row.by_fold) for row in same))
        if len(same) < 2 or not shared:
            continue
        values = [[row.by_fold[fold] for fold in sorted(shared, key=str)] for row in same]
        parts = variance_components(values)
        mean = sum(map(sum, values)) / (len(values) * len(shared))
        seeds = tuple(sorted(row.seed for row in same))
        found.append(SeedSpread(same[0].label, seeds, mean, parts.seeds, parts.folds))
    return tuple(sorted(found, key=lambda spread: spread.label))


def reference_text(trial: Trial) -> str:
    """Return the citation of a trial's reference, and what differs between that protocol and ours."""
    return trial.reference.text if trial.reference else ""
