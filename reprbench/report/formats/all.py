"""Tables and pivots in all formats: for the terminal, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

import msgspec

from reprbench.report.best import Standing
from reprbench.report.formats.latex import as_document
from reprbench.report.grid import Grid, table_grid
from reprbench.report.pivot import Pivot, pivot_grid
from reprbench.report.ranks import ranks_over_datasets
from reprbench.report.table import Table
from reprbench.report.text import count_text, json_text, plus_minus, seconds_text
from reprbench.report.verdict import Verdict

__all__ = [
    "FORMATS",
    "as_csv",
    "as_json",
    "as_latex",
    "as_markdown",
    "as_terminal",
    "count_text",
    "plus_minus",
    "seconds_text",
]

Shown = Sequence[Table | Pivot]

TERMINAL = {"best": "* {}", "tie": "≈ {}", "": "{}"}
MARKDOWN = {"best": "**{}**", "tie": "≈ {}", "": "{}"}


def as_terminal(tables: Shown) -> str:
    """Return the tables for a terminal."""
    return "\n\n".join([*(_text(_grid(table), "simple", "{}", TERMINAL, "\n") for table in tables), *_ranks(tables)])


def as_markdown(tables: Shown) -> str:
    """Return the tables as GitHub's Markdown."""
    blocks = [_text(_grid(table), "github", "### {}", MARKDOWN, "\n\n") for table in tables]
    return "\n\n".join([*blocks, *map(_escaped, _ranks(tables))]) + "\n"


def as_latex(tables: Shown) -> str:
    """Return a LaTeX document of the tables, rows in the benchmark's order and under its headings."""
    return as_document([_grid(table, by_group=True) for table in tables])


def as_csv(tables: Shown) -> str:
    """Return one flat CSV: a line for each row of each table (each cell of each pivot), numbers unrounded."""
    records = [record for table in tables for record in _records(table)]
    columns = list(dict.fromkeys(name for record in records for name in record))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def as_json(tables: Shown) -> str:
    """Return the tables as JSON, numbers unrounded."""
    return json_text(list(tables), _fields)


def _fields(value: object) -> dict[str, object]:
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else vars(value)


FORMATS: dict[str, Callable[[Shown], str]] = {
    "table": as_terminal,
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
}


def _ranks(tables: Shown) -> list[str]:
    """Return a line for each protocol whose methods can be ranked over several datasets."""
    return [str(ranks) for ranks in ranks_over_datasets([table for table in tables if isinstance(table, Table)])]


def _grid(table: Table | Pivot, by_group: bool = False) -> Grid:
    return pivot_grid(table) if isinstance(table, Pivot) else table_grid(table, by_group)


def _records(table: Table | Pivot) -> list[dict[str, object]]:
    """Return flat records: lists are joined by "; ", mappings written as ``name=value``."""
    if isinstance(table, Pivot):
        shared = {name: value for name, value in vars(table).items() if name not in ("rows", "columns", "at")}
        return [
            {**shared, **_flat("at", table.at), "label": row.label, "seed": row.seed, "value": column, **vars(cell)}
            for row in table.rows
            for column, cell in zip(table.columns, row.cells, strict=True)
            if cell
        ]
    elsewhere = ("rows", "references", "comparison", "seeds", "explanations", "order")
    shared = _flattened({name: value for name, value in vars(table).items() if name not in elsewhere})
    return [{**shared, **_flattened(msgspec.structs.asdict(row))} for row in table.rows]


def _flattened(record: Mapping[str, object]) -> dict[str, object]:
    return {name: value for key, content in record.items() for name, value in _flat(key, content).items()}


def _flat(name: str, value: object) -> dict[str, object]:
    """Return one field of a record as one or more columns."""
    if name == "key":
        return {}
    if value is None or isinstance(value, str | int | float):
        return {name: value}
    if isinstance(value, Verdict):
        because = "; ".join(value.because)
        return {"verdict": value.word, "difference": value.difference, "margin": value.margin, "because": because}
    if isinstance(value, Standing):
        return {"standing": value.place, "p": value.p}
    if isinstance(value, Mapping):
        return {name: "; ".join(f"{key}={number}" for key, number in value.items())}
    if isinstance(value, tuple):
        return {name: "; ".join(map(str, value))}
    return {name: value}


def _text(grid: Grid, style: str, heading: str, emphasis: Mapping[str, str], blank: str) -> str:
    """Return one table: heading, rows, and under it everything a reader needs to judge it."""
    from tabulate import tabulate

    escape = _escaped if style == "github" else str
    body = tabulate(
        [[emphasis[cell.emphasis].format(escape(cell.text)) for cell in line] for line in grid.lines],
        grid.headers,
        tablefmt=style,
        disable_numparse=True,
        colalign=["left" if left else "right" for left in grid.left],
    )
    under = [
        escape(f"bold: {line[2:]}" if style == "github" and line.startswith("* ") else line) for line in grid.under
    ]
    return f"{heading.format(escape(grid.title))}\n\n{body}\n\n" + blank.join(under)


_ESCAPES = str.maketrans({sign: f"\\{sign}" for sign in "\\|*_`<"})


def _escaped(text: str) -> str:
    """Return text that GitHub's Markdown shows as it is, in a cell too."""
    return text.translate(_ESCAPES)
