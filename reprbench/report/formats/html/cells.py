"""The cells of a table as a page shows them: rounded for people as in all formats, whole for sorting."""

from __future__ import annotations

from dataclasses import dataclass

from reprbench.report.formats.html.payload import folders_of
from reprbench.report.grid import Footnotes, numbers, under_lines
from reprbench.report.row import Row, of_several_seeds, row_name
from reprbench.report.table import Table
from reprbench.report.text import capitalized, count_text, decimals_for, memory_text, plus_minus, seconds_text

BEST = "* better than"
"""How the line begins under a printed table whose best row is starred; on a page that row is bold."""


@dataclass(frozen=True)
class Column:
    """A column: its key, its title, and whether numbers stand in it."""

    key: str
    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """What is shown, what is sorted by (nothing where there is nothing), a style, and the numbers of footnotes."""

    text: str
    value: float | str | None = None
    style: str = ""
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row: its name, signs after it with what they mean, cells by column, and the folders of its trials."""

    name: str
    marks: tuple[tuple[str, str], ...]
    notes: tuple[int, ...]
    cells: dict[str, Cell]
    trials: tuple[str, ...]
    status: str
    """Why there is no value; empty where there is one."""


@dataclass(frozen=True)
class Lines:
    """A table: columns that have something in them, rows, footnotes, and what is said under them."""

    columns: list[Column]
    rows: list[Line]
    footnotes: list[str]
    under: list[str]


def make_lines(table: Table) -> Lines:
    """Return the table as a page shows it."""
    columns = [
        Column("group", "Group", numeric=False),
        Column("result", capitalized(table.metric or "result")),
        Column("interval", "95 % interval"),
        Column("reference", "Reference"),
        Column("verdict", "Verdict", numeric=False),
        Column("features", "Features"),
        Column("parameters", "Parameters"),
        Column("fit", "Fit"),
        Column("evaluation", "Evaluation"),
        Column("memory", "Peak memory"),
    ]
    footnotes: Footnotes = {}
    unit = next((row.unit for row in table.rows if row.unit), "")
    decimals = decimals_for((row.mean for row in table.rows), unit)
    several = of_several_seeds(table.rows)
    rows = [_line(row, footnotes, several, decimals) for row in table.rows]
    used = [column for column in columns if any(row.cells[column.key].text for row in rows)]
    # On a page the best row is bold, so that its name stays a name.
    under = [
        f"Bold: better than{line.removeprefix(BEST)}" if line.startswith(BEST) else line for line in under_lines(table)
    ]
    return Lines(used, rows, list(footnotes), under)


def _line(row: Row, footnotes: Footnotes, several_seeds: bool, decimals: int) -> Line:
    reasons = [f"{row.status}: {row.reason}"] if row.status not in ("done", "not run") else []
    marks = [("†", "supervised")] if row.supervised else []
    marks += [("‡", "control")] if row.control else []
    return Line(
        name=row_name(row, several_seeds),
        marks=tuple(marks),
        notes=numbers([*reasons, *row.notes], footnotes),
        cells=_cells(row, footnotes, decimals),
        trials=tuple(folders_of(row)),
        status=row.status if row.mean is None else "",
    )


def _cells(row: Row, footnotes: Footnotes, decimals: int) -> dict[str, Cell]:
    place, verdict = row.standing.place, row.verdict
    mean = "—" if row.mean is None else plus_minus(row.mean, row.std, decimals)
    interval = "" if row.low is None else f"[{row.low:.{decimals}f}, {row.high:.{decimals}f}]"
    reference = "" if row.reference is None else plus_minus(row.reference, row.reference_spread)
    because = verdict.because if verdict else ()
    return {
        "group": Cell(row.group, row.group or None),
        "result": Cell(f"≈ {mean}" if place == "tie" else mean, row.mean, place if place in ("best", "tie") else ""),
        "interval": Cell(interval, row.low),
        "reference": Cell(reference, row.reference, notes=numbers(row.references, footnotes)),
        "verdict": Cell(
            str(verdict) if verdict else "",
            str(verdict) if verdict else None,
            verdict.word.replace(" ", "-") if verdict else "",
            numbers(because, footnotes),
        ),
        "features": Cell("" if row.dimension is None else str(row.dimension), row.dimension),
        "parameters": Cell(count_text(row.parameters), row.parameters),
        "fit": Cell(seconds_text(row.fit_seconds), row.fit_seconds),
        "evaluation": Cell(seconds_text(row.evaluation_seconds), row.evaluation_seconds),
        "memory": Cell(memory_text(row.peak_memory), row.peak_memory),
    }
