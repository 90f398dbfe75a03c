"""Reading the measurements of an evaluation: values by fold, and how far the folds behind them overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reprbench.measurement import FOLD, Measurement
from reprbench.report.statistics import overlap_ratio
from reprbench.trial import DataRecord, Evaluation

ByFold = dict[int | None, float]
"""Values by fold number; None for a value that belongs to no fold."""


def matching(evaluation: Evaluation, metric: str, at: Mapping[str, Any]) -> list[Measurement]:
    """Return the measurements of `metric` whose coordinates include `at`."""
    return [
        found
        for found in evaluation.measurements
        if found.metric == metric and (not at or at.items() <= found.at.items())
    ]


def by_fold(measurements: Iterable[Measurement]) -> ByFold:
    """Return the mean value of each fold: several values of one fold do not count as several folds."""
    values: dict[int | None, list[float]] = {}
    for found in measurements:
        values.setdefault(found.at.get(FOLD), []).append(found.value)
    return {fold: sum(numbers) / len(numbers) for fold, numbers in values.items()}


def fold_count(values: ByFold) -> int:
    """Return the number of folds; 0 for a value that belongs to none."""
    return len(values) - (None in values)


def over_seeds(seeds: Sequence[ByFold]) -> ByFold:
    """Return the mean over seeds of each fold that all seeds have, in the order of the first seed."""
    return {fold: sum(one[fold] for one in seeds) / len(seeds) for fold in shared_folds(seeds)}


def shared_folds(seeds: Sequence[ByFold]) -> list[int | None]:
    """Return the folds that all seeds have, in the order of the first."""
    first, *others = seeds
    return [fold for fold in first if all(fold in other for other in others)]


def fold_ratio(data: DataRecord) -> float:
    """Return ρ/(1 − ρ) for the folds of a dataset (see `reprbench.report.statistics`).

    Older trials do not record the size of the folds, which then had 100 images per class, and at most four fifths of
    the training split. For classes of equal size that is exact.
    """
    size = data.fold_size or min(100 * data.classes, 0.8 * data.train)
    return overlap_ratio(size, data.train)
