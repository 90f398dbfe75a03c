"""One row of a table: what one trial, or the seeds of one method together, say under one protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from reprbench.benchmark import Benchmark, Reference
from reprbench.report.best import Standing
from reprbench.report.measured import ByFold, by_fold, fold_ratio, matching
from reprbench.report.statistics import Summary, bounds_of, summarize, summarize_seeds
from reprbench.report.verdict import Verdict, deviations_of, judge
from reprbench.trial import Evaluation, Trial


@dataclass(frozen=True, eq=False)
class Source:
    """What a row is made of: a trial and what one of its protocols found (None if it did not come so far)."""

    trial: Trial
    evaluation: Evaluation | None
    protocol: str
    is_first: bool
    """Whether the protocol is the trial's first: the one that published values are given for."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells methods apart, and is the same for all seeds of one."""
        return (self.trial.label, self.trial.method.call, str(self.trial.budget))


class Row(msgspec.Struct, frozen=True):
    """One row: what a trial says under one protocol; a hole with its reason where it says nothing."""

    label: str
    seed: int
    status: str
    reason: str
    mean: float | None
    std: float | None
    """Standard deviation over the folds, ddof = 0 as the paper prints it."""
    folds: int
    unit: str
    better: str
    """"higher", "lower" or "neither": which way the mean is better."""
    reference: float | None
    reference_spread: float | None
    dimension: int | None
    parameters: int | None
    fit_seconds: float | None
    evaluation_seconds: float | None
    peak_memory: int | None
    supervised: bool
    control: bool
    notes: tuple[str, ...]
    """Warnings and deviations."""
    trial: str
    """The trial's folder in the store; of several seeds, the folders."""
    key: tuple[str, ...] = ()
    """What tells methods apart, and is the same for all seeds of one."""
    group: str = ""
    """The heading of the benchmark under which the row stands."""
    seeds: tuple[int, ...] = ()
    """All seeds in this row, where it is the mean over seeds too."""
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the mean: over other labeled images and, where the row has several seeds, over seeds."""
    by_fold: ByFold = {}
    """The value of each fold."""
    version: int | None = None
    """Of the protocol."""
    verdict: Verdict | None = None
    """Of the published value; None where nothing is published."""
    references: tuple[str, ...] = ()
    """The source of the published value, and what differs there."""
    standing: Standing = Standing()
    """How the row stands to the best of its table."""


def make_row(source: Source, groups: Mapping[str, str], notes: Sequence[str] = ()) -> Row:
    """Return the row of one trial, with `notes` on what sets it apart from others."""
    trial, evaluation = source.trial, source.evaluation
    found = matching(evaluation, evaluation.headline, evaluation.headline_at) if evaluation else []
    values, ratio = by_fold(found), fold_ratio(trial.dataset)
    unit = found[0].unit if found else ""
    summary = summarize(list(values.values()), ratio, bounds_of(unit)) if values else None
    status, reason = trial.status, trial.reason
    if evaluation and evaluation.missing:
        status, reason = "skipped", evaluation.missing
    reference = trial.reference if source.is_first else None
    why = f"{status}: {reason}" if status != "done" else ""
    deviations = deviations_of(trial.deviations)
    low, high = _interval(summary)
    return Row(
        label=trial.label,
        seed=trial.seed,
        status=status,
        reason=reason,
        mean=summary.mean if summary else None,
        std=summary.std if summary else None,
        folds=len(values),
        unit=unit,
        better=found[0].better if found else "neither",
        reference=reference.value if reference else None,
        reference_spread=reference.spread if reference else None,
        dimension=_single(evaluation, "feature dimension"),
        parameters=trial.cost.parameters,
        fit_seconds=trial.cost.fit_seconds,
        evaluation_seconds=evaluation.seconds if evaluation else None,
        peak_memory=trial.cost.peak_memory,
        supervised=trial.method.supervised,
        control=trial.method.control,
        notes=(*trial.deviations, *trial.warnings, *(evaluation.warnings if evaluation else ()), *notes),
        trial=trial.folder,
        key=source.key,
        group=groups.get(trial.label, ""),
        seeds=(trial.seed,),
        low=low,
        high=high,
        by_fold=values,
        version=evaluation.version if evaluation else None,
        verdict=judge(reference, summary, unit, deviations, ratio, why) if reference else None,
        references=(reference.text,) if reference else (),
    )


def merge_seeds(rows: Iterable[Row], sources: Iterable[Source]) -> list[Row]:
    """Return the rows with those of one method merged, on the folds that all its seeds have; holes stay rows."""
    first: dict[tuple[str, ...], Source] = {}
    for source in sources:
        first.setdefault(source.key, source)
    merged: dict[tuple[str, ...], list[Row]] = {}
    alone = []
    for row in rows:
        if row.mean is None:
            alone.append(row)
        else:
            merged.setdefault(row.key, []).append(row)
    return [*alone, *(_merged(same, first[key]) for key, same in merged.items())]


def _merged(rows: Sequence[Row], source: Source) -> Row:
    shared = set.intersection(*(set(row.by_fold) for row in rows))
    if len(rows) == 1 or not shared:
        return rows[0]
    folds = sorted(shared, key=str)
    ratio = fold_ratio(source.trial.dataset)
    bounds = bounds_of(rows[0].unit)
    summary = summarize_seeds([[row.by_fold[fold] for fold in folds] for row in rows], ratio, bounds)
    reference = source.trial.reference if source.is_first else None
    deviations = deviations_of(source.trial.deviations)
    low, high = _interval(summary)
    return msgspec.structs.replace(
        rows[0],
        seed=min(row.seed for row in rows),
        seeds=tuple(sorted(row.seed for row in rows)),
        mean=summary.mean,
        std=summary.std,
        folds=len(folds),
        by_fold={fold: sum(row.by_fold[fold] for row in rows) / len(rows) for fold in folds},
        low=low,
        high=high,
        fit_seconds=_mean(row.fit_seconds for row in rows),
        evaluation_seconds=_mean(row.evaluation_seconds for row in rows),
        peak_memory=max((row.peak_memory for row in rows if row.peak_memory is not None), default=None),
        notes=tuple(dict.fromkeys(note for row in rows for note in row.notes)),
        trial="; ".join(row.trial for row in rows),
        verdict=judge(reference, summary, rows[0].unit, deviations, ratio) if reference else None,
    )


def of_several_seeds(rows: Iterable[Row]) -> bool:
    """Return whether rows must be told apart by their seeds."""
    return len({seed for row in rows for seed in row.seeds}) > 1


def row_name(row: Row, several_seeds: bool) -> str:
    """Return a row's label, with its seeds where they tell rows apart."""
    if not several_seeds or not row.seeds:
        return row.label
    return f"{row.label} (seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))})"


def not_run(benchmark: Benchmark, labels: set[str]) -> list[Row]:
    """Return a hole for each published row of the benchmark that is not among `labels`."""
    return [
        _hole(row.label or str(row.method), row.reference, row.group)
        for row in benchmark.methods
        if row.reference and (row.label or str(row.method)) not in labels
    ]


def _hole(label: str, reference: Reference, group: str) -> Row:
    return Row(
        label=label,
        seed=0,
        status="not run",
        reason="not in the store",
        mean=None,
        std=None,
        folds=0,
        unit="",
        better="neither",
        reference=reference.value,
        reference_spread=reference.spread,
        dimension=None,
        parameters=None,
        fit_seconds=None,
        evaluation_seconds=None,
        peak_memory=None,
        supervised=False,
        control=False,
        notes=(),
        trial="",
        key=(label,),
        group=group,
        verdict=Verdict("not run"),
        references=(reference.text,),
    )


def _interval(summary: Summary | None) -> tuple[float | None, float | None]:
    return summary.interval or (None, None) if summary else (None, None)


def _single(evaluation: Evaluation | None, metric: str) -> int | None:
    found = matching(evaluation, metric, {}) if evaluation else []
    return int(found[0].value) if found else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
