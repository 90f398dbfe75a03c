"""A table as cells of text, and the lines under it that a reader needs: what all printed formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from reprbench.report.best import ALPHA
from reprbench.report.row import Row, of_several_seeds, row_name
from reprbench.report.table import Table
from reprbench.report.text import (
    capitalized,
    count_text,
    decimals_for,
    memory_text,
    place_text,
    plus_minus,
    seconds_text,
)

HEADERS = (
    "Method", "{metric}", "95 % interval", "Reference", "Verdict", "Features", "Parameters", "Fit", "Evaluation",
    "Peak memory", "Notes",
)  # fmt: skip
LEFT = {"Method", "Verdict", "Notes"}

Footnotes = dict[str, int]
"""Notes and their numbers, from 1."""


class Cell(Struct, frozen=True):
    """A text, and whether it is the best of its column or tied with the best."""

    text: str
    emphasis: Literal["", "best", "tie"] = ""


@dataclass(frozen=True)
class Grid:
    """A table as text.

    Attributes
    ----------
    title : says which table it is.
    headers : of the columns.
    left : which columns are aligned to the left.
    blocks : a heading ("" for none) and lines of cells; the order is the reader's.
    under : lines to print below.
    """

    title: str
    headers: tuple[str, ...]
    left: tuple[bool, ...]
    blocks: tuple[tuple[str, tuple[tuple[Cell, ...], ...]], ...]
    under: tuple[str, ...]

    @property
    def lines(self) -> list[tuple[Cell, ...]]:
        """The lines of all blocks."""
        return [line for _, lines in self.blocks for line in lines]


def table_grid(table: Table, by_group: bool = False) -> Grid:
    """Return a table as text: best rows first, or in the order and under the headings of the benchmark's file."""
    footnotes: Footnotes = {}
    unit = next((row.unit for row in table.rows if row.unit), "")
    decimals = decimals_for((row.mean for row in table.rows), unit)
    several = of_several_seeds(table.rows)
    blocks = [
        (heading, [_cells(row, footnotes, several, decimals) for row in rows])
        for heading, rows in (_grouped(table) if by_group else [("", list(table.rows))])
    ]
    headers = [header.format(metric=capitalized(table.metric or "result")) for header in HEADERS]
    lines = [line for _, block in blocks for line in block]
    used = [column for column in range(len(headers)) if any(line[column].text for line in lines)]
    return Grid(
        title=f"{table.benchmark}: {table.dataset}, {table.protocol}",
        headers=tuple(headers[column] for column in used),
        left=tuple(headers[column] in LEFT for column in used),
        blocks=tuple(
            (heading, tuple(tuple(line[column] for column in used) for line in block)) for heading, block in blocks
        ),
        under=(*(f"[{number}] {note}" for note, number in footnotes.items()), *under_lines(table)),
    )


def _grouped(table: Table) -> list[tuple[str, list[Row]]]:
    places = {label: place for place, label in enumerate(table.order)}
    ordered = sorted(table.rows, key=lambda row: (places.get(row.label, len(places)), row.label, row.seed))
    headings = dict.fromkeys(row.group for row in ordered)
    return [(heading, [row for row in ordered if row.group == heading]) for heading in headings]


def _cells(row: Row, footnotes: Footnotes, several_seeds: bool, decimals: int) -> tuple[Cell, ...]:
    notes = [f"{row.status}: {row.reason}"] if row.status not in ("done", "not run") else []
    place = row.standing.place
    emphasis: Literal["", "best", "tie"] = place if place in ("best", "tie") else ""
    source = _numbers(row.references, footnotes)
    published = "" if row.reference is None else f"{plus_minus(row.reference, row.reference_spread)} {source}"
    because = row.verdict.because if row.verdict and row.verdict.word == "not comparable" else ()
    # What differs in the publication stands with its source; a verdict in spite of it points there.
    pointer = _numbers(because, footnotes) if because else source if row.verdict and row.verdict.because else ""
    return (
        Cell(method_name(row, several_seeds)),
        Cell("—" if row.mean is None else plus_minus(row.mean, row.std, decimals), emphasis),
        Cell("" if row.low is None else f"[{row.low:.{decimals}f}, {row.high:.{decimals}f}]"),
        Cell(published),
        Cell(f"{row.verdict} {pointer}".rstrip() if row.verdict else ""),
        Cell("" if row.dimension is None else str(row.dimension)),
        Cell(count_text(row.parameters)),
        Cell(seconds_text(row.fit_seconds)),
        Cell(seconds_text(row.evaluation_seconds)),
        Cell(memory_text(row.peak_memory)),
        Cell(_numbers([*notes, *row.notes], footnotes)),
    )


def method_name(row: Row, several_seeds: bool) -> str:
    """Return a row's name with the marks † and ‡."""
    marks = ("†" if row.supervised else "") + ("‡" if row.control else "")
    return f"{row_name(row, several_seeds)}{f' {marks}' if marks else ''}"


def numbers(notes: Sequence[str], footnotes: Footnotes) -> tuple[int, ...]:
    """Return the numbers under which `notes` stand among the footnotes, adding those that are new."""
    return tuple(footnotes.setdefault(note, len(footnotes) + 1) for note in notes)


def _numbers(notes: Sequence[str], footnotes: Footnotes) -> str:
    return " ".join(f"[{number}]" for number in numbers(notes, footnotes))


def under_lines(table: Table) -> list[str]:
    """Return what a reader must know to judge a table, footnotes excepted."""
    lines = [*_marks(table), *_measured(table), *_tests(table), *_seeds(table), *table.explanations]
    version = f" version {', '.join(map(str, table.versions))}" if table.versions else ""
    if len(table.versions) > 1:
        version += " (mixed: run the benchmark again)"
    lines.append(
        f"protocol {table.protocol}{version}; data {table.dataset}, digest {table.digest[:12]} ({table.counts})"
    )
    if table.superseded:
        lines.append(f"{table.superseded} older trials of these rows, made by other code, are not shown")
    return lines


def _marks(table: Table) -> list[str]:
    lines = []
    if any(row.supervised for row in table.rows):
        lines.append("† supervised: fitted once a fold, with that fold's labels; does not compete for the best")
    if any(row.control for row in table.rows):
        lines.append("‡ control: learns nothing from an objective of its own")
    return lines


def _measured(table: Table) -> list[str]:
    folds = sorted({row.folds for row in table.rows if row.folds})
    unit = next((row.unit for row in table.rows if row.unit), "")
    if not folds:
        return []
    what = f"{table.metric}{f' in {unit}' if unit else ''}"
    what += f" at {place_text(table.at.items())}" if table.at else ""
    if max(folds) == 1:
        return [f"{what}: on 1 fold"]
    interval = "95 % intervals: Student's t, of the mean over draws of the labeled images, corrected for their overlap"
    return [f"{what}: mean ± standard deviation (ddof = 0) over {'/'.join(map(str, folds))} folds", interval]


def _tests(table: Table) -> list[str]:
    places = {row.standing.place for row in table.rows}
    tested = table.comparison
    if tested is None:
        return []
    names = {
        "t": f"corrected resampled t-test on shared folds (overlap ratio {tested.ratio:.3g})",
        "wilcoxon": "Wilcoxon's signed ranks on shared folds, as if they were independent",
    }
    how = (
        f"{names[tested.test]}, "
        f"Holm's correction for {tested.comparisons} comparison{'s' if tested.comparisons > 1 else ''}, p < {ALPHA}"
    )
    if "best" in places:
        return [f"* better than every other row that competes: {how}"]
    return [f"≈ not told apart from the best mean ({tested.best}): {how}"]


def _seeds(table: Table) -> list[str]:
    unit = next((row.unit for row in table.rows if row.unit), "")
    decimals = decimals_for((row.mean for row in table.rows), unit) + 1
    return [
        f"{spread.label}, seeds {', '.join(map(str, spread.seeds))}: mean {spread.mean:.{decimals}f}, "
        f"standard deviation (ddof = 0) over seeds {spread.std_seeds:.{decimals}f}, "
        f"over folds {spread.std_folds:.{decimals}f}"
        for spread in table.seeds
    ]
