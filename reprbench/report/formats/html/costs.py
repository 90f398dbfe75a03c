"""The costs of a row: table columns and chart axes, with their texts, since the page's script knows no units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reprbench.report.grid import fit_text
from reprbench.report.row import Row
from reprbench.report.text import count_text, memory_text, seconds_text

Tick = tuple[float, str]
"""A value and its text."""

DURATIONS = (
    ("ms", 0.001, (1, 10), (1, 2, 5, 10, 20, 50)),
    ("s", 1.0, (0.1, 1, 10), (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)),
    ("min", 60.0, (1, 10), (1, 2, 5, 10, 20, 30)),
    ("h", 3600.0, (1, 10), (1, 2, 5, 10)),
    ("d", 86400.0, (1, 10, 100), (1, 2, 5, 10, 20, 50, 100)),
)
"""Units of time: name, seconds, and the ticks of a coarse and of a fine axis in this unit."""
COUNTS = ((10,), (10, 15, 20, 30, 50, 70))
"""The ticks in each decade of a coarse and of a fine axis."""


@dataclass(frozen=True)
class CostAxis:
    """A logarithmic axis.

    Attributes
    ----------
    key : names the cost.
    title : label of the axis.
    ticks : a coarse set and a fine one; an axis shows the first of them that has two ticks in its range.
    """

    key: str
    title: str
    ticks: Sequence[Sequence[Tick]]


@dataclass(frozen=True)
class CostKind:
    """One kind of cost: its column, its axis, the number that a row has (None if unknown), and that number's text."""

    column: str
    axis: CostAxis
    value: Callable[[Row], float | None]
    text: Callable[[Row], str]


def _durations(fine: bool) -> list[Tick]:
    return [
        (count * seconds, f"{count:g} {unit}")
        for unit, seconds, coarse_counts, fine_counts in DURATIONS
        for count in (fine_counts if fine else coarse_counts)
    ]


def _decades(text: Callable[[int], str], unit: int = 1) -> list[list[Tick]]:
    """Return the ticks of counts of a `unit`: powers of ten, and these with others between them."""
    sets = [[one * 10**power * unit for power in range(11) for one in ones] for ones in COUNTS]
    return [[(value, text(value)) for value in values] for values in sets]


_TIME = [_durations(fine=False), _durations(fine=True)]

COST_KINDS = {
    kind.axis.key: kind
    for kind in (
        CostKind(
            "Fit",
            CostAxis("fit", "Fit time", _TIME),
            lambda row: row.fit_seconds,
            fit_text,
        ),
        CostKind(
            "Images seen",
            CostAxis("images", "Images seen in the fit", _decades(count_text)),
            lambda row: row.images_seen,
            lambda row: count_text(row.images_seen),
        ),
        CostKind(
            "Steps",
            CostAxis("steps", "Steps of the fit", _decades(count_text)),
            lambda row: row.steps,
            lambda row: count_text(row.steps),
        ),
        CostKind(
            "Fit FLOPs",
            CostAxis("fit-flops", "FLOPs of the fit", _decades(count_text, unit=10**6)),
            lambda row: row.fit_flops,
            lambda row: count_text(row.fit_flops),
        ),
        CostKind(
            "Parameters",
            CostAxis("parameters", "Parameters", _decades(count_text)),
            lambda row: row.parameters,
            lambda row: count_text(row.parameters),
        ),
        CostKind(
            "Evaluation",
            CostAxis("evaluation", "Evaluation time", _TIME),
            lambda row: row.evaluation_seconds,
            lambda row: seconds_text(row.evaluation_seconds),
        ),
        CostKind(
            "Peak memory",
            CostAxis("memory", "Peak memory", _decades(memory_text, unit=2**20)),
            lambda row: row.peak_memory,
            lambda row: memory_text(row.peak_memory),
        ),
        CostKind(
            "Peak device memory",
            CostAxis("device-memory", "Peak device memory", _decades(memory_text, unit=2**20)),
            lambda row: row.peak_device_memory,
            lambda row: memory_text(row.peak_device_memory),
        ),
    )
}
"""By key, in the order in which a chart offers them."""
