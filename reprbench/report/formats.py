"""Tables as text: for the terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from reprbench.report.table import Row, Table

HEADERS = ("Method", "{metric}", "Reference", "Features", "Parameters", "Fit", "Evaluation", "Peak memory", "Notes")


def as_terminal(tables: Sequence[Table]) -> str:
    """Return the tables for a terminal."""
    return "\n\n".join(_text(table, "simple", heading="{}") for table in tables)


def as_markdown(tables: Sequence[Table]) -> str:
    """Return the tables as GitHub's Markdown."""
    return "\n\n".join(_text(table, "github", heading="### {}") for table in tables) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """Return one flat CSV: a line for each row of each table, numbers unrounded."""
    import pandas as pd

    text: str = pd.DataFrame(_records(tables)).to_csv(index=False)
    return text


def as_json(tables: Sequence[Table]) -> str:
    """Return the tables as JSON, numbers unrounded."""
    return json.dumps([asdict(table) for table in tables], indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "table": as_terminal,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def _records(tables: Sequence[Table]) -> list[dict[str, object]]:
    records = []
    for table in tables:
        shared = asdict(table)
        rows = shared.pop("rows")
        shared.pop("references")
        records += [{**shared, **row, "notes": "; ".join(row["notes"])} for row in rows]
    return records


def _text(table: Table, style: str, heading: str) -> str:
    """Return one table: heading, rows, and under it everything a reader needs to judge it."""
    from tabulate import tabulate

    footnotes: list[str] = []
    seeds = {row.seed for row in table.rows}
    body = [_cells(row, footnotes, show_seed=len(seeds) > 1) for row in table.rows]
    headers = [header.format(metric=f"{table.metric or 'result'}".capitalize()) for header in HEADERS]
    used = [column for column in range(len(headers)) if any(cells[column] for cells in body)]
    grid = tabulate(
        [[cells[column] for column in used] for cells in body],
        [headers[column] for column in used],
        tablefmt=style,
        disable_numparse=True,
        colalign=["left" if headers[c] in ("Method", "Notes") else "right" for c in used],
    )
    title = heading.format(f"{table.benchmark}: {table.dataset}, {table.protocol}")
    blank = "\n\n" if style == "github" else "\n"
    return f"{title}\n\n{grid}\n\n" + blank.join(_under(table, footnotes))


def _cells(row: Row, footnotes: list[str], show_seed: bool) -> list[str]:
    marks = ("†" if row.supervised else "") + ("‡" if row.control else "")
    notes = [f"{row.status}: {row.reason}"] if row.status != "done" else []
    return [
        f"{row.label}{f' (seed {row.seed})' if show_seed else ''}{' ' + marks if marks else ''}",
        "—" if row.mean is None else plus_minus(row.mean, row.std),
        "" if row.reference is None else plus_minus(row.reference, row.reference_spread),
        "" if row.dimension is None else str(row.dimension),
        count_text(row.parameters),
        seconds_text(row.fit_seconds),
        seconds_text(row.evaluation_seconds),
        "" if row.peak_memory is None else f"{row.peak_memory / 2**20:.0f} MB",
        " ".join(f"[{_number(note, footnotes)}]" for note in [*notes, *row.notes]),
    ]


def _number(note: str, footnotes: list[str]) -> int:
    """Return the number under which `note` stands, adding it if it is new."""
    if note not in footnotes:
        footnotes.append(note)
    return footnotes.index(note) + 1


def _under(table: Table, footnotes: Sequence[str]) -> list[str]:
    lines = [f"[{number}] {note}" for number, note in enumerate(footnotes, start=1)]
    if any(row.supervised for row in table.rows):
        lines.append("† supervised: fitted once a fold, with that fold's labels")
    if any(row.control for row in table.rows):
        lines.append("‡ control: learns nothing from an objective of its own")
    folds = sorted({row.folds for row in table.rows if row.folds})
    unit = next((row.unit for row in table.rows if row.unit), "")
    if folds:
        spread = "mean ± standard deviation (ddof = 0) over" if max(folds) > 1 else "on"
        what = f"{table.metric}{f' in {unit}' if unit else ''}"
        lines.append(f"{what}: {spread} {'/'.join(map(str, folds))} fold{'s' if max(folds) > 1 else ''}")
    version = f" version {', '.join(map(str, table.versions))}" if table.versions else ""
    if len(table.versions) > 1:
        version += " (mixed: run the benchmark again)"
    lines.append(
        f"protocol {table.protocol}{version}; data {table.dataset}, digest {table.digest[:12]} ({table.counts})"
    )
    lines += [f"reference: {reference}" for reference in table.references]
    if table.superseded:
        lines.append(f"{table.superseded} older trials of these rows, made by other code, are not shown")
    return lines


def plus_minus(value: float, spread: float | None) -> str:
    """Return a value as a table prints it."""
    return f"{value:.1f}" if spread is None else f"{value:.1f} ± {spread:.1f}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in a unit that suits it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def count_text(count: int | None) -> str:
    """Return a count with three figures, in thousands or millions where that is shorter."""
    if count is None:
        return ""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)
