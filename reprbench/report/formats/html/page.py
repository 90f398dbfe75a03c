"""Puts the page together: which rows and figures it shows, and the template that shows them."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files as resources
from itertools import groupby
from pathlib import Path
from typing import get_args

from reprbench import __version__
from reprbench.report.formats.html.cells import Lines, make_lines
from reprbench.report.formats.html.payload import MOST_ROWS, Files, folders_of, make_payload
from reprbench.report.formats.html.thumbnails import data_uri, embedded, fair_share
from reprbench.report.ranks import ranks_over_datasets
from reprbench.report.row import Row, of_several_seeds
from reprbench.report.table import Table
from reprbench.report.verdict import Word
from reprbench.trial import Trial

SCRIPTS = ("dom.js", "scales.js", "plots.js", "charts.js", "rows.js", "details.js", "page.js")
"""In the order in which they need each other."""
STYLES = ("page.css", "print.css")


@dataclass(frozen=True)
class Picture:
    """One figure of one method."""

    key: str
    trial: str
    label: str
    title: str
    uri: str
    """A data URI; empty if the figure is only linked."""
    link: str


@dataclass(frozen=True)
class Gallery:
    """The figures of the same name, of all methods."""

    name: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Result:
    """One table as the template shows it."""

    id: str
    table: Table
    lines: Lines
    left_out: str
    galleries: list[Gallery]


def as_html(tables: Sequence[Table], trials: Iterable[Trial], stores: Sequence[Path], beside: Path) -> str:
    """Return the page.

    Parameters
    ----------
    tables : what is reported.
    trials : those that the tables were made of.
    stores : the folders in which the trials' histories and figures are.
    beside : the folder in which the page will lie; whole figures are linked relative to it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    files = Files(trials, stores, beside)
    most = fair_share([len(table.rows) for table in tables], MOST_ROWS)
    shown = [replace(table, rows=_first_rows(table.rows, most)) for table in tables]
    galleries = _galleries(shown, files)
    figures: dict[str, list[str]] = {}
    for picture in _pictures(galleries):
        if picture.key not in figures.setdefault(picture.trial, []):
            figures[picture.trial].append(picture.key)
    payload = make_payload(shown, files, figures)
    results = [
        Result(f"table-{number}", table, make_lines(table), _left_out(whole, table), found)
        for number, (whole, table, found) in enumerate(zip(tables, shown, galleries, strict=True), start=1)
    ]
    linked = sum(not picture.uri for picture in _pictures(galleries))
    if linked:
        payload.left_out.append(f"{linked} figures are linked and not shown, for want of room.")
    style, script = _static("css", STYLES), _static("js", SCRIPTS)
    environment = Environment(
        loader=PackageLoader("reprbench.report.formats.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=_title(tables),
        version=__version__,
        ranks=_ranks(tables),
        groups=[(key, list(group)) for key, group in groupby(results, lambda one: _heading(one.table))],
        failed=sum(row.status not in ("done", "skipped", "not run") for row in _rows(tables)),
        verdicts=_verdicts(tables),
        rows=sum(len(table.rows) for table in tables),
        trials=len({folder for row in _rows(tables) for folder in folders_of(row)}),
        left_out=[*(result.left_out for result in results if result.left_out), *payload.left_out],
        stores=[str(store) for store in stores],
        style=style,
        script=script,
        payload=payload.as_json(),
        policy=_policy(style, script),
    )


def _first_rows(rows: Sequence[Row], most: int) -> tuple[Row, ...]:
    """Return the best rows, and of the holes as many as there is room for in a quarter of the table."""
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


def _galleries(tables: Sequence[Table], files: Files) -> list[list[Gallery]]:
    """Return each table's figures by name; those of all tables share one budget, the best rows first."""
    shown: list[dict[str, list[Picture]]] = [{} for _ in tables]
    paths: list[Path] = []
    order: list[tuple[int, str, Picture]] = []
    for number, table in enumerate(tables):
        several = of_several_seeds(table.rows)
        for row in table.rows:
            for folder, file in (
                (folder, file) for folder, found in files.evaluations(row, table) for file in found.figures
            ):
                name = _figure_name(file)
                picture = Picture(
                    key=f"{folder}/{file}",
                    trial=folder,
                    label=f"{row.label}, seed {_seed(folder)}" if several else row.label,
                    title=f"{table.protocol}, {name}",
                    uri="",
                    link=files.link(folder, file),
                )
                order.append((number, name, picture))
                paths.append(files.path(folder, file))
    for (number, name, picture), uri in zip(order, embedded(paths), strict=True):
        shown[number].setdefault(name, []).append(replace(picture, uri=uri))
    return [[Gallery(name, pictures) for name, pictures in galleries.items()] for galleries in shown]


def _seed(folder: str) -> str:
    """Return the seed that a trial's folder names: "3" of "mnist/ae/3-1a2b3c4d"."""
    return folder.rpartition("/")[2].partition("-")[0]


def _figure_name(file: str) -> str:
    """Return the name that a protocol gave a figure: "map" of "figures/embedding-96a5e07e-map.png"."""
    stem = Path(file).stem
    words = stem.split("-")
    place = next((i for i, word in enumerate(words) if len(word) == 8 and not set(word) - set("0123456789abcdef")), -1)
    return "-".join(words[place + 1 :]) or stem


def _pictures(galleries: Sequence[Sequence[Gallery]]) -> list[Picture]:
    return [picture for group in galleries for gallery in group for picture in gallery.pictures]


def _rows(tables: Sequence[Table]) -> list[Row]:
    return [row for table in tables for row in table.rows]


def _heading(table: Table) -> tuple[str, str, str]:
    return table.title or table.benchmark, table.dataset, table.counts


def _verdicts(tables: Sequence[Table]) -> list[tuple[str, int]]:
    """Return how often each verdict was given, in a fixed order, without those that were not."""
    words = Counter(row.verdict.word for row in _rows(tables) if row.verdict)
    return [(word, words[word]) for word in get_args(Word) if words[word]]


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
    """Return a content security policy that allows the page's own program, style and figures, and nothing else."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
