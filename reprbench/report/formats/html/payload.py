"""The data of the page's charts and details, as JSON; what would make the page too large is left out and counted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reprbench.report.formats.html.curves import curve_key, curve_points, curve_title, curve_unit
from reprbench.report.formats.html.details import Detail, describe
from reprbench.report.measured import find_evaluation
from reprbench.report.row import Row, of_several_seeds, row_name
from reprbench.report.table import Table
from reprbench.trial import TRIAL, Evaluation, Trial

MOST_ROWS = 1_000
"""Rows of all tables of a page together."""
DETAILS_BUDGET = 700_000
"""Bytes of JSON for what stands behind the rows."""
CURVES_BUDGET = 400_000
"""Bytes of JSON for the curves of all methods."""


class Files:
    """The trials that tables were made of, and where their files are.

    Parameters
    ----------
    trials : of all rows; of those in the same folder of several stores, the last.
    stores : the folders in which they are.
    beside : the folder in which the page will lie; links are relative to it.
    """

    def __init__(self, trials: Iterable[Trial], stores: Sequence[Path], beside: Path) -> None:
        self._trials = {trial.folder: trial for trial in trials}
        self._stores, self._beside = stores, beside

    def trial(self, folder: str) -> Trial | None:
        """Return the trial that is in a folder of the stores."""
        return self._trials.get(folder)

    def evaluations(self, row: Row, table: Table) -> list[tuple[str, Evaluation]]:
        """Return what the table's protocol found in the row's trials, each with the trial's folder."""
        trials = [(folder, self.trial(folder)) for folder in folders_of(row)]
        found = [(folder, find_evaluation(trial, table.protocol)) for folder, trial in trials if trial]
        return [(folder, evaluation) for folder, evaluation in found if evaluation]

    def path(self, folder: str, name: str) -> Path:
        """Return the path of a file in a trial's folder, in the first store that has the folder."""
        roots = [store for store in self._stores if (store / folder).is_dir()] or list(self._stores)
        return roots[0] / folder / name

    def link(self, folder: str, name: str) -> str:
        """Return the relative address of a file in a trial's folder, as a page links to it."""
        return quote(Path(os.path.relpath(self.path(folder, name), self._beside)).as_posix())


def folders_of(row: Row) -> list[str]:
    """Return the folders of a row's trials: one, or of several seeds each, or none where nothing was run."""
    return row.trial.split("; ") if row.trial else []


@dataclass(frozen=True)
class Line:
    """One method's line in a chart: the index of its row, and [x, mean, standard deviation] in the order of x."""

    row: int
    points: list[list[float]]


@dataclass(frozen=True)
class Chart:
    """The curves of several methods that are read together."""

    title: str
    x_label: str
    y_label: str
    log: bool
    lines: list[Line]


@dataclass(frozen=True)
class RowData:
    """The numbers of a row, unrounded."""

    trials: list[str]
    name: str
    mark: int
    """Which color and marker stand for the method, on the whole page."""
    mean: float | None
    std: float | None
    folds: list[float]
    reference: float | None
    fit: float | None
    evaluation: float | None
    parameters: int | None
    memory: int | None


@dataclass
class TableData:
    """What the charts of a table show."""

    metric: str
    unit: str
    better: str
    rows: list[RowData]
    curves: list[Chart] = field(default_factory=list)


@dataclass
class Payload:
    """All data that the page's program reads."""

    tables: list[TableData]
    details: dict[str, dict[str, Any]]
    """By the trial's folder. Its sections are places in `sections`: most trials share them."""
    sections: list[dict[str, Any]]
    left_out: list[str] = field(default_factory=list)
    """What the page does not hold, in sentences."""

    def as_json(self) -> str:
        """Return compact JSON that can stand in a script element: no `<`, `>` or `&` in it."""
        text = _json(self)
        return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def make_payload(tables: Sequence[Table], files: Files, figures: dict[str, list[str]]) -> Payload:
    """Return the data of the tables that the page shows.

    Parameters
    ----------
    tables : with the rows that are shown, and no others.
    files : where their trials are.
    figures : the keys of the figures that the page shows, by trial.
    """
    marks: dict[str, int] = {}
    data = [_table_data(table, marks) for table in tables]
    left_out = _add_curves(tables, files, data)
    details, sections, without = _details(tables, files, figures)
    if without:
        left_out.append(f"What stands behind {without} of the trials is left out; it is in each one's trial.json.")
    return Payload(data, details, sections, left_out)


def _table_data(table: Table, marks: dict[str, int]) -> TableData:
    several = of_several_seeds(table.rows)
    rows = [
        RowData(
            trials=folders_of(row),
            name=row_name(row, several),
            mark=marks.setdefault(row.label, len(marks)),
            mean=row.mean,
            std=row.std,
            folds=list(row.by_fold.values()),
            reference=row.reference,
            fit=row.fit_seconds,
            evaluation=row.evaluation_seconds,
            parameters=row.parameters,
            memory=row.peak_memory,
        )
        for row in table.rows
    ]
    unit = next((row.unit for row in table.rows if row.unit), "")
    better = next((row.better for row in table.rows if row.mean is not None), "neither")
    return TableData(table.metric, unit, better, rows)


def _add_curves(tables: Sequence[Table], files: Files, data: Sequence[TableData]) -> list[str]:
    """Add the curves to the tables' data, the best rows first, as far as the budget goes; tell what is left out."""
    charts: list[dict[tuple[str, ...], Chart]] = [{} for _ in tables]
    left, dropped = CURVES_BUDGET, 0
    for number, place, row in _best_first(tables):
        evaluations = [evaluation for _, evaluation in files.evaluations(row, tables[number])]
        for curve in evaluations[0].curves if evaluations else []:
            points = curve_points(evaluations, curve)
            size = sum(len(repr(value)) + 1 for point in points for value in point)
            if size > left:
                dropped += 1
                continue
            left -= size
            unit = curve_unit(evaluations[0], curve)
            new = Chart(
                title=curve_title(curve),
                x_label=curve.x_label or curve.x,
                y_label=f"{curve.metric} ({unit})" if unit else curve.metric,
                log=curve.log,
                lines=[],
            )
            if points:
                charts[number].setdefault(curve_key(curve), new).lines.append(Line(place, points))
    for table, found in zip(data, charts, strict=True):
        table.curves = list(found.values())
    return [f"{dropped} curves of lower rows are left out."] if dropped else []


def _details(
    tables: Sequence[Table], files: Files, figures: dict[str, list[str]]
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]], int]:
    """Return the details by trial, the sections that they point to, and how many trials have none for want of room."""
    details: dict[str, dict[str, Any]] = {}
    sections: dict[str, int] = {}
    left, without = DETAILS_BUDGET, set()
    for folder in (folder for _, _, row in _best_first(tables) for folder in folders_of(row)):
        if folder in details or folder in without:
            continue
        trial = files.trial(folder) if left > 0 else None
        if trial is None:
            without.add(folder)
            continue
        known = len(sections)
        packed = _packed(describe(trial, files.path(folder, ""), figures.get(folder, [])), sections)
        packed["link"] = files.link(folder, TRIAL)
        details[folder] = packed
        left -= len(_json(packed)) + sum(len(text) for text in list(sections)[known:])
    return details, [json.loads(text) for text in sections], len(without)


def _packed(detail: Detail, sections: dict[str, int]) -> dict[str, Any]:
    """Return a detail whose sections are places in `sections`, which gets those that are new."""
    places = [sections.setdefault(_json(section), len(sections)) for section in detail.sections]
    return {**vars(detail), "sections": places}


def _json(value: object) -> str:
    """Return compact JSON of dataclasses, without the copies that `asdict` makes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=vars)


def _best_first(tables: Sequence[Table]) -> Iterable[tuple[int, int, Row]]:
    """Yield (table, place, row): the first rows of all tables, then the second ones, and so on."""
    for place in range(max((len(table.rows) for table in tables), default=0)):
        for number, table in enumerate(tables):
            if place < len(table.rows):
                yield number, place, table.rows[place]
