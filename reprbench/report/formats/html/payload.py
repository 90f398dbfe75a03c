"""The data of the page's charts and details, as JSON; what would make the page too large is left out and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reprbench.measurement import Better
from reprbench.printable import visible_in_json
from reprbench.report.curves import CurveKey, CurvePoint, RowCurve, axis_label, curve_key, curve_title, curves_of
from reprbench.report.formats.html.costs import COST_KINDS, CostAxis
from reprbench.report.formats.html.details import Detail, Section, describe
from reprbench.report.formats.html.galleries import Picture
from reprbench.report.formats.html.trials import PageTrials, best_first, link_to
from reprbench.report.grid import mean_text
from reprbench.report.row import Row
from reprbench.report.table import Table
from reprbench.report.trial_files import file_of
from reprbench.report.under import headline_decimals
from reprbench.trial import TRIAL

DETAILS_BUDGET = 700_000
"""Bytes of JSON for the details of trials."""
CURVES_BUDGET = 400_000
"""Bytes of JSON for the curves of all methods."""

Point = tuple[float, float, float | None]
"""x, mean, and standard deviation: None for a single value."""


@dataclass(frozen=True)
class ChartLine:
    """One method's line in a chart: the place of its row in the table, and its points in the order of x."""

    row: int
    points: list[Point]


@dataclass(frozen=True)
class CurveChart:
    """The curves of several methods in one chart."""

    title: str
    x_label: str
    y_label: str
    log: bool
    lines: list[ChartLine] = field(default_factory=list)


@dataclass(frozen=True)
class RowData:
    """The numbers of a row, unrounded, and texts where these have units; no mean and no folds without a result.

    Attributes
    ----------
    trials : the numbers of its trials.
    mark : which color and marker stand for the method, on the whole page.
    mean, std, folds : of the table's first headline.
    text : mean and spread as text.
    reference : the published value.
    costs : those that are known, each a number and its text, by the axis' key.
    """

    trials: list[int]
    name: str
    mark: int
    mean: float | None
    std: float | None
    folds: list[float]
    text: str
    reference: float | None
    costs: dict[str, tuple[float, str]]


@dataclass
class TableData:
    """What the charts of a table show: its first headline, and the curves of its rows.

    Attributes
    ----------
    metric, better : of the headline.
    label : of its axis: the metric with its unit.
    """

    metric: str
    label: str
    better: Better
    rows: list[RowData]
    curves: list[CurveChart] = field(default_factory=list)


@dataclass(frozen=True)
class TrialData:
    """One trial.

    Attributes
    ----------
    title : label and seed.
    folder : inside the store.
    link : the address of its ``trial.json``; empty for a trial that was not read from one.
    detail : None if there is no room for it. Its sections are places in `Payload.sections`: most trials share them.
    """

    title: str
    folder: str
    link: str
    detail: Mapping[str, Any] | None


@dataclass(frozen=True)
class Payload:
    """All data that the page's script reads."""

    tables: list[TableData]
    costs: list[CostAxis]
    trials: list[TrialData]
    sections: list[Section]

    def as_json(self) -> str:
        """Return compact JSON that can stand in a script element: no `<`, `>` or `&` in it."""
        text = visible_in_json(_json(self))
        return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def make_payload(
    tables: Sequence[Table], trials: PageTrials, pictures: Iterable[Picture], beside: Path
) -> tuple[Payload, list[str]]:
    """Return the data of the tables that the page shows, and sentences about what is left out of it.

    Parameters
    ----------
    tables : with the rows that are shown, and no others.
    trials : of these rows.
    pictures : the figures that the page shows.
    beside : the folder in which the page will be; links are relative to it.
    """
    marks: dict[str, int] = {}
    data = [_table_data(table, trials, marks) for table in tables]
    dropped = _add_curves(tables, data)
    described, sections = _describe(trials, pictures, beside)
    without = sum(trial.detail is None for trial in described)
    left_out = [f"{dropped} curves of lower rows are left out."] if dropped else []
    if without:
        left_out.append(f"The details of {without} of the trials are left out; they are in each trial's trial.json.")
    return Payload(data, [kind.axis for kind in COST_KINDS.values()], described, sections), left_out


def _table_data(table: Table, trials: PageTrials, marks: dict[str, int]) -> TableData:
    decimals = next(iter(headline_decimals(table)), 1)
    rows = [
        _row_data(row, trials.numbers(row), marks.setdefault(row.label, len(marks)), decimals) for row in table.rows
    ]
    better: Better = next((row.result.better for row in table.rows if row.result), "neither")
    return TableData(table.metric, axis_label(table.metric, table.unit), better, rows)


def _row_data(row: Row, trials: list[int], mark: int, decimals: int) -> RowData:
    result = row.result
    costs = {key: (value, kind.text(row)) for key, kind in COST_KINDS.items() if (value := kind.value(row)) is not None}
    unit = f" {result.unit}" if result and result.unit else ""
    return RowData(
        trials=trials,
        name=row.name,
        mark=mark,
        mean=result.summary.mean if result else None,
        std=result.summary.std if result else None,
        folds=list(result.by_fold.values()) if result else [],
        text=f"{mean_text(result, decimals)}{unit}" if result else "",
        reference=row.reference.value if row.reference else None,
        costs=costs,
    )


def _add_curves(tables: Sequence[Table], data: Sequence[TableData]) -> int:
    """Add curves to the tables' data, the best rows first, as far as the budget goes; return how many do not fit."""
    charts: list[dict[CurveKey, CurveChart]] = [{} for _ in tables]
    left, dropped = CURVES_BUDGET, 0
    for number, place, row in best_first(tables):
        for curve in curves_of(row.sources):
            line = ChartLine(place, list(map(_point, curve.points)))
            size = len(_json(line))
            if size > left:
                dropped += 1
                continue
            left -= size
            charts[number].setdefault(curve_key(curve.curve), _curve_chart(curve)).lines.append(line)
    for table, found in zip(data, charts, strict=True):
        table.curves = list(found.values())
    return dropped


def _point(point: CurvePoint) -> Point:
    return point.x, point.mean, point.std


def _curve_chart(found: RowCurve) -> CurveChart:
    curve = found.curve
    label = axis_label(curve.metric, found.unit)
    return CurveChart(curve_title(curve), curve.x_label or curve.x, label, curve.log)


def _describe(trials: PageTrials, pictures: Iterable[Picture], beside: Path) -> tuple[list[TrialData], list[Section]]:
    """Return the trials, with details as far as the budget goes, and the sections that the details point to."""
    figures: dict[int, list[int]] = {}
    for picture in pictures:
        figures.setdefault(picture.trial, []).append(picture.number)
    described: list[TrialData] = []
    sections: dict[Section, int] = {}
    left = DETAILS_BUDGET
    for number, trial in enumerate(trials.trials):
        detail = None
        if left > 0:
            known = len(sections)
            detail = _packed(describe(trial, figures.get(number, [])), sections)
            left -= len(_json(detail)) + sum(len(_json(section)) for section in list(sections)[known:])
        path = file_of(trial, TRIAL)
        link = link_to(path, beside) if path else ""
        described.append(TrialData(f"{trial.label}, seed {trial.seed}", trial.folder, link, detail))
    return described, list(sections)


def _packed(detail: Detail, sections: dict[Section, int]) -> dict[str, Any]:
    """Return a detail whose sections are places in `sections`, to which new ones are added."""
    places = [sections.setdefault(section, len(sections)) for section in detail.sections]
    return {**vars(detail), "sections": places}


def _json(value: object) -> str:
    """Return compact JSON of dataclasses, without the copies that `asdict` makes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=vars)
