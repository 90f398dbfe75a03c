"""Maps of the similarity between all methods and seeds of a table, from the Gram matrices that their trials keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from reprbench.arrays import as_array
from reprbench.evaluation import LARGEST_GRAM, Gram
from reprbench.files import open_regular
from reprbench.probes.cka import CenteredGram, cka_matrix, images_of, unpacked
from reprbench.report.row import Source
from reprbench.report.seeds import by_method
from reprbench.report.table import Table
from reprbench.report.trial_files import file_of

MOST_ROWS = 100
"""Of a map, the first of the table."""


@dataclass(frozen=True)
class SimilarityMap:
    """The linear CKA between the representations of several trials, on the same images.

    Attributes
    ----------
    name : of what is compared, such as "representation".
    images : how many.
    rows : the names of the trials, the seeds of a method together.
    values : CKA of all pairs, 1 on the diagonal.
    left_out : how many trials have no room.
    """

    name: str
    images: int
    rows: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    left_out: int = 0

    @property
    def summary(self) -> str:
        """What the map shows, in words."""
        found = f"linear CKA between the {self.name}s of {len(self.rows)} trials, on {self.images} test images"
        return f"{found}; {self.left_out} more are left out" if self.left_out else found

    def of_row(self, name: str) -> dict[str, float]:
        """Return the values of one row by the names of all; empty if there is no such row."""
        return dict(zip(self.rows, self.values[self.rows.index(name)], strict=True)) if name in self.rows else {}


def similarity_maps(table: Table) -> list[SimilarityMap]:
    """Return a map for each name of Gram matrices and each set of images of which there are at least two.

    Files that cannot be read are left out: stores come from anywhere.
    """
    groups: dict[tuple[str, str], list[tuple[str, Source, Gram]]] = {}
    for name, source in _trials(table):
        for gram in source.evaluation.grams if source.evaluation else ():
            groups.setdefault((gram.name, gram.images), []).append((name, source, gram))
    maps = (_map(name, found) for (name, _), found in groups.items() if len(found) > 1)
    return [one for one in maps if one is not None]


def _trials(table: Table) -> Iterator[tuple[str, Source]]:
    """Yield the names and sources of all trials, in the order of the table, the seeds of a method together."""
    for places in by_method(table.rows):
        for row in (table.rows[place] for place in places):
            for source in row.sources:
                yield row.name if len(row.sources) == 1 else f"{row.method}, seed {source.trial.seed}", source


def _map(name: str, found: Sequence[tuple[str, Source, Gram]]) -> SimilarityMap | None:
    readable = ((label, matrix) for label, source, gram in found if (matrix := _read(source, gram)) is not None)
    rows: dict[int, list[tuple[str, CenteredGram]]] = {}
    for label, matrix in islice(readable, MOST_ROWS):
        rows.setdefault(len(matrix), []).append((label, matrix))
    # Matrices of one set of images have one size; what has another is none of them.
    kept = max(rows.values(), key=len, default=[])
    if len(kept) < 2:
        return None
    values = cka_matrix([matrix for _, matrix in kept]).clip(-1, 1)
    return SimilarityMap(
        name,
        images_of(len(kept[0][1])),
        tuple(label for label, _ in kept),
        tuple(tuple(row) for row in values.tolist()),
        max(0, len(found) - MOST_ROWS),
    )


def _read(source: Source, gram: Gram) -> CenteredGram | None:
    path = file_of(source.trial, gram.file)
    if path is None:
        return None
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_GRAM + 1)
        if len(content) > LARGEST_GRAM:
            return None
        return unpacked(as_array(np.frombuffer(content, np.uint8)))
    except (OSError, ValueError):
        return None
