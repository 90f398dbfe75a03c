from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprbench.benchmark import Reference
from reprbench.report.statistics import summarize, summarize_seeds
from reprbench.report.verdict import judge
from reprbench.trial import Deviation, DeviationKind

REFERENCE = Reference(value=50.0, spread=0.6, citation="A paper", differences=("widths are ours",))
VALUES = np.array([49.0, 50.0, 51.0, 50.5, 49.5])
SEEDS = np.array([[-0.2], [0.1], [0.1]])
TOLERANCE = 1.2
"""Twice the published spread."""


def shifted(points: float, noise: float = 0.2, seeds: int = 3):
    return summarize_seeds(50 + points + noise * (VALUES - 50 + SEEDS)[:seeds], 0.25)


def half_width(noise: float = 0.2) -> float:
    """Return the half width from the documented formula: t(0.975) is 2.776 for five folds and 4.303 for three seeds."""
    folds = 2.7764451**2 * 0.625 * (1 / 5 + 0.25)
    seeds = 4.3026527**2 * 0.03 / 3
    return noise * math.sqrt(folds + seeds)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_whole_interval_must_be_within_the_tolerance_or_outside(sign):
    def word(points: float) -> str:
        return judge(REFERENCE, shifted(sign * points), "%", (), 3).word

    inner, outer = TOLERANCE - half_width(), TOLERANCE + half_width()
    assert word(inner - 1e-6) == "reproduced"
    assert word(inner + 1e-6) == word(outer - 1e-6) == "inconclusive"
    assert word(outer + 1e-6) == ("above" if sign > 0 else "below")


def test_a_verdict_has_its_numbers():
    verdict = judge(REFERENCE, shifted(0.5), "%", (), 3)
    assert verdict.difference == pytest.approx(0.5)
    assert (verdict.half_width, verdict.tolerance) == (pytest.approx(half_width()), pytest.approx(TOLERANCE))
    assert verdict.detectable > verdict.half_width
    assert verdict.because == ("widths are ours",)
    assert str(verdict) == "reproduced"


@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(1, 10))
def test_noise_never_turns_another_verdict_into_reproduced_above_or_below(points, noise, more):
    quiet, noisy = (judge(REFERENCE, shifted(points, level), "%", (), 3).word for level in (noise, more * noise))
    assert noisy in (quiet, "inconclusive")


@pytest.mark.parametrize(("seeds", "word"), [(1, "one seed"), (2, "two seeds"), (3, "reproduced")])
def test_fewer_than_three_seeds_have_a_difference_and_no_verdict(seeds, word):
    verdict = judge(REFERENCE, shifted(0.0, seeds=seeds), "%", (), seeds)
    assert verdict.word == word
    assert verdict.difference == pytest.approx(0, abs=0.1)
    far = judge(REFERENCE, shifted(30.0, seeds=seeds), "%", (), seeds)
    assert far.word == ("above" if seeds == 3 else word)


def test_without_a_spread_or_a_tolerance_nothing_is_reproduced():
    exact = Reference(value=50.0, citation="A paper")
    words = [judge(exact, shifted(points), "%", (), 3).word for points in (0.0, 5.0, -5.0)]
    assert words == ["inconclusive", "above", "below"]
    assert judge(exact, shifted(0.0), "%", (), 3).tolerance is None


def test_a_stated_tolerance_takes_the_place_of_that_from_the_spread():
    wide, narrow = (REFERENCE.model_copy(update={"tolerance": points}) for points in (5.0, 0.3))
    assert judge(wide, shifted(4.5), "%", (), 3).word == "reproduced"
    assert judge(wide, shifted(5.5), "%", (), 3).word == "above"
    assert judge(narrow, shifted(0.0), "%", (), 3).word == "inconclusive"


def test_without_an_interval_nothing_is_concluded():
    whole = summarize_seeds(50 + VALUES - 50 + SEEDS, math.inf)
    assert judge(REFERENCE, whole, "%", (), 3).word == "inconclusive"
    assert judge(REFERENCE, summarize([52.0]), "%", (), 1).word == "one seed"


def test_a_row_that_is_not_the_benchmarks_is_not_comparable_and_says_why():
    verdict = judge(REFERENCE, shifted(0), "%", ("limit 100", "width=4"), 3)
    assert verdict.word == "not comparable"
    assert verdict.because == ("limit 100", "width=4")
    assert verdict.difference == pytest.approx(0)
    assert judge(REFERENCE, shifted(0), "dB", (), 3).because == ("measured in dB, published in %",)


def test_what_the_benchmark_sets_for_a_row_is_not_a_deviation():
    own = [
        Deviation("own protocol", "protocol of its own: linear-svm[pooling=sum]"),
        Deviation("own budget", "budget of its own: 30 epochs"),
    ]
    assert not any(one.from_benchmark for one in own)
    others = set(get_args(DeviationKind)) - {one.kind for one in own}
    assert len(others) == len(get_args(DeviationKind)) - 2
    assert all(Deviation(kind, own[0].text).from_benchmark for kind in others)


def test_nothing_measured_is_not_run():
    verdict = judge(REFERENCE, None, "", (), 1, "timeout: took too long")
    assert str(verdict) == "not run"
    assert verdict.because == ("timeout: took too long",)
