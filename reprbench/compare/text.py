"""A comparison as text: for the terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from reprbench.compare.comparison import ORDER, RowComparison, StoreComparison
from reprbench.compare.judge import ALPHA
from reprbench.printable import cell, printable
from reprbench.report.escape import markdown
from reprbench.report.text import json_text, place_text
from reprbench.trial import RowKey

ROWS = 200
"""The most rows that a printed table shows: GitHub rejects comments of more than 65,536 characters."""

LISTED = 20
"""The most rows that are listed because only one store has them."""

HEADERS = ("", "Row", "Protocol", "Measurement", "BASE", "NEW", "Difference", "p", "Notes")


Apart = Mapping[RowKey, Sequence[str]]
"""What sets a row apart from others with its benchmark and label, besides its seeds; empty if there are none."""


def as_terminal(stores: StoreComparison) -> str:
    """Return the comparison for a terminal."""
    return _text(stores, "simple", printable, "", "\n")


def as_markdown(stores: StoreComparison) -> str:
    """Return the comparison as GitHub's Markdown; names appear literally, whatever they contain."""
    return _text(stores, "github", markdown, "### ", "\n\n") + "\n"


def as_json(stores: StoreComparison) -> str:
    """Return all of the comparison as JSON, numbers unrounded."""
    content = {
        "status": stores.status,
        "counts": {verdict: stores.count(verdict) for verdict in ORDER},
        "comparisons": [_record(row) for row in stores.rows],
        "only_base": [{**_key_record(row), "seed": row.seed} for row in stores.only_base],
        "only_new": [{**_key_record(row), "seed": row.seed} for row in stores.only_new],
        "notes": stores.notes,
        "unreliable": stores.unreliable,
    }
    return json_text(content)


FORMATS: dict[str, Callable[[StoreComparison], str]] = {
    "table": as_terminal,
    "markdown": as_markdown,
    "json": as_json,
}


def summary(stores: StoreComparison) -> str:
    """Return the outcome in one line."""
    if stores.compared:
        counts = ", ".join(f"{stores.count(verdict)} {verdict}" for verdict in ORDER if stores.count(verdict))
        outcome = f"NEW is {'worse' if stores.count('worse') else 'no worse'}: {counts}"
    else:
        outcome = "Nothing to compare"
    count = len(stores.unreliable)
    trials = f"{count} trial{'s' if count > 1 else ''}"
    return f"{outcome}; not to be relied upon: {trials} damaged or changed by hand" if count else outcome


def worse_sentences(stores: StoreComparison) -> list[str]:
    """Return one line for each comparison that ended worse, for annotations."""
    apart = _apart(stores)
    return [_sentence(row, apart) for row in stores.rows if row.verdict == "worse"]


def _record(row: RowComparison) -> dict[str, Any]:
    facts = asdict(row)
    return {**_key_record(facts.pop("row")), **facts, "protocol": str(row.protocol), "difference": row.difference}


def _key_record(row: RowKey) -> dict[str, Any]:
    """Return what identifies a row, except for its seed."""
    return {
        "benchmark": row.benchmark,
        "label": row.label,
        "digest": row.data,
        "budget": str(row.budget),
        "precision": row.precision,
    }


def _apart(stores: StoreComparison) -> Apart:
    """Return what sets rows apart that have benchmark and label in common."""
    groups: dict[tuple[str, str], list[RowKey]] = {}
    for row in [*(compared.row for compared in stores.rows), *stores.only_base, *stores.only_new]:
        groups.setdefault((row.benchmark, row.label), []).append(row)
    return {row: texts for group in groups.values() for row, texts in _differences(group)}


def _differences(rows: Sequence[RowKey]) -> Iterable[tuple[RowKey, list[str]]]:
    """Yield each row with its values of what differs between any of the rows."""
    first = rows[0]
    by_data = any(row.data != first.data for row in rows)
    by_budget = any(row.budget != first.budget for row in rows)
    by_precision = any(row.precision != first.precision for row in rows)
    for row in rows:
        texts = [(by_data, f"data {row.data[:8]}"), (by_budget, str(row.budget)), (by_precision, row.precision)]
        yield row, [text for differs, text in texts if differs]


def _row_text(row: RowKey, apart: Apart, seeds: str) -> str:
    """Return the name of a row: benchmark and label, what sets it apart, and its seeds."""
    inner = ", ".join([*apart[row], *([f"seed {seeds}"] if seeds else [])])
    return f"{row.benchmark}: {row.label}{f' ({inner})' if inner else ''}"


def _compared_row(compared: RowComparison, apart: Apart) -> str:
    before, after = (", ".join(map(str, seeds)) for seeds in compared.seeds)
    return _row_text(compared.row, apart, before if before == after or not after else f"{before} and {after}")


def _sentence(compared: RowComparison, apart: Apart) -> str:
    where = f"{_compared_row(compared, apart)}, {compared.protocol}"
    if compared.difference is None:
        what = f"{_measurement(compared)}: " if compared.metric else ""
        return f"{where}: {what}{'; '.join(compared.notes)}"
    unit = f" {compared.unit}" if compared.unit else ""
    return (
        f"{where}: {_measurement(compared)} {_number(compared.base)} → {_number(compared.new)}{unit} "
        f"({_difference(compared)}, p {_p_text(compared)})"
    )


def _text(stores: StoreComparison, style: str, shown: Callable[[str], str], heading: str, between: str) -> str:
    from tabulate import tabulate

    lines, apart = [f"{heading}{summary(stores)}"], _apart(stores)
    if stores.rows:
        body = [[shown(cell(text)) for text in _cells(row, apart)] for row in stores.rows[:ROWS]]
        used = [column for column in range(len(HEADERS)) if any(cells[column] for cells in body)]
        grid = tabulate(
            [[cells[column] for column in used] for cells in body],
            [HEADERS[column] for column in used],
            tablefmt=style,
            disable_numparse=True,
            colalign=["right" if HEADERS[column] in ("BASE", "NEW", "Difference", "p") else "left" for column in used],
        )
        lines.append(grid if style == "github" else f"\n{grid}\n")
    return between.join([*lines, *map(shown, _under(stores, apart))])


def _cells(compared: RowComparison, apart: Apart) -> list[str]:
    return [
        "WORSE" if compared.verdict == "worse" else compared.verdict,
        _compared_row(compared, apart),
        str(compared.protocol),
        _measurement(compared),
        _number(compared.base),
        _number(compared.new),
        _difference(compared),
        _p_text(compared) if compared.difference is not None else "",
        "; ".join(compared.notes),
    ]


def _measurement(compared: RowComparison) -> str:
    unit = f" [{compared.unit}]" if compared.unit else ""
    return f"{compared.metric}{f' ({place_text(compared.at.items())})' if compared.at else ''}{unit}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _difference(compared: RowComparison) -> str:
    return "" if compared.difference is None else f"{compared.difference:+.3g}"


def _p_text(compared: RowComparison) -> str:
    if compared.adjusted is None:
        return "—"
    return "< 0.001" if compared.adjusted < 0.001 else f"{compared.adjusted:.3f}"


def _under(stores: StoreComparison, apart: Apart) -> list[str]:
    """Return the lines below the table: all that a reader needs to judge it."""
    rows, lines = stores.rows, [f"not to be relied upon: {line}" for line in stores.unreliable[:LISTED]]
    if len(stores.unreliable) > LISTED:
        lines.append(f"{len(stores.unreliable) - LISTED} more are not to be relied upon; --format json has all of them")
    if len(rows) > ROWS:
        lines.append(f"{len(rows) - ROWS} more are not shown; --format json has all of them")
    if any(row.p is not None for row in rows):
        lines += _on_tests(stores)
    if any(row.difference is not None and row.better != "neither" and row.verdict == "not judged" for row in rows):
        lines.append("two single values of different seeds are judged by a tolerance alone; none was given for these")
    tolerances = {row.metric: row.tolerance for row in rows if row.tolerance}
    if tolerances:
        lines.append(f"tolerance: {', '.join(f'{metric} {value:g}' for metric, value in tolerances.items())}")
    only = [*_only("BASE", stores.only_base, apart), *_only("NEW", stores.only_new, apart)]
    return [*lines, *stores.notes, *only]


def _on_tests(stores: StoreComparison) -> list[str]:
    """Return the lines that say what was tested, and how."""
    tested = [row for row in stores.rows if row.p is not None]
    folds = "/".join(map(str, sorted({row.folds for row in tested})))
    lines = [
        f"means over {folds} shared folds; p: corrected resampled t-test, paired over the folds"
        f"{', unpaired over seeds' if stores.ignore_seeds else ''}, adjusted by Holm for all "
        f"{len(tested)}; significant below {ALPHA}"
    ]
    if stores.ignore_seeds and any(tuple(map(len, row.seeds)) == (1, 1) for row in tested):
        lines.append(
            "one seed on each side does not show how much fits differ; they are assumed to differ as much as folds do. "
            "Several seeds would show it"
        )
    return lines


def _only(store: str, rows: Sequence[RowKey], apart: Apart) -> list[str]:
    """Return the line that names the rows that only one store has."""
    if not rows:
        return []
    names = [_row_text(row, apart, "" if row.seed is None else str(row.seed)) for row in rows[:LISTED]]
    rest = f"; and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
    return [f"only in {store}, not compared ({len(rows)}): {'; '.join(names)}{rest}"]
