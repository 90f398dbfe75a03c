"""What the page shows of one trial when its row is opened: headings and lines, measurements, the history of the fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprbench.history_file import read_history
from reprbench.measurement import FOLD, Measurement
from reprbench.report.measured import by_fold
from reprbench.report.row import CHANGED_BY_HAND
from reprbench.report.statistics import Summary, summarize
from reprbench.report.text import count_text, images_text, memory_text, place_text, seconds_text
from reprbench.report.trial_files import file_of
from reprbench.trial import HISTORY, Evaluation, Trial

MOST_POINTS = 150
"""Steps of a history that are shown; of a longer one, every n-th."""
MOST_MEASUREMENTS = 120
"""Lines of measurements that are shown per trial."""
LONGEST_TRACEBACK = 6_000
"""Characters of a traceback that are shown, from its end, which says most."""


@dataclass(frozen=True)
class Section:
    """A heading, lines of (name, value), and whether they are folded at first."""

    heading: str
    lines: tuple[tuple[str, str], ...]
    folded: bool = False


@dataclass(frozen=True)
class History:
    """What a fit logged: columns of numbers of the same length, None where nothing was logged."""

    columns: dict[str, list[float | None]]
    every: int
    """Every n-th line of the file is shown: n."""


@dataclass(frozen=True)
class Detail:
    """All that is shown of one trial.

    Attributes
    ----------
    measurements : (protocol, metric and place, value, folds).
    left_out : how many measurements are not shown.
    figures : the numbers of its figures on the page.
    """

    status: str
    reason: str
    traceback: str
    notes: list[str]
    sections: list[Section]
    measurements: list[tuple[str, str, str, str]]
    left_out: int
    history: History | None
    figures: Sequence[int]


def describe(trial: Trial, figures: Sequence[int]) -> Detail:
    """Return what is shown of a trial whose figures on the page have these numbers."""
    lines = [line for evaluation in trial.evaluations for line in _measured(evaluation)]
    warnings = [*trial.warnings, *(warning for evaluation in trial.evaluations for warning in evaluation.warnings)]
    reasons = [f"{one.call}: {one.status}: {one.reason}" for one in trial.evaluations if one.status != "done"]
    edited = [CHANGED_BY_HAND] if trial.changed_by_hand else []
    history, wrong = file_of(trial, HISTORY), trial.failure() or trial
    return Detail(
        status=wrong.status,
        reason=wrong.reason + (f" (signal {wrong.signal})" if wrong.signal else ""),
        traceback=wrong.traceback[-LONGEST_TRACEBACK:],
        notes=list(dict.fromkeys([*edited, *(f"deviation: {one}" for one in trial.deviations), *warnings, *reasons])),
        sections=[section for section in _sections(trial) if section.lines],
        measurements=lines[:MOST_MEASUREMENTS],
        left_out=max(0, len(lines) - MOST_MEASUREMENTS),
        history=thinned_history(history) if history else None,
        figures=figures,
    )


def thinned_history(path: Path, most: int = MOST_POINTS) -> History | None:
    """Return the columns of a history, thinned to about `most` lines; None where there is nothing to show."""
    rows = read_history(path)
    every = max(1, math.ceil(len(rows) / most))
    # The last line, where the fit ended, is always shown.
    kept = rows[::-1][::every][::-1]
    names = dict.fromkeys(name for row in kept for name in row)
    return History({name: [_short(row.get(name)) for row in kept] for name in names}, every) if kept else None


def _short(value: float | None) -> float | None:
    """Return a number with the six figures that a chart can show."""
    return None if value is None else float(f"{value:.6g}")


def summaries(evaluation: Evaluation) -> dict[tuple[str, str, str], Summary]:
    """Return the summary over folds of each (metric, place, unit)."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for one in evaluation.measurements:
        place = place_text(sorted((name, value) for name, value in one.at.items() if name != FOLD))
        groups.setdefault((one.metric, place, one.unit), []).append(one)
    return {key: summarize(list(by_fold(found).values())) for key, found in groups.items()}


def _measured(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    return [
        (
            str(evaluation.call),
            f"{metric} ({place})" if place else metric,
            f"{found.mean:.6g}{'' if found.std is None else f' ± {found.std:.3g}'}{f' {unit}' if unit else ''}",
            f"{found.n} folds" if found.n > 1 else "",
        )
        for (metric, place, unit), found in summaries(evaluation).items()
    ]


def _sections(trial: Trial) -> list[Section]:
    data, method = trial.dataset, trial.method
    about = {"call": str(method.call), "kind": method.kind, "origin": method.origin, "code": str(method.code)}
    images = f"{images_text(data)} of {_text(data.shape)}"
    return [
        Section("Method", _lines(about)),
        Section("Parameters", _lines(method.parameters)),
        Section("Cost", _lines(_costs(trial))),
        Section("Reference", _lines({"published in": trial.reference.text if trial.reference else None})),
        Section("Data", _lines({"data": data.title, "call": str(data.call), "digest": data.digest, "images": images})),
        Section("Fit", _lines({"budget": str(trial.budget), "precision": trial.precision})),
        *(
            Section(f"Protocol {evaluation.call}, {evaluation.code}", _lines(evaluation.parameters), folded=True)
            for evaluation in trial.evaluations
        ),
        Section("Provenance", _lines(trial.provenance), folded=True),
    ]


def _costs(trial: Trial) -> dict[str, object]:
    cost = trial.cost
    return {
        "parameters": cost.parameters,
        "operations to encode an image": count_text(cost.encode_flops),
        "images seen": cost.images_seen,
        "steps": cost.steps,
        "operations of the fit": count_text(cost.fit_flops),
        "fit": seconds_text(cost.fit_seconds),
        "evaluation": seconds_text(cost.evaluation_seconds),
        "peak memory": memory_text(cost.peak_memory),
        "peak device memory": memory_text(cost.peak_device_memory),
    }


def _lines(values: Mapping[str, Any], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """Return names and values, nested ones under "outer · inner", without those that are unknown."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _lines(value, f"{prefix}{name} · ")
        elif value is not None and value != "":
            lines.append((f"{prefix}{name}", _text(value)))
    return tuple(lines)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple) and all(isinstance(size, int) for size in value):
        return " × ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
