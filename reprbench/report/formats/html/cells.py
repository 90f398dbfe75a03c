"""The cells of a table as a page shows them: rounded as in all formats, with the full number for sorting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprbench.report.formats.html.costs import COST_KINDS
from reprbench.report.grid import (
    Footnotes,
    emphasis,
    grouped,
    headline_headers,
    interval_text,
    mean_text,
    notes_of,
    numbers,
    reference_notes,
    shared_lines,
    shared_notes,
)
from reprbench.report.row import HeadlineResult, Row
from reprbench.report.table import Table
from reprbench.report.text import fixed, plus_minus
from reprbench.report.under import KINDS, Emphasis, KindSign, headline_decimals, under_lines

EXPLAINS: Mapping[Emphasis, str] = {"best": "Bold: {}", "tie": "≈ {}", "": "{}"}
"""The lines under a table, by the emphasis that they explain."""
EMPHASIS: Mapping[Emphasis, str] = {"best": "{}", "tie": "≈ {}", "": "{}"}
"""Cells by their emphasis; the style makes the best bold, so that its text stays a number."""


COST_COLUMNS = ("parameters", "images", "steps", "fit-flops", "fit", "evaluation", "memory", "device-memory")
"""The columns of costs, in order."""


@dataclass(frozen=True)
class PageColumn:
    """A column: its key, its title, and whether it holds numbers."""

    key: str
    title: str
    numeric: bool = True


@dataclass(frozen=True)
class PageCell:
    """What is shown, what is sorted by (None where there is nothing), a style, and the numbers of footnotes."""

    text: str
    value: float | str | None = None
    style: str = ""
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PageRow:
    """A row: its place in the table, name, the sign of its kind, footnotes, cells by column, and a style."""

    place: int
    name: str
    sign: KindSign | None
    notes: tuple[int, ...]
    cells: Mapping[str, PageCell]
    style: str


@dataclass(frozen=True)
class PageTable:
    """A table: columns that are not empty, rows by their heading, footnotes, and the lines under them."""

    columns: list[PageColumn]
    groups: list[tuple[str, list[PageRow]]]
    footnotes: list[str]
    under: list[str]


def page_table(table: Table) -> PageTable:
    """Return the table as a page shows it."""
    footnotes: Footnotes = {}
    decimals, shared = headline_decimals(table), shared_notes(table)
    places = {id(row): place for place, row in enumerate(table.rows)}
    groups = [
        (heading, [_row(row, places[id(row)], footnotes, decimals, shared) for row in rows])
        for heading, rows in grouped(table.rows, table.order)
    ]
    cells = [row.cells for _, rows in groups for row in rows]
    used = [column for column in _columns(table) if any(one[column.key].text for one in cells)]
    under = [*shared_lines(table, shared), *(EXPLAINS[line.explains].format(line.text) for line in under_lines(table))]
    return PageTable(used, groups, list(footnotes), under)


def _columns(table: Table) -> list[PageColumn]:
    titles = headline_headers(table)
    costs = {key: PageColumn(key, kind.column) for key, kind in COST_KINDS.items()}
    return [
        *(
            PageColumn(key, title)
            for place in range(len(titles) // 2)
            for key, title in zip(_headline_keys(place), titles[2 * place :], strict=False)
        ),
        PageColumn("reference", "Reference"),
        PageColumn("verdict", "Verdict", numeric=False),
        PageColumn("features", "Features"),
        *(costs[key] for key in COST_COLUMNS),
    ]


def _headline_keys(place: int) -> tuple[str, str]:
    """Return the keys of a headline's columns: of its result, and of its interval."""
    return f"result-{place}", f"interval-{place}"


def _row(row: Row, place: int, footnotes: Footnotes, decimals: Sequence[int], shared: Sequence[str]) -> PageRow:
    styles = [*(["hole"] if row.mean is None else []), *(["superseded"] if row.superseded else [])]
    notes = numbers(notes_of(row, shared), footnotes)
    return PageRow(place, row.name, KINDS.get(row.kind), notes, _cells(row, footnotes, decimals), " ".join(styles))


def _cells(row: Row, footnotes: Footnotes, decimals: Sequence[int]) -> dict[str, PageCell]:
    reference = row.reference
    published = plus_minus(reference.value, reference.spread) if reference else ""
    return {
        **_result_cells(row, decimals),
        "reference": PageCell(
            published, reference.value if reference else None, notes=numbers(reference_notes(row), footnotes)
        ),
        "verdict": _verdict_cell(row),
        "features": PageCell("" if row.dimension is None else fixed(row.dimension, 0), row.dimension),
        **{key: PageCell(kind.text(row), kind.value(row)) for key, kind in COST_KINDS.items()},
    }


def _result_cells(row: Row, decimals: Sequence[int]) -> dict[str, PageCell]:
    """Return result and interval of each headline; if there is no result, the first cell is the status."""
    results = row.results or (None,)
    cells: dict[str, PageCell] = {}
    for place, (result, digits) in enumerate(zip(results, decimals or (1,), strict=True)):
        result_key, interval_key = _headline_keys(place)
        interval = result.summary.interval if result else None
        cells[result_key] = _result_cell(result, digits)
        cells[interval_key] = PageCell(interval_text(result, digits), interval[0] if interval else None)
    if row.mean is None and row.status != "done":
        cells[_headline_keys(0)[0]] = PageCell(row.status, style="status")
    return cells


def _result_cell(result: HeadlineResult | None, decimals: int) -> PageCell:
    place = emphasis(result)
    value = result.summary.mean if result else None
    return PageCell(EMPHASIS[place].format(mean_text(result, decimals)), value, place)


def _verdict_cell(row: Row) -> PageCell:
    verdict = row.verdict
    if verdict is None:
        return PageCell("")
    return PageCell(str(verdict), str(verdict), verdict.word.replace(" ", "-"))
