"""Curves of rows: a metric against a numeric coordinate. Charts and figures draw the points that are computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reprbench.measurement import Curve, Measurement
from reprbench.report.measured import ByFold, by_fold, matching, over_seeds
from reprbench.report.row import Source
from reprbench.report.statistics import summarize
from reprbench.trial import Evaluation

CurveKey = tuple[str, str, tuple[tuple[str, Any], ...]]
"""Metric, name of x, and the fixed coordinates: what the curves of one chart have in common."""


@dataclass(frozen=True)
class CurvePoint:
    """What was measured at one x.

    Attributes
    ----------
    x : the coordinate.
    mean : over the folds that all seeds have, of each fold's mean over seeds.
    std : standard deviation (ddof = 0) over these folds; None for a single value.
    """

    x: float
    mean: float
    std: float | None


@dataclass(frozen=True)
class RowCurve:
    """One curve of a row: its description, the metric's unit, and at least one point, in the order of x."""

    curve: Curve
    unit: str
    points: tuple[CurvePoint, ...]


def curves_of(sources: Sequence[Source]) -> list[RowCurve]:
    """Return the curves of the row with these `sources`; none if one of them has no evaluation."""
    evaluations = [source.evaluation for source in sources if source.evaluation]
    if not evaluations or len(evaluations) < len(sources):
        return []
    curves = (_curve(evaluations, curve) for curve in evaluations[0].curves)
    return [found for found in curves if found.points]


def curve_key(curve: Curve) -> CurveKey:
    """Return what distinguishes the curve from others in its table."""
    return curve.metric, curve.x, tuple(sorted(curve.at.items()))


def curve_title(curve: Curve) -> str:
    """Return the curve's title; without one, its metric and where it was measured."""
    return curve.title or ": ".join(filter(None, [curve.metric, at_values(curve)]))


def at_values(curve: Curve) -> str:
    """Return the values of the curve's fixed coordinates."""
    return ", ".join(str(value) for value in curve.at.values())


def axis_label(metric: str, unit: str) -> str:
    """Return the axis label of a metric: ``accuracy (%)``."""
    return f"{metric} ({unit})" if unit else metric


def _curve(seeds: Sequence[Evaluation], curve: Curve) -> RowCurve:
    measurements = [_by_x(evaluation, curve) for evaluation in seeds]
    values = [{x: by_fold(found) for x, found in seed.items()} for seed in measurements]
    unit = next((found[0].unit for found in measurements[0].values()), "")
    folds = {x: over_seeds([seed.get(x, {}) for seed in values]) for x in sorted(values[0])}
    return RowCurve(curve, unit, tuple(_point(x, found) for x, found in folds.items() if found))


def _by_x(evaluation: Evaluation, curve: Curve) -> dict[float, list[Measurement]]:
    """Return the curve's measurements by x, without those whose x is not a number."""
    found: dict[float, list[Measurement]] = {}
    for one in matching(evaluation, curve.metric, curve.at):
        x = one.at.get(curve.x)
        if isinstance(x, int | float) and not isinstance(x, bool):
            found.setdefault(float(x), []).append(one)
    return found


def _point(x: float, values: ByFold) -> CurvePoint:
    summary = summarize(list(values.values()))
    return CurvePoint(x, summary.mean, summary.std)
