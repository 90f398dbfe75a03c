"""Assembles the page: selects rows and figures, and renders the template."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as resources
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from reprbench import __version__
from reprbench.evaluation import FINISHED
from reprbench.printable import printable_lines
from reprbench.report.formats.html.cells import PageTable, page_table
from reprbench.report.formats.html.environment import environment
from reprbench.report.formats.html.galleries import Gallery, make_galleries, pictures_of
from reprbench.report.formats.html.payload import make_payload
from reprbench.report.formats.html.thumbnails import data_uri, fair_share
from reprbench.report.formats.html.trials import PageTrials
from reprbench.report.ranks import ranks_over_datasets
from reprbench.report.row import NOT_RUN, Row
from reprbench.report.similarity_maps import similarity_maps
from reprbench.report.table import Table
from reprbench.report.text import contents_text
from reprbench.report.verdict import Word
from reprbench.trial import NOT_EVALUATED

MOST_ROWS = 1_000
"""The most rows of all tables of a page together."""
SCRIPTS = ("dom.js", "scales.js", "plots.js", "charts.js", "rows.js", "details.js", "page.js")
"""In the order of their dependencies."""
STYLES = ("page.css", "print.css")


@dataclass(frozen=True)
class PageSection:
    """One table as the template shows it; its number counts from 1."""

    number: int
    table: Table
    lines: PageTable
    left_out: str
    galleries: list[Gallery]


def as_html(tables: Sequence[Table], stores: Sequence[Path], beside: Path) -> str:
    """Return the page.

    Parameters
    ----------
    tables : what is reported; histories and figures are read from where their trials were.
    stores : the folders that the page names as its sources.
    beside : the folder in which the page will be; full-size figures are linked relative to it.
    """
    most = fair_share([len(table.rows) for table in tables], MOST_ROWS)
    shown = [replace(table, rows=_first_rows(table.rows, most)) for table in tables]
    trials = PageTrials(shown)
    galleries = make_galleries(shown, trials, beside)
    pictures = pictures_of(galleries)
    payload, left_out = make_payload(shown, trials, pictures, beside)
    sections = [
        PageSection(number, table, page_table(table), _left_out(whole, table), found)
        for number, (whole, table, found) in enumerate(zip(tables, shown, galleries, strict=True), start=1)
    ]
    if linked := sum(not picture.uri for picture in pictures):
        left_out.append(f"{linked} figures are linked but not shown, to keep the page small.")
    return _render(
        **_overview(tables),
        groups=[(key, list(group)) for key, group in groupby(sections, lambda one: _heading(one.table))],
        left_out=[*(section.left_out for section in sections if section.left_out), *left_out],
        stores=[str(store) for store in stores],
        payload=payload.as_json(),
    )


def _render(**content: Any) -> str:
    style, script = _static("css", STYLES), _static("js", SCRIPTS)
    page = (
        environment()
        .get_template("page.html.j2")
        .render(**content, version=__version__, style=style, script=script, policy=_policy(style, script))
    )
    return printable_lines(page, None)


def _overview(tables: Sequence[Table]) -> dict[str, Any]:
    """Return what the head of the page shows about all tables together."""
    rows = [row for table in tables for row in table.rows]
    # All seeds of a method have one verdict.
    judged = {(place, row.method): row.verdict for place, table in enumerate(tables) for row in table.rows}
    verdicts = Counter(verdict.word for verdict in judged.values() if verdict)
    return {
        "title": _title(tables),
        "tables": len(tables),
        "rows": len(rows),
        "trials": len(PageTrials(tables).trials),
        "failed": sum(row.status not in (*FINISHED, NOT_RUN, NOT_EVALUATED) for row in rows),
        "verdicts": [(word, verdicts[word]) for word in get_args(Word) if verdicts[word]],
        "ranks": _ranks(tables),
        "sweeps": _sweeps(tables),
        "similarities": _similarities(tables),
    }


def _first_rows(rows: Sequence[Row], most: int) -> tuple[Row, ...]:
    """Return the best rows; those without a result get a quarter of the table, or the room that is left."""
    if len(rows) <= most:
        return tuple(rows)
    full, holes = [row for row in rows if row.mean is not None], [row for row in rows if row.mean is None]
    kept = holes[: max(most // 4, most - len(full))]
    return (*full[: most - len(kept)], *kept)


def _left_out(whole: Table, shown: Table) -> str:
    missing = len(whole.rows) - len(shown.rows)
    if not missing:
        return ""
    return (
        f"{whole.benchmark}, {whole.protocol}: the last {missing} of {len(whole.rows)} rows are left out; "
        "`reprbench report --format csv` has them all."
    )


def _ranks(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Return each protocol's ranks over datasets, if there are several: in words, and their diagram's data URI."""
    found = ranks_over_datasets(tables)
    if not found:
        return []
    from reprbench.plotting import as_png
    from reprbench.report.formats.figures import draw_ranks

    return [(str(ranks), data_uri("png", as_png(draw_ranks(ranks)))) for ranks in found]


def _sweeps(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Return each sweep whose settings are shown: in words, and its figure's data URI."""
    found = [(table, choice) for table in tables for choice in table.sweeps]
    if not found:
        return []
    from reprbench.plotting import as_png
    from reprbench.report.formats.sweeps import draw_sweep

    return [
        (f"{table.benchmark}, {table.data.title}: {choice.summary}", data_uri("png", as_png(draw_sweep(choice))))
        for table, choice in found
    ]


def _similarities(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Return each map of the similarity between trials: in words, and its data URI."""
    maps = [(table, found) for table in tables for found in similarity_maps(table)]
    if not maps:
        return []
    from reprbench.plotting import as_png
    from reprbench.report.formats.figures import draw_similarity

    return [
        (
            f"{table.benchmark}, {table.data.title}, {table.protocol}: {found.summary}",
            data_uri("png", as_png(draw_similarity(found))),
        )
        for table, found in maps
    ]


def _heading(table: Table) -> tuple[str, str, str]:
    """Return what the tables of one benchmark and dataset have in common: two titles, and counts."""
    return table.title or table.benchmark, table.data.title, contents_text(table.data)


def _title(tables: Sequence[Table]) -> str:
    names = list(dict.fromkeys(table.benchmark for table in tables))
    if len(names) > 3:
        return f"{len(names)} benchmarks"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _static(kind: str, names: Sequence[str]) -> str:
    folder = resources("reprbench.report.formats.html") / "static"
    text = "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in names)
    return f'"use strict";\n(() => {{\n{text}\n}})();' if kind == "js" else text


def _policy(style: str, script: str) -> str:
    """Return a content security policy that allows the page's own script, style and figures, and nothing else."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
