"""Tables and pivots as data: JSON with the structure kept, and one flat CSV; numbers unrounded."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from reprbench.measurement import Headline
from reprbench.printable import printable
from reprbench.report.choice import Choice
from reprbench.report.grid import shared_notes
from reprbench.report.pivot import Pivot
from reprbench.report.row import HeadlineResult, Row
from reprbench.report.similarity_maps import similarity_maps
from reprbench.report.statistics import Summary
from reprbench.report.table import Table
from reprbench.report.text import json_text
from reprbench.trial import to_json

Record = dict[str, Any]

_FORMULA = re.compile(r"[\s\"']*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]|[\t\r]")
"""How a text begins that a spreadsheet takes for a formula, in full width (＝) too."""


def as_json(shown: Sequence[Table | Pivot]) -> str:
    """Return the tables as a JSON list, in their structure."""
    return json_text([_pivot(one) if isinstance(one, Pivot) else _table(one) for one in shown])


def as_csv(shown: Sequence[Table | Pivot]) -> str:
    """Return one CSV: a line for each row and headline of each table, or for each cell of each pivot, even if empty.

    Lists are joined by "; ", and mappings written as ``name=value``.
    """
    records = [
        {name: _flat(value) for name, value in record.items()}
        for one in shown
        for record in (_pivot_records(one) if isinstance(one, Pivot) else _table_records(one))
    ]
    columns = list(dict.fromkeys(name for record in records for name in record))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _table(table: Table) -> Record:
    return {
        **_about(table),
        "codes": list(map(str, table.codes)),
        "headlines": [to_json(headline) for headline in table.headlines],
        "rows": [
            {**_row(row), "results": [_result(row.results[place], one) for place, one in enumerate(table.headlines)]}
            for row in table.rows
        ],
        "superseded": table.superseded,
        "comparisons": [comparison and vars(comparison) for comparison in table.comparisons],
        "seeds": [vars(spread) for spread in table.seeds],
        "explanations": table.explanations,
        "shared_notes": shared_notes(table),
        "order": table.order,
        "settings_not_shown": table.settings,
        "sweeps": [_sweep(choice) for choice in table.sweeps],
        "similarity": [vars(found) for found in similarity_maps(table)],
    }


def _sweep(choice: Choice) -> Record:
    """Return all settings of a sweep, with the values by which one was chosen."""
    return {
        "row": choice.sweep.row,
        "parameters": choice.sweep.parameters,
        "by": choice.sweep.by,
        "unit": choice.unit,
        "better": choice.better,
        "settings": [
            {"setting": one.setting, **_summary(one.value), "chosen": one is choice.chosen} for one in choice.settings
        ],
    }


def _table_records(table: Table) -> Iterable[Record]:
    maps = similarity_maps(table)
    for row in table.rows:
        # A column of its own only where there are maps.
        similar = {f"similarity_of_{found.name}": found.of_row(row.name) for found in maps}
        for place, headline in enumerate(table.headlines or (Headline(""),)):
            result = row.results[place] if row.results else None
            yield {**_about(table), **_row(row), **_result(result, headline), **similar}


def _about(table: Table) -> Record:
    """Return what identifies the table."""
    return {
        "benchmark": table.benchmark,
        "title": table.title,
        "dataset": table.data.title,
        "digest": table.data.digest,
        "protocol": str(table.protocol),
    }


def _row(row: Row) -> Record:
    """Return a row without its results."""
    reference, verdict = row.reference, row.verdict
    return {
        "label": row.label,
        "group": row.group,
        "seeds": list(row.seeds),
        "budget": str(row.key.budget),
        "precision": row.key.precision,
        "kind": row.kind,
        "code": str(row.code) if row.code else None,
        "status": row.status,
        "reason": row.reason,
        "superseded": row.superseded,
        "reference": reference and reference.value,
        "reference_spread": reference and reference.spread,
        "citation": reference and reference.text,
        "verdict": verdict and verdict.word,
        "difference": verdict and verdict.difference,
        "difference_half_width": verdict and verdict.half_width,
        "tolerance": verdict and verdict.tolerance,
        "detectable": verdict and verdict.detectable,
        "because": list(verdict.because) if verdict else [],
        "dimension": row.dimension,
        "parameters": row.parameters,
        "images_seen": row.images_seen,
        "steps": row.steps,
        "fit_flops": row.fit_flops,
        "fit_seconds": row.fit_seconds,
        "beside": row.beside,
        "evaluation_seconds": row.evaluation_seconds,
        "peak_memory": row.peak_memory,
        "peak_device_memory": row.peak_device_memory,
        "tries": row.tries,
        **_choice(row),
        "only_setting": row.only_setting,
        "notes": list(row.notes),
        "trials": [source.trial.folder for source in row.sources],
    }


def _choice(row: Row) -> Record:
    """Return which setting a row shows, and how it was chosen, if it is that of a sweep."""
    choice = row.choice
    return {
        "setting": choice.chosen.setting if choice and choice.chosen else {},
        "chosen_by": choice and choice.sweep.by,
        "chosen_on": list(choice.sweep.chosen_on) if choice else [],
        "reported_on": list(choice.sweep.reported_on) if choice else [],
        "settings_without_value": choice and choice.failed,
        "settings_missing": choice and choice.missing,
    }


def _result(result: HeadlineResult | None, headline: Headline) -> Record:
    """Return a row's result for one headline; if there is none, only the headline."""
    return {
        "metric": headline.metric,
        "at": dict(headline.at),
        "unit": result.unit if result else "",
        "better": result.better if result else "neither",
        **_summary(result.summary if result else None),
        "folds": len(result.by_fold) if result else 0,
        # Keys of JSON objects are strings: "" for a value that belongs to no fold.
        "by_fold": {"" if fold is None else str(fold): value for fold, value in result.by_fold.items()}
        if result
        else {},
        "standing": result.standing.place if result else "untested",
        "p": result.standing.p if result else None,
        "tested_seeds": result.standing.seeds if result else 0,
        "tested_folds": result.standing.folds if result else 0,
    }


def _summary(summary: Summary | None) -> Record:
    """Return the numbers of a summary, each None if there is none."""
    interval = summary.interval if summary else None
    return {
        "mean": summary and summary.mean,
        "std": summary and summary.std,
        "low": interval and interval[0],
        "high": interval and interval[1],
    }


def _cell(cell: Summary | None) -> Record:
    return {**_summary(cell), "n": cell.n if cell else 0}


def _pivot(pivot: Pivot) -> Record:
    return {
        **_about_pivot(pivot),
        "columns": pivot.columns,
        "rows": [
            {**_row(one.row), "reason": one.reason, "cells": [cell and _cell(cell) for cell in one.cells]}
            for one in pivot.rows
        ],
    }


def _pivot_records(pivot: Pivot) -> Iterable[Record]:
    for one in pivot.rows:
        for column, cell in zip(pivot.columns, one.cells, strict=True):
            reason = one.row.reason if cell else one.reason or "not measured"
            yield {**_about_pivot(pivot), **_row(one.row), "reason": reason, "value": column, **_cell(cell)}


def _about_pivot(pivot: Pivot) -> Record:
    """Return what identifies the pivot."""
    return {
        **_about(pivot.table),
        "metric": pivot.metric,
        "unit": pivot.unit,
        "better": pivot.better,
        "at": dict(pivot.at),
        "coordinate": pivot.coordinate,
        "relative_to": pivot.relative_to,
    }


def _flat(value: object) -> object:
    """Return a value that one cell of a CSV can hold: numbers and truth values unchanged, all others as a text."""
    if isinstance(value, dict):
        return _text("; ".join(f"{key}={number}" for key, number in value.items()))
    if isinstance(value, list | tuple):
        return _text("; ".join(map(str, value)))
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """Return a text on one line; an apostrophe keeps a spreadsheet from reading it as a formula (OWASP)."""
    shown = printable(text, None)
    return f"'{shown}" if _FORMULA.match(text) else shown
