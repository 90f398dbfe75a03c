"""The seeds of a method: finding their rows, and merging them into one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from reprbench.report.measured import fold_ratio, over_seeds, shared_folds
from reprbench.report.row import HeadlineResult, Row, verdict_of
from reprbench.report.statistics import bounds_of, summarize_seeds
from reprbench.spec import Call
from reprbench.trial import Code, RowKey


def by_method(rows: Sequence[Row]) -> list[list[int]]:
    """Return the places of the rows of each method, one per seed; superseded rows and those without are left out.

    Seeds of one method share the row key except for the seed, the protocol with its code, and reprbench's numerics.
    """
    methods: dict[tuple[RowKey, Call, Code | None, int], list[int]] = {}
    for place, row in enumerate(rows):
        if row.sources and not row.superseded:
            source = row.sources[0]
            key = (replace(row.key, seed=None), source.protocol.call, row.code, source.trial.numerics)
            methods.setdefault(key, []).append(place)
    return list(methods.values())


def merge_seeds(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with each method's seeds merged, on the folds that all have; rows without a result stay."""
    measured = [row for row in rows if row.result]
    merged = [row for method in by_method(measured) for row in _merged([measured[place] for place in method])]
    return [*(row for row in rows if not row.result or row.superseded), *merged]


def share_verdicts(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, each seed of a method with the verdict of all of them."""
    if not any(row.reference for row in rows):
        return list(rows)
    judged = {id(source): row.verdict for row in merge_seeds(rows) for source in row.sources}
    return [replace(row, verdict=judged[id(row.sources[0])]) if row.result else row for row in rows]


def _merged(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one method merged into one, or unchanged if they share no fold."""
    rows = sorted(rows, key=lambda row: row.seeds)
    if len(rows) == 1 or not shared_folds([row.result.by_fold for row in rows if row.result]):
        return rows
    first = rows[0]
    results = tuple(_over_seeds([row.results[place] for row in rows], first) for place in range(len(first.results)))
    merged = replace(
        first,
        key=replace(first.key, seed=None),
        sources=tuple(source for row in rows for source in row.sources),
        results=results,
        verdict=verdict_of(first.reference, results, first.sources[0], len(rows)),
        notes=tuple(dict.fromkeys(note for row in rows for note in row.notes)),
    )
    return [merged]


def _over_seeds(results: Sequence[HeadlineResult | None], row: Row) -> HeadlineResult | None:
    known = [result for result in results if result]
    seeds = [result.by_fold for result in known]
    folds = shared_folds(seeds) if len(known) == len(results) else []
    if not folds:
        return None
    ratio = fold_ratio(row.sources[0].trial.dataset)
    summary = summarize_seeds([[one[fold] for fold in folds] for one in seeds], ratio, bounds_of(known[0].unit))
    return replace(known[0], by_fold=over_seeds(seeds), summary=summary)
