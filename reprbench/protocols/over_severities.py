"""What the probe accuracies under common corruptions say over all severities, and over all kinds."""

from __future__ import annotations

from collections.abc import Container, Sequence
from statistics import fmean
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from reprbench.data.common_corruptions import COMMON_KINDS, CommonKind
from reprbench.protocols.base import Measurement

Common = Annotated[
    tuple[CommonKind, ...],
    BeforeValidator(lambda given: COMMON_KINDS if given == "all" else (given,) if isinstance(given, str) else given),
    AfterValidator(lambda kinds: tuple(kind for kind in COMMON_KINDS if kind in kinds)),
]
"""Kinds of common corruptions: a list of names, one name, or "all"."""

Severities = Annotated[
    tuple[Annotated[int, Field(ge=1, le=5)], ...],
    Field(min_length=1),
    AfterValidator(lambda severities: tuple(sorted(set(severities)))),
]

PROBE = "probe accuracy"
OVER_ALL = "accuracy over common corruptions"


def over_severities(measurements: Sequence[Measurement], kinds: Container[str]) -> list[Measurement]:
    """Return the mean accuracy of each common corruption over its severities, and of all kinds, for each fold.

    The clean images count in none of these means, which are plain: not areas under the curve against severity.

    Parameters
    ----------
    measurements : with the `PROBE` at {"fold", "corruption", "level"}; level 0 is the clean image.
    kinds : of common corruptions.
    """
    values: dict[tuple[str, int], list[float]] = {}
    for one in measurements:
        if one.metric == PROBE and one.at["corruption"] in kinds and one.at["level"] > 0:
            values.setdefault((one.at["corruption"], one.at["fold"]), []).append(one.value)
    found: list[Measurement] = []
    folds: dict[int, list[float]] = {}
    for (kind, fold), accuracies in values.items():
        at, mean = {"fold": fold, "corruption": kind}, fmean(accuracies)
        found.append(Measurement("accuracy over severities", mean, "%", "higher", at))
        found.append(Measurement("corruption error", 100 - mean, "%", "lower", at))
        folds.setdefault(fold, []).append(mean)
    return found + [Measurement(OVER_ALL, fmean(means), "%", "higher", {"fold": fold}) for fold, means in folds.items()]
