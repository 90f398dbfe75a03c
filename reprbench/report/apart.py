"""What the names of a table's rows need beside their labels: seeds, and what rows with the same label differ in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from reprbench.report.row import Row, mixed


def distinguished(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a table with what their names need: seeds, and what rows with the same label differ in."""
    several_seeds = len({seed for row in rows for seed in row.seeds}) > 1
    labels: dict[str, list[Row]] = {}
    for row in rows:
        labels.setdefault(row.label, []).append(row)
    differing = {label: _differing(same) for label, same in labels.items()}
    return [replace(row, apart=_apart(row, differing[row.label]), shows_seeds=several_seeds) for row in rows]


def _apart(row: Row, differing: Iterable[Callable[[Row], object]]) -> tuple[str, ...]:
    texts = (str(found) for show in differing if (found := show(row)) is not None)
    return (*texts, *(("superseded",) if row.superseded else ()))


_APART: tuple[Callable[[Row], object], ...] = (
    lambda row: row.key.budget,
    lambda row: row.key.precision,
    lambda row: row.sources[0].protocol.call if row.sources else None,
    lambda row: row.code,
    lambda row: f"numerics {row.sources[0].trial.numerics}" if row.sources else None,
)


def _differing(rows: Sequence[Row]) -> list[Callable[[Row], object]]:
    """Return what rows with the same label differ in, besides seeds."""
    return [show for show in _APART if mixed([show(row) for row in rows])]
