"""The figures of a page: those of one name side by side, for all methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reprbench.report.formats.html.thumbnails import embedded
from reprbench.report.formats.html.trials import PageTrials, link_to
from reprbench.report.table import Table
from reprbench.report.trial_files import file_of


@dataclass(frozen=True)
class Picture:
    """One figure of one method.

    Attributes
    ----------
    number : of the figure on the page, from 0.
    trial : the number of its trial.
    label : the method's name; with several seeds, the trial's.
    title : says which figure it is.
    uri : a data URI; empty if the figure is only linked.
    link : the address of the full-size figure.
    """

    number: int
    trial: int
    label: str
    title: str
    uri: str
    link: str


@dataclass(frozen=True)
class Gallery:
    """The figures of the same name, of all methods."""

    name: str
    pictures: list[Picture]


@dataclass(frozen=True)
class _Found:
    """A figure before it becomes a picture: its table's place, its name, its trial, and its file."""

    table: int
    name: str
    trial: int
    label: str
    path: Path


def make_galleries(tables: Sequence[Table], trials: PageTrials, beside: Path) -> list[list[Gallery]]:
    """Return each table's figures by name; those of all tables share one budget, the best rows first."""
    found = [one for place, table in enumerate(tables) for one in _figures(place, table, trials)]
    galleries: list[dict[str, Gallery]] = [{} for _ in tables]
    for number, (one, uri) in enumerate(zip(found, embedded([one.path for one in found]), strict=True)):
        title = f"{tables[one.table].protocol}, {one.name}"
        picture = Picture(number, one.trial, one.label, title, uri, link_to(one.path, beside))
        galleries[one.table].setdefault(one.name, Gallery(one.name, [])).pictures.append(picture)
    return [list(of_table.values()) for of_table in galleries]


def pictures_of(galleries: Sequence[Sequence[Gallery]]) -> list[Picture]:
    """Return all pictures of a page."""
    return [picture for of_table in galleries for gallery in of_table for picture in gallery.pictures]


def _figures(place: int, table: Table, trials: PageTrials) -> Iterator[_Found]:
    """Yield the figures of a table's rows; a row whose protocol did not run has none."""
    for row in table.rows:
        for source in row.sources:
            label = row.name if len(row.sources) == 1 else f"{row.method}, seed {source.trial.seed}"
            for figure in source.evaluation.figures if source.evaluation else ():
                path = file_of(source.trial, figure.file)
                if path:
                    yield _Found(place, figure.name, trials.number(source.trial), label, path)
