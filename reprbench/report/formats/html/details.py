"""What stands behind a row: all that is known of one trial, as headings and lines that a page can show."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reprbench.report.formats.html.curves import summaries
from reprbench.report.text import count_text, memory_text, seconds_text
from reprbench.trial import Evaluation, Trial

MOST_POINTS = 150
"""Steps of a history that are shown; of more, every n-th."""
MOST_MEASUREMENTS = 120
"""Lines of measurements that are shown of a trial."""
LONGEST_TRACEBACK = 6_000
"""Letters of a traceback that are shown; its end says most."""
LARGEST_HISTORY = 20_000_000
"""Bytes of a history that is read at all."""


@dataclass(frozen=True)
class Section:
    """A heading, and names with what they are."""

    heading: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class History:
    """What a fit logged: columns of numbers of the same length, None where nothing was logged."""

    columns: dict[str, list[float | None]]
    every: int
    """Every how many lines of the file are shown."""


@dataclass(frozen=True)
class Detail:
    """All that is shown of one trial."""

    title: str
    status: str
    reason: str
    traceback: str
    notes: list[str]
    sections: list[Section]
    measurements: list[tuple[str, str, str, str]]
    """(protocol, metric and place, value, folds)."""
    left_out: int
    """Measurements that are not shown."""
    history: History | None
    figures: list[str] = field(default_factory=list)
    """Keys of the figures of this trial that the page shows."""


def describe(trial: Trial, folder: Path, figures: list[str]) -> Detail:
    """Return what is shown of a trial whose files are in `folder`."""
    lines = [line for evaluation in trial.evaluations for line in _measured(evaluation)]
    warnings = [*trial.warnings, *(warning for evaluation in trial.evaluations for warning in evaluation.warnings)]
    missing = [evaluation.missing for evaluation in trial.evaluations if evaluation.missing]
    return Detail(
        title=f"{trial.label}, seed {trial.seed}",
        status=trial.status,
        reason=trial.reason + (f" (signal {trial.signal})" if trial.signal else ""),
        traceback=trial.traceback[-LONGEST_TRACEBACK:],
        notes=list(dict.fromkeys([*(f"deviation: {text}" for text in trial.deviations), *warnings, *missing])),
        sections=[section for section in _sections(trial) if section.lines],
        measurements=lines[:MOST_MEASUREMENTS],
        left_out=max(0, len(lines) - MOST_MEASUREMENTS),
        history=read_history(folder / "history.csv"),
        figures=figures,
    )


def read_history(path: Path, most: int = MOST_POINTS) -> History | None:
    """Return the numeric columns of a history, thinned to about `most` lines; None where there is nothing to show."""
    try:
        if path.stat().st_size > LARGEST_HISTORY:
            return None
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    every = max(1, math.ceil(len(rows) / most))
    # The last line is where the fit ended; it is always shown.
    kept = rows[::-1][::every][::-1]
    columns = {str(name): [_number(row.get(name)) for row in kept] for name in (rows[0] if rows else {}) if name}
    columns = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return History(columns, every) if columns else None


def _number(text: str | None) -> float | None:
    """Return the number that a cell holds, with the six figures that a chart can show."""
    try:
        value = float(f"{float(text or ''):.6g}")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _measured(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    return [
        (
            evaluation.text,
            f"{metric} ({place})" if place else metric,
            f"{mean:.6g}{f' ± {spread:.3g}' if folds > 1 else ''}{f' {unit}' if unit else ''}",
            f"{folds} folds" if folds > 1 else "",
        )
        for metric, place, mean, spread, folds, unit in summaries(evaluation)
    ]


def _sections(trial: Trial) -> list[Section]:
    cost, data, method = trial.cost, trial.dataset, trial.method
    counts = f"{data.unlabeled} unlabeled, {data.train} train, {data.test} test images of {_text(data.shape)}"
    costs = {
        "parameters": cost.parameters,
        "operations to encode an image": count_text(cost.encode_flops),
        "images seen": cost.images_seen,
        "fit": seconds_text(cost.fit_seconds),
        "evaluation": seconds_text(cost.evaluation_seconds),
        "peak memory": memory_text(cost.peak_memory),
        "peak memory of the device": memory_text(cost.peak_device_memory),
    }
    return [
        Section("Method", _lines({"call": method.call, "origin": method.origin, "source": method.source})),
        Section("Parameters", _lines(method.parameters)),
        Section("Cost", _lines(costs)),
        Section("Reference", _lines({"published in": trial.reference.text if trial.reference else None})),
        Section("Data", _lines({"data": data.title, "call": data.call, "digest": data.digest, "images": counts})),
        Section("Budget", _lines(trial.budget.model_dump(exclude_none=True))),
        *(
            Section(f"Protocol {evaluation.text}, version {evaluation.version}", _lines(evaluation.parameters))
            for evaluation in trial.evaluations
        ),
        Section("Provenance", _lines(trial.provenance)),
    ]


def _lines(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return names and values, nested ones under "outer · inner", without those that are unknown."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _lines(value, f"{prefix}{name} · ")
        elif value is not None and value != "":
            lines.append((f"{prefix}{name}", _text(value)))
    return lines


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and all(isinstance(size, int) for size in value):
        return " × ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
