"""Any measurement against the methods: a row for each method, a column for each value of one coordinate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprbench.errors import UserError, did_you_mean
from reprbench.grammar import read_parameters, show_value
from reprbench.measurement import Measurement
from reprbench.report.grid import Grid, GridCell, grouped, method_name
from reprbench.report.measured import by_fold, fold_count, fold_ratio, matching
from reprbench.report.row import Row
from reprbench.report.statistics import Summary, bounds_of, summarize
from reprbench.report.table import Table
from reprbench.report.text import capitalized, decimals_for, folds_text, place_text, plus_minus
from reprbench.report.under import UnderLine
from reprbench.trial import Evaluation


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
    """One metric of the rows of one table."""

    table: Table
    metric: str
    unit: str
    better: str
    at: Mapping[str, Any]
    coordinate: str
    """The coordinate whose values are the columns; "" if nothing but the fold varies."""
    columns: tuple[Any, ...]
    rows: tuple[PivotRow, ...]
    folds: frozenset[int]
    """How many folds its values are over; 0 for those that belong to none."""


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


def make_pivots(question: PivotQuestion, tables: Sequence[Table]) -> list[Pivot]:
    """Return a pivot for each table whose rows have the metric at the fixed coordinates.

    Raises
    ------
    UserError
        If no row has the metric or the coordinates, or if more than one coordinate varies.
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
            pivots.append(_pivot(question, table, found))
    if not pivots:
        raise UserError(_nothing(question, seen))
    return pivots


def _pivot(question: PivotQuestion, table: Table, found: Sequence[tuple[Row, list[Measurement]]]) -> Pivot:
    measurements = [one for _, own in found for one in own]
    coordinate = _varying(question, measurements)
    columns = tuple(sorted({one.at.get(coordinate) for one in measurements}, key=_order)) if coordinate else (None,)
    rows: list[PivotRow] = []
    folds: set[int] = set()
    for row, own in found:
        cells = []
        for column in columns:
            values = by_fold([one for one in own if not coordinate or one.at.get(coordinate) == column])
            folds |= {fold_count(values)} if values else set()
            bounds = bounds_of(measurements[0].unit)
            cells.append(summarize(list(values.values()), fold_ratio(table.data), bounds) if values else None)
        reason = "" if own else f"{row.status}: {row.reason}" if row.reason else "not measured"
        rows.append(PivotRow(row, method_name(row), tuple(cells), reason))
    first = measurements[0]
    at = dict(question.at)
    return Pivot(
        table, question.metric, first.unit, first.better, at, coordinate, columns, tuple(rows), frozenset(folds)
    )


def _varying(question: PivotQuestion, measurements: Iterable[Measurement]) -> str:
    """Return the name of the one coordinate that varies, fold excepted; "" if none does."""
    values: dict[str, set[Any]] = {}
    for one in measurements:
        for name, value in one.at.items():
            if name != "fold" and name not in question.at:
                values.setdefault(name, set()).add(value)
    varying = {name: found for name, found in values.items() if len(found) > 1}
    # A name that goes with a number (a layer and its depth) is not a coordinate of its own.
    names = [name for name in varying if not _follows(name, varying, measurements)]
    if len(names) > 1:
        known = "; ".join(f"{name}: {', '.join(map(str, sorted(varying[name], key=_order)))}" for name in sorted(names))
        fixed = f"{question.metric}@{names[0]}={show_value(min(varying[names[0]], key=_order))}"
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


def _order(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size and before words."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))


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
    decimals = decimals_for((cell.mean for row in pivot.rows for cell in row.cells if cell), pivot.unit)
    named = [
        f"{pivot.coordinate} {column}" if pivot.coordinate else capitalized(pivot.metric) for column in pivot.columns
    ]
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
            *(UnderLine(f"{row.name}: {row.reason}") for row in pivot.rows if row.reason),
        ),
    )
