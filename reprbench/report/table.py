"""The content of a Table 1: which trials stand in which table, and what each row says. No formatting here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reprbench.store import Evaluation, Trial


@dataclass(frozen=True)
class Row:
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
    """The trial's folder in the store."""


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


def make_tables(trials: Iterable[Trial]) -> list[Table]:
    """Return one table for each benchmark, data and protocol among the trials, rows in the order of their best mean."""
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in trials:
        for protocol in trial.protocols:
            groups.setdefault((trial.benchmark, trial.dataset.digest, protocol), []).append(trial)
    return [_table(key[2], group) for key, group in sorted(groups.items())]


def _table(protocol: str, group: Sequence[Trial]) -> Table:
    current = newest(group)
    evaluations = [_find(trial, protocol) for trial in current]
    rows = [_row(trial, evaluation) for trial, evaluation in zip(current, evaluations, strict=True)]
    # Holes come last; among equals the order is that of the names.
    rows.sort(key=lambda row: (row.mean is None, _badness(row), row.label, row.seed))
    data = current[0].dataset
    known = next((evaluation for evaluation in evaluations if evaluation), None)
    references = {reference_text(trial) for trial in current if trial.reference}
    return Table(
        benchmark=current[0].benchmark,
        dataset=data.title,
        digest=data.digest,
        counts=f"{data.unlabeled} unlabeled, {data.train} train, {data.test} test images; {data.classes} classes",
        protocol=protocol,
        versions=tuple(sorted({evaluation.version for evaluation in evaluations if evaluation})),
        metric=known.headline if known else "",
        rows=tuple(rows),
        superseded=len(group) - len(current),
        references=tuple(sorted(references)),
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


def _row(trial: Trial, evaluation: Evaluation | None) -> Row:
    mean, std, folds, unit, better = _summary(evaluation) if evaluation else (None, None, 0, "", "neither")
    status, reason = trial.status, trial.reason
    if evaluation and evaluation.missing:
        status, reason = "skipped", evaluation.missing
    return Row(
        label=trial.label,
        seed=trial.seed,
        status=status,
        reason=reason,
        mean=mean,
        std=std,
        folds=folds,
        unit=unit,
        better=better,
        reference=trial.reference.value if trial.reference else None,
        reference_spread=trial.reference.spread if trial.reference else None,
        dimension=_single(evaluation, "feature dimension"),
        parameters=trial.cost.parameters,
        fit_seconds=trial.cost.fit_seconds,
        evaluation_seconds=evaluation.seconds if evaluation else None,
        peak_memory=trial.cost.peak_memory,
        supervised=trial.method.supervised,
        control=trial.method.control,
        notes=(*trial.deviations, *trial.warnings, *(evaluation.warnings if evaluation else ())),
        trial=str(trial.folder),
    )


def _badness(row: Row) -> float:
    """Return a number that is smaller for better rows."""
    return (row.mean or 0.0) if row.better == "lower" else -(row.mean or 0.0)


def _summary(evaluation: Evaluation) -> tuple[float | None, float | None, int, str, str]:
    """Return mean and standard deviation (ddof = 0) of the headline over the folds, their number, unit, direction."""
    found = [
        m
        for m in evaluation.measurements
        if m["metric"] == evaluation.headline and evaluation.headline_at.items() <= m["at"].items()
    ]
    values = np.array([m["value"] for m in found], dtype=np.float64)
    if not len(values):
        return None, None, 0, "", "neither"
    std = float(values.std()) if len(values) > 1 else None
    return float(values.mean()), std, len(values), str(found[0]["unit"]), str(found[0]["better"])


def _single(evaluation: Evaluation | None, metric: str) -> int | None:
    found = [m["value"] for m in evaluation.measurements if m["metric"] == metric] if evaluation else []
    return int(found[0]) if found else None


def reference_text(trial: Trial) -> str:
    """Return the citation of a trial's reference, and what differs between that protocol and ours."""
    if trial.reference is None:
        return ""
    differences = f" ({'; '.join(trial.reference.differences)})" if trial.reference.differences else ""
    return f"{trial.reference.citation}{differences}"
