"""Any measurement against the methods: a row for each method, a column for each value of one coordinate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprbench.errors import UserError, did_you_mean
from reprbench.grammar import read_parameters, show_value
from reprbench.measurement import FOLD, Better, Measurement
from reprbench.report.grid import Grid, GridCell, grouped, method_name
from reprbench.report.measured import ByFold, by_fold, fold_count, fold_ratio, matching, over_seeds
from reprbench.report.row import Row
from reprbench.report.statistics import Summary, bounds_of, summarize
from reprbench.report.table import Table
from reprbench.report.text import capitalized, decimals_for, folds_text, place_text, plus_minus, value_order
from reprbench.report.under import UnderLine
from reprbench.trial import Evaluation

MEAN = "mean"
"""The column of the mean over all others, where values are relative to those of a row."""


@dataclass(frozen=True)
class PivotQuestion:
    """A metric, and the coordinates that are fixed."""

    metric: str
    at: Mapping[str, Any]


@dataclass(frozen=True)
class PivotRow:
    """One method: its values in the order of the columns; None where it has none."""

    row: Row
    name: str
    """The label with seed and sign."""
    cells: tuple[Summary | None, ...]
    reason: str = ""
    """Why there are no values."""


@dataclass(frozen=True)
class Pivot:
    """One metric of the rows of one table, best first by that metric alone."""

    table: Table
    metric: str
    unit: str
    better: Better
    at: Mapping[str, Any]
    coordinate: str
    """The coordinate whose values are the columns; "" if nothing but the fold varies."""
    columns: tuple[Any, ...]
    rows: tuple[PivotRow, ...]
    folds: frozenset[int]
    """How many folds its values are over; 0 for those that belong to none."""
    relative_to: str = ""
    """The label of the row whose values are 100, fold by fold; the last column is then the mean over the others."""


def parse_question(text: str) -> PivotQuestion:
    """Read ``METRIC`` or ``METRIC@coordinate=value,…``; see `reprbench.grammar` for the values.

    Raises
    ------
    UserError
        In one line, if `text` is neither.
    """
    metric, _, rest = text.partition("@")
    try:
        at = read_parameters(rest)
    except UserError as error:
        raise UserError(f"--pivot {text!r}: expected METRIC@coordinate=value,coordinate=value; {error}") from None
    if not metric.strip():
        raise UserError(f"--pivot {text!r}: no metric; expected METRIC@coordinate=value,…")
    return PivotQuestion(metric.strip(), at)


def make_pivots(question: PivotQuestion, tables: Sequence[Table], relative_to: str = "") -> list[Pivot]:
    """Return a pivot for each table whose rows have the metric at the fixed coordinates.

    Parameters
    ----------
    relative_to : the label of a row; values are then percents of those that it has in the same fold and column, on
        average over its seeds, and a column is added with the mean over all. Of the corruption errors of `robustness`
        that is the mean corruption error (D. Hendrycks, T. Dietterich 2019).

    Raises
    ------
    UserError
        If no row has the metric or the coordinates, or if more than one coordinate varies; or if a table has no row of
        that label with values.
    """
    pivots, seen = [], []
    for table in tables:
        found = []
        for row in (row for row in table.rows if row.sources):
            # Rows of a pivot are single trials: tables with several seeds in one row have no pivot.
            evaluation = row.sources[0].evaluation
            if evaluation:
                seen.append(evaluation)
            found.append((row, matching(evaluation, question.metric, question.at) if evaluation else []))
        if any(measurements for _, measurements in found):
            pivots.append(_pivot(question, table, found, relative_to))
    if not pivots:
        raise UserError(_nothing(question, seen))
    return pivots


def _pivot(
    question: PivotQuestion, table: Table, found: Sequence[tuple[Row, list[Measurement]]], relative_to: str
) -> Pivot:
    measurements = [one for _, own in found for one in own]
    coordinate = _varying(question, measurements)
    columns = (
        tuple(sorted({one.at.get(coordinate) for one in measurements}, key=value_order)) if coordinate else (None,)
    )
    values = [[by_fold(_at(own, coordinate, column)) for column in columns] for _, own in found]
    first, bounds = measurements[0], bounds_of(measurements[0].unit)
    unit = first.unit
    if relative_to:
        baseline = [own for (row, _), own in zip(found, values, strict=True) if row.label == relative_to and any(own)]
        values = relative(values, _baseline(baseline, relative_to, table))
        columns, unit, bounds = (*columns, MEAN), f"% of {relative_to}", bounds_of("")
    rows = []
    for (row, own), cells in zip(found, values, strict=True):
        summaries = (summarize(list(one.values()), fold_ratio(table.data), bounds) if one else None for one in cells)
        reason = "" if own else f"{row.status}: {row.reason}" if row.reason else "not measured"
        rows.append(PivotRow(row, method_name(row), tuple(summaries), reason))
    rows.sort(key=lambda row: _badness(row, first.better))
    folds = frozenset(fold_count(one) for cells in values for one in cells if one)
    at = dict(question.at)
    return Pivot(table, question.metric, unit, first.better, at, coordinate, columns, tuple(rows), folds, relative_to)


def _at(measurements: Iterable[Measurement], coordinate: str, column: Any) -> list[Measurement]:
    return [one for one in measurements if not coordinate or one.at.get(coordinate) == column]


def _baseline(seeds: Sequence[Sequence[ByFold]], label: str, table: Table) -> list[ByFold]:
    """Return the values of the baseline in each column: the mean over its seeds."""
    if not seeds:
        labels = dict.fromkeys(row.label for row in table.rows)
        known = f"{did_you_mean(label, labels)} Rows: {', '.join(labels)}"
        raise UserError(f"--relative-to: {table.benchmark}, {table.protocol}: no row {label!r} with values.{known}")
    return [over_seeds([own[column] for own in seeds]) for column in range(len(seeds[0]))]


def relative(values: Sequence[Sequence[ByFold]], baseline: Sequence[ByFold]) -> list[list[ByFold]]:
    """Return the values of rows in percent of a baseline's, by column and fold, and a column with their mean.

    A fold that the baseline lacks, or where it is 0, is left out; the mean is over folds that all columns have.
    """
    found = []
    for row in values:
        cells: list[ByFold] = [
            {fold: 100 * value / base[fold] for fold, value in own.items() if base.get(fold)}
            for own, base in zip(row, baseline, strict=True)
        ]
        # As over seeds: of each fold that all columns have.
        found.append([*cells, over_seeds(cells)])
    return found


def _badness(row: PivotRow, better: Better) -> tuple[bool, float, str]:
    """Return a key that sorts rows by their mean over the columns, best first; without a direction by their names.

    The order of the table would tell what was measured on the test split.
    """
    known = [cell.mean for cell in row.cells if cell]
    mean = sum(known) / len(known) if known and better != "neither" else 0.0
    return not known, mean if better == "lower" else -mean, row.name


def _varying(question: PivotQuestion, measurements: Iterable[Measurement]) -> str:
    """Return the name of the one coordinate that varies, fold excepted; "" if none does."""
    values: dict[str, set[Any]] = {}
    for one in measurements:
        for name, value in one.at.items():
            if name != FOLD and name not in question.at:
                values.setdefault(name, set()).add(value)
    varying = {name: found for name, found in values.items() if len(found) > 1}
    # A name that goes with a number (a layer and its depth) is not a coordinate of its own.
    names = [name for name in varying if not _follows(name, varying, measurements)]
    if len(names) > 1:
        known = "; ".join(
            f"{name}: {', '.join(map(str, sorted(varying[name], key=value_order)))}" for name in sorted(names)
        )
        fixed = f"{question.metric}@{names[0]}={show_value(min(varying[names[0]], key=value_order))}"
        raise UserError(
            f"--pivot {question.metric!r}: {' and '.join(sorted(names))} vary; "
            f"fix all but one, as in {fixed!r} ({known})"
        )
    return names[0] if names else next(iter(values), "")


def _follows(name: str, varying: Mapping[str, set[Any]], measurements: Iterable[Measurement]) -> bool:
    """Return whether the values of `name` follow, one to one, from those of a coordinate that comes before it."""
    for other in varying:
        if other == name:
            return False
        pairs = {(one.at.get(other), one.at.get(name)) for one in measurements}
        if len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs}):
            return True
    return False


def _nothing(question: PivotQuestion, evaluations: Iterable[Evaluation]) -> str:
    measurements = [one for evaluation in evaluations for one in evaluation.measurements]
    metrics = dict.fromkeys(one.metric for one in measurements)
    if question.metric not in metrics:
        near = did_you_mean(question.metric, metrics)
        return f"--pivot: unknown metric {question.metric!r}.{near} Known: {', '.join(metrics) or 'none'}"
    places = [one.at for one in measurements if one.metric == question.metric]
    names = dict.fromkeys(name for at in places for name in at)
    for name, value in question.at.items():
        if name not in names:
            near = did_you_mean(name, names)
            return f"--pivot: {question.metric!r} has no coordinate {name!r}.{near} Known: {', '.join(names) or 'none'}"
        values = dict.fromkeys(str(at[name]) for at in places if name in at)
        if str(value) not in values:
            near = did_you_mean(str(value), values)
            return f"--pivot: no {question.metric!r} at {name}={value}.{near} Known: {', '.join(values)}"
    place = place_text(question.at.items())
    return f"--pivot: {question.metric!r} was never measured at {place} together; fix fewer coordinates"


def pivot_grid(pivot: Pivot) -> Grid:
    """Return a pivot as text."""
    table = pivot.table
    unit = "%" if pivot.relative_to else pivot.unit
    decimals = decimals_for((cell.mean for row in pivot.rows for cell in row.cells if cell), unit)
    named = [
        f"{pivot.coordinate} {column}" if pivot.coordinate else capitalized(pivot.metric) for column in pivot.columns
    ]
    if pivot.relative_to:
        named[-1] = capitalized(MEAN)
    lines = {
        id(one.row): (
            GridCell(one.name),
            *(GridCell(plus_minus(c.mean, c.std, decimals) if c else "—") for c in one.cells),
        )
        for one in pivot.rows
    }
    groups = grouped([one.row for one in pivot.rows], table.order)
    what = f"{pivot.metric}{f' in {pivot.unit}' if pivot.unit else ''}"
    what += f" at {place_text(pivot.at.items())}" if pivot.at else ""
    better = f"; {pivot.better} is better" if pivot.better != "neither" else ""
    return Grid(
        title=f"{table.benchmark}: {table.data.title}, {table.protocol}, {what}",
        subtitle=table.title,
        headers=("Method", *named),
        left=(True, *(False for _ in named)),
        blocks=tuple((heading, tuple(lines[id(row)] for row in rows)) for heading, rows in groups),
        under=(
            UnderLine(f"{what}: {folds_text(pivot.folds)}{better}"),
            UnderLine(f"data {table.data.title}, digest {table.data.digest[:12]}"),
            *(UnderLine(f"{one.name}: {one.row.choice.text}") for one in pivot.rows if one.row.choice),
            *(UnderLine(f"{row.name}: {row.reason}") for row in pivot.rows if row.reason),
        ),
    )
