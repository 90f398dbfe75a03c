"""The trials behind the rows of a page: their numbers on the page, and the paths of their files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from reprbench.report.row import Row
from reprbench.report.table import Table
from reprbench.trial import Trial


class PageTrials:
    """The trials of all rows, each once, those of the best rows first; a page refers to a trial by its number.

    Attributes
    ----------
    trials : in the order of their numbers, from 0.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._numbers: dict[int, int] = {}
        self.trials: list[Trial] = []
        for _, _, row in best_first(tables):
            for source in row.sources:
                if id(source.trial) not in self._numbers:
                    self._numbers[id(source.trial)] = len(self.trials)
                    self.trials.append(source.trial)

    def number(self, trial: Trial) -> int:
        """Return the number of a trial."""
        return self._numbers[id(trial)]

    def numbers(self, row: Row) -> list[int]:
        """Return the numbers of a row's trials: one per seed, or none if nothing was run."""
        return [self.number(source.trial) for source in row.sources]


def best_first(tables: Sequence[Table]) -> Iterator[tuple[int, int, Row]]:
    """Yield (table, place, row): the first rows of all tables, then the second ones, and so on."""
    for place in range(max((len(table.rows) for table in tables), default=0)):
        for number, table in enumerate(tables):
            if place < len(table.rows):
                yield number, place, table.rows[place]


def link_to(path: Path, beside: Path) -> str:
    """Return the relative address of a file, as a page in the folder `beside` links to it."""
    # As bytes, since a name may not be Unicode.
    return quote(os.fsencode(Path(os.path.relpath(path, beside)).as_posix()))
