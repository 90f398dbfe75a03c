"""Measurements as lines of a chart and lines of a list; values keep their full precision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reprbench.report.measured import matching
from reprbench.trial import Curve, Evaluation

FOLD = "fold"


def curve_key(curve: Curve) -> tuple[str, ...]:
    """Return what the curves of different methods have in common if they belong into one chart."""
    return (curve.metric, curve.x, _coordinates(curve.at))


def curve_title(curve: Curve) -> str:
    """Return the name of a curve's chart: its title, and where it was measured."""
    title = curve.title or curve.metric
    places = ", ".join(str(value) for value in curve.at.values())
    return f"{title}: {places}" if places and places not in title else title


def curve_points(evaluations: Sequence[Evaluation], curve: Curve) -> list[list[float]]:
    """Return [x, mean over folds and seeds, standard deviation (ddof = 0)] for each numeric x, ascending."""
    values: dict[float, list[float]] = {}
    for one in (one for evaluation in evaluations for one in matching(evaluation, curve.metric, curve.at)):
        x = one.at.get(curve.x)
        if isinstance(x, int | float) and not isinstance(x, bool):
            values.setdefault(float(x), []).append(one.value)
    return [[x, *mean_and_spread(values[x])] for x in sorted(values)]


def curve_unit(evaluation: Evaluation, curve: Curve) -> str:
    """Return the unit in which a curve's metric is measured."""
    return next((one.unit for one in evaluation.measurements if one.metric == curve.metric), "")


def summaries(evaluation: Evaluation) -> list[tuple[str, str, float, float, int, str]]:
    """Return each metric at each place once: (metric, place, mean, standard deviation, folds, unit)."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for one in evaluation.measurements:
        place = _coordinates({name: value for name, value in one.at.items() if name != FOLD})
        groups.setdefault((one.metric, place, one.unit), []).append(one.value)
    return [
        (metric, place, *mean_and_spread(values), len(values), unit) for (metric, place, unit), values in groups.items()
    ]


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation (ddof = 0)."""
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def _coordinates(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(at.items()))
