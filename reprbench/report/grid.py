"""A table as cells of text and the lines under it: what all printed formats share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from reprbench.report.row import NOT_RUN, HeadlineResult, Row
from reprbench.report.statistics import POWER
from reprbench.report.table import Table
from reprbench.report.text import (
    capitalized,
    count_text,
    fixed,
    memory_text,
    plus_minus,
    seconds_text,
)
from reprbench.report.under import BESIDE, KINDS, Emphasis, UnderLine, headline_decimals, under_lines
from reprbench.report.verdict import Verdict

COSTS = ("Features", "Parameters", "Fit", "Evaluation", "Peak memory", "Peak device memory")
LEFT = {"Method", "Verdict", "Notes"}

Footnotes = dict[str, int]
"""Notes and their numbers, from 1."""


class GridCell(Struct, frozen=True):
    """A text, and whether it is the best of its column or tied with the best."""

    text: str
    emphasis: Emphasis = ""


@dataclass(frozen=True)
class Grid:
    """A table as text.

    Attributes
    ----------
    title : says which table it is.
    subtitle : the benchmark's title; empty if it has none.
    headers : column titles.
    left : which columns are left-aligned.
    blocks : a heading ("" for none) and lines of cells for each, in reading order.
    under : lines to print below.
    """

    title: str
    subtitle: str
    headers: tuple[str, ...]
    left: tuple[bool, ...]
    blocks: tuple[tuple[str, tuple[tuple[GridCell, ...], ...]], ...]
    under: tuple[UnderLine, ...]

    @property
    def lines(self) -> list[tuple[GridCell, ...]]:
        """The lines of all blocks."""
        return [line for _, lines in self.blocks for line in lines]


def table_grid(table: Table, by_group: bool = False) -> Grid:
    """Return a table as text, under its headings: best rows first, or in the order of the benchmark's file."""
    footnotes: Footnotes = {}
    decimals, shared = headline_decimals(table), shared_notes(table)
    blocks = [
        (heading, [_cells(row, footnotes, decimals, shared) for row in rows])
        for heading, rows in grouped(table.rows, table.order, in_order=by_group)
    ]
    headers = ["Method", *headline_headers(table), "Reference", "Verdict", *COSTS, "Notes"]
    lines = [line for _, block in blocks for line in block]
    used = [column for column in range(len(headers)) if any(line[column].text for line in lines)]
    return Grid(
        title=f"{table.benchmark}: {table.data.title}, {table.protocol}",
        subtitle=table.title,
        headers=tuple(headers[column] for column in used),
        left=tuple(headers[column] in LEFT for column in used),
        blocks=tuple(
            (heading, tuple(tuple(line[column] for column in used) for line in block)) for heading, block in blocks
        ),
        under=(
            *(UnderLine(f"[{number}] {note}") for note, number in footnotes.items()),
            *map(UnderLine, shared_lines(table, shared)),
            *under_lines(table),
        ),
    )


def headline_headers(table: Table) -> list[str]:
    """Return the titles of the columns of results: for each headline its name and its interval."""
    if len(table.headlines) < 2:
        return [capitalized(table.metric or "result"), "95 % interval"]
    return [title for name in table.headline_names for title in (capitalized(name), f"{name}, 95 % interval")]


def grouped(rows: Sequence[Row], order: Sequence[str], in_order: bool = False) -> list[tuple[str, list[Row]]]:
    """Return the headings of a table and their rows; those without a heading come first.

    Parameters
    ----------
    order : labels in the order of the benchmark's file, which is that of the headings too.
    in_order : whether the rows under a heading are in this order; by default they stay as they are.
    """
    places = {label: place for place, label in enumerate(order)}
    if in_order:
        rows = sorted(rows, key=lambda row: (places.get(row.label, len(places)), row.label, row.seeds))
    by_place = sorted(rows, key=lambda row: (row.group != "", places.get(row.label, len(places))))
    headings = dict.fromkeys(row.group for row in by_place)
    return [(heading, [row for row in rows if row.group == heading]) for heading in headings]


def shared_notes(table: Table) -> tuple[str, ...]:
    """Return the notes that all rows of a table share, if it has several; they need not stand in every one."""
    first, *others = [notes_of(row) for row in table.rows if row.sources] or [[]]
    return tuple(note for note in first if others and all(note in notes for notes in others))


def shared_lines(table: Table, shared: Iterable[str]) -> list[str]:
    """Return the lines under a table about what all of its rows share."""
    which = "all rows" if all(row.sources for row in table.rows) else "all rows that were run"
    return [f"{which}: {note}" for note in shared]


def _cells(row: Row, footnotes: Footnotes, decimals: Sequence[int], shared: Sequence[str]) -> list[GridCell]:
    """Return the cells of a row; its notes, except for `shared` ones, are added to the footnotes."""
    source = _numbers(reference_notes(row), footnotes)
    published = ""
    if row.reference:
        published = f"{plus_minus(row.reference.value, row.reference.spread)} {source}"
    return [
        GridCell(method_name(row)),
        *_result_cells(row, decimals),
        GridCell(published),
        GridCell(str(row.verdict or "")),
        GridCell("" if row.dimension is None else fixed(row.dimension, 0)),
        GridCell(count_text(row.parameters)),
        GridCell(fit_text(row)),
        GridCell(seconds_text(row.evaluation_seconds)),
        GridCell(memory_text(row.peak_memory)),
        GridCell(memory_text(row.peak_device_memory)),
        GridCell(_numbers(notes_of(row, shared), footnotes)),
    ]


def fit_text(row: Row) -> str:
    """Return the seconds of the fit, with the sign of fits that did not have the machine to themselves."""
    seconds = seconds_text(row.fit_seconds)
    return f"{seconds} {BESIDE}" if seconds and row.beside else seconds


def _result_cells(row: Row, decimals: Sequence[int]) -> list[GridCell]:
    if not row.results:
        return [GridCell("—"), GridCell("")]
    return [
        cell
        for result, places in zip(row.results, decimals, strict=True)
        for cell in (GridCell(mean_text(result, places), emphasis(result)), GridCell(interval_text(result, places)))
    ]


def mean_text(result: HeadlineResult | None, decimals: int) -> str:
    """Return mean ± standard deviation; a dash if there is no result."""
    return plus_minus(result.summary.mean, result.summary.std, decimals) if result else "—"


def interval_text(result: HeadlineResult | None, decimals: int) -> str:
    """Return the 95 % interval; empty where there is none."""
    interval = result.summary.interval if result else None
    return f"[{fixed(interval[0], decimals)}, {fixed(interval[1], decimals)}]" if interval else ""


def emphasis(result: HeadlineResult | None) -> Emphasis:
    """Return how the result's cell is emphasized."""
    place = result.standing.place if result else "untested"
    return place if place in ("best", "tie") else ""


def method_name(row: Row) -> str:
    """Return a row's name with the sign of its kind."""
    kind = KINDS.get(row.kind)
    return f"{row.name}{f' {kind.sign}' if kind else ''}"


def row_notes(row: Row) -> list[str]:
    """Return the notes on a row, beginning with why it has no result."""
    why = [f"{row.status}: {row.reason}"] if row.status not in ("done", NOT_RUN) else []
    return [*why, *(["superseded by a later trial of this row"] if row.superseded else []), *row.notes]


def notes_of(row: Row, without: Sequence[str] = ()) -> list[str]:
    """Return the notes on a row and on its verdict, each once, except for those in `without`."""
    return [note for note in dict.fromkeys([*row_notes(row), *verdict_notes(row)]) if note not in without]


def reference_notes(row: Row) -> list[str]:
    """Return the source of the published value, and what differs there."""
    return [row.reference.text] if row.reference else []


def verdict_notes(row: Row) -> Sequence[str]:
    """Return the notes that a verdict points to: why there is none, or its numbers, and the source with differences."""
    verdict = row.verdict
    if verdict is None:
        return ()
    if verdict.word in ("not comparable", "not run"):
        return verdict.because
    return [_verdict_numbers(verdict), *(reference_notes(row) if verdict.because else [])]


def _verdict_numbers(verdict: Verdict) -> str:
    """Return the difference from the published value, its interval, and what that could have shown."""
    difference, half, tolerance = verdict.difference or 0.0, verdict.half_width, verdict.tolerance
    parts = [f"measured minus published {fixed(difference, sign='+')}"]
    if half is not None:
        parts[0] += f", 95 % interval [{fixed(difference - half, sign='+')}, {fixed(difference + half, sign='+')}]"
    within = "no spread is published, and no tolerance stated, so nothing counts as reproduced"
    parts.append(within if tolerance is None else f"reproduced if all of it is within ±{fixed(tolerance)}")
    if verdict.detectable is not None:
        beyond = "" if tolerance is None else " beyond that"
        parts.append(f"{fixed(verdict.detectable)}{beyond} would be found with a probability of {100 * POWER:.0f} %")
    return "; ".join(parts)


def numbers(notes: Iterable[str], footnotes: Footnotes) -> tuple[int, ...]:
    """Return the footnote numbers of `notes`, adding the new ones to the footnotes."""
    return tuple(footnotes.setdefault(note, len(footnotes) + 1) for note in notes)


def _numbers(notes: Iterable[str], footnotes: Footnotes) -> str:
    return " ".join(f"[{number}]" for number in numbers(notes, footnotes))
