"""A comparison as text: for the terminal, as Markdown, as JSON."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

from msgspec.structs import asdict

from reprbench.compare.judge import ALPHA, ORDER, Comparison, Report
from reprbench.compare.match import RowKey
from reprbench.report.text import json_text

ROWS = 200
"""The most rows that a table for people shows: GitHub refuses comments of more than 65,536 characters."""

LISTED = 20
"""The most rows that are listed because only one store has them."""

HEADERS = ("", "Row", "Protocol", "Measurement", "BASE", "NEW", "Difference", "p", "Notes")


def as_terminal(report: Report) -> str:
    """Return the comparison for a terminal."""
    return _text(report, "simple", _plain, "", "\n")


def as_markdown(report: Report) -> str:
    """Return the comparison as GitHub's Markdown; names stay text, whatever they contain."""
    return _text(report, "github", _escaped, "### ", "\n\n") + "\n"


def as_json(report: Report) -> str:
    """Return all of the comparison as JSON, numbers unrounded."""
    content = {
        "status": report.status,
        "counts": {verdict: report.count(verdict) for verdict in ORDER},
        "comparisons": [
            {**asdict(comparison), "difference": comparison.difference} for comparison in report.comparisons
        ],
        "only_base": [asdict(row) for row in report.only_base],
        "only_new": [asdict(row) for row in report.only_new],
        "notes": report.notes,
    }
    return json_text(content)


FORMATS: dict[str, Callable[[Report], str]] = {"table": as_terminal, "markdown": as_markdown, "json": as_json}


def summary(report: Report) -> str:
    """Return the outcome in one line."""
    if report.status == 3:
        return "Nothing compares"
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in ORDER if report.count(verdict))
    return f"NEW is {'worse' if report.status else 'no worse'}: {counts}"


def sentence(comparison: Comparison) -> str:
    """Return one comparison in one line, for an annotation."""
    where = f"{comparison.benchmark}: {row_text(comparison)}, {comparison.protocol}"
    if comparison.difference is None:
        what = f"{_measurement(comparison)}: " if comparison.metric else ""
        return f"{where}: {what}{'; '.join(comparison.notes)}"
    unit = f" {comparison.unit}" if comparison.unit else ""
    return (
        f"{where}: {_measurement(comparison)} {_number(comparison.base)} → {_number(comparison.new)}{unit} "
        f"({_difference(comparison)}, p {_p_text(comparison)})"
    )


def row_text(comparison: Comparison) -> str:
    """Return how a row is called: its label, and the seeds it is compared at."""
    before, after = (", ".join(map(str, seeds)) for seeds in comparison.seeds)
    if before == after or not after:
        return f"{comparison.label} (seed {before})"
    return f"{comparison.label} (seed {before} and {after})"


def _text(report: Report, style: str, shown: Callable[[str], str], heading: str, between: str) -> str:
    from tabulate import tabulate

    lines = [f"{heading}{summary(report)}"]
    if report.comparisons:
        body = [[shown(cell) for cell in _cells(comparison)] for comparison in report.comparisons[:ROWS]]
        used = [column for column in range(len(HEADERS)) if any(cells[column] for cells in body)]
        grid = tabulate(
            [[cells[column] for column in used] for cells in body],
            [HEADERS[column] for column in used],
            tablefmt=style,
            disable_numparse=True,
            colalign=["right" if HEADERS[column] in ("BASE", "NEW", "Difference", "p") else "left" for column in used],
        )
        lines.append(grid if style == "github" else f"\n{grid}\n")
    return between.join([*lines, *map(shown, _under(report))])


def _cells(comparison: Comparison) -> list[str]:
    return [
        "WORSE" if comparison.verdict == "worse" else comparison.verdict,
        f"{comparison.benchmark}: {row_text(comparison)}",
        comparison.protocol,
        _measurement(comparison),
        _number(comparison.base),
        _number(comparison.new),
        _difference(comparison),
        _p_text(comparison) if comparison.difference is not None else "",
        "; ".join(comparison.notes),
    ]


def _measurement(comparison: Comparison) -> str:
    unit = f" [{comparison.unit}]" if comparison.unit else ""
    return f"{comparison.metric}{f' ({comparison.at})' if comparison.at else ''}{unit}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _difference(comparison: Comparison) -> str:
    return "" if comparison.difference is None else f"{comparison.difference:+.3g}"


def _p_text(comparison: Comparison) -> str:
    if comparison.adjusted is None:
        return "—"
    return "< 0.001" if comparison.adjusted < 0.001 else f"{comparison.adjusted:.3f}"


def _under(report: Report) -> list[str]:
    """Return the lines below the table: all that a reader needs to judge it."""
    compared, lines = report.comparisons, []
    if len(compared) > ROWS:
        lines.append(f"{len(compared) - ROWS} more are not shown; --format json has all of them")
    folds = sorted({comparison.folds for comparison in compared if comparison.p is not None})
    if folds:
        lines.append(
            f"means over {'/'.join(map(str, folds))} shared folds; p: corrected resampled t-test, paired over the folds"
            f"{', unpaired over seeds' if report.ignore_seeds else ''}, adjusted by Holm for all "
            f"{sum(comparison.p is not None for comparison in compared)}; significant below {ALPHA}"
        )
    if report.ignore_seeds and any(tuple(map(len, c.seeds)) == (1, 1) and c.p is not None for c in compared):
        lines.append(
            "one seed on each side says nothing of how much fits differ; it is taken to be as much as folds do. "
            "Several seeds would tell"
        )
    if any(c.difference is not None and c.better != "neither" and c.verdict == "not judged" for c in compared):
        lines.append("two single values of different seeds are judged by a tolerance alone; none was given for these")
    tolerances = {c.metric: c.tolerance for c in compared if c.tolerance}
    if tolerances:
        lines.append(f"tolerance: {', '.join(f'{metric} {value:g}' for metric, value in tolerances.items())}")
    lines += report.notes
    return [*lines, *_only("BASE", report.only_base), *_only("NEW", report.only_new)]


def _only(store: str, rows: Sequence[RowKey]) -> list[str]:
    """Return the line that tells which rows one store alone has."""
    if not rows:
        return []
    names = [f"{row.benchmark}: {row.label}{'' if row.seed is None else f' (seed {row.seed})'}" for row in rows]
    rest = f"; and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"only in {store}, not compared ({len(names)}): {'; '.join(names[:LISTED])}{rest}"]


def _plain(text: str) -> str:
    """Return `text` in one line, without what a terminal would obey."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)


def _escaped(text: str) -> str:
    """Return `text` so that GitHub's Markdown shows it as it is: no markup, links or mentions."""
    marked = re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(_plain(text), quote=False))
    return marked.replace("@", "&#64;")
