from __future__ import annotations

import math
from typing import get_args

import pytest

from reprbench.benchmark import Reference
from reprbench.report.statistics import summarize, summarize_seeds
from reprbench.report.verdict import judge
from reprbench.trial import Deviation, DeviationKind

REFERENCE = Reference(value=50.0, spread=0.6, citation="A paper", differences=("widths are ours",))
VALUES = [49.0, 50.0, 51.0, 50.5, 49.5]


def shifted(points: float, ratio: float = 0.25):
    return summarize([value + points for value in VALUES], ratio)


def margin(spread: float, ratio: float = 0.25) -> float:
    """Return √(h² + h_ref²) from the documented formulas: both over five folds, t(0.975, 4) = 2.776."""
    h = 2.7764451 * math.sqrt(0.625 * (1 / 5 + ratio))
    h_ref = 2.7764451 * math.sqrt(spread**2 * 5 / 4 * (1 / 5 + ratio))
    return math.hypot(h, h_ref)


@pytest.mark.parametrize(("sign", "outside"), [(1, "above"), (-1, "below")])
def test_values_agree_up_to_the_combined_interval_and_no_further(sign, outside):
    bound = margin(0.6)
    inside = judge(REFERENCE, shifted(sign * (bound - 1e-6)), "%", (), 0.25)
    beyond = judge(REFERENCE, shifted(sign * (bound + 1e-6)), "%", (), 0.25)
    assert (inside.word, beyond.word) == ("reproduced", outside)
    assert inside.margin == pytest.approx(bound)


def test_differences_in_the_publication_are_shown_with_the_verdict_and_do_not_prevent_it():
    verdict = judge(REFERENCE, shifted(0), "%", (), 0.25)
    assert verdict.word == "reproduced"
    assert verdict.because == ("widths are ours",)
    assert str(verdict) == "reproduced (+0.0)"


def test_a_published_value_without_a_spread_counts_as_exact():
    exact = Reference(value=50.0, citation="A paper")
    assert judge(exact, shifted(0), "%", (), 0.25).margin == pytest.approx(shifted(0).half_width)


def test_a_stated_tolerance_widens_the_margin_and_never_narrows_it():
    wide, narrow = (REFERENCE.model_copy(update={"tolerance": points}) for points in (5.0, 0.01))
    assert judge(wide, shifted(4.9), "%", (), 0.25).word == "reproduced"
    assert judge(wide, shifted(5.1), "%", (), 0.25).word == "above"
    assert judge(narrow, shifted(0.5), "%", (), 0.25).word == "reproduced"


def test_a_tolerance_judges_a_single_value_without_an_interval():
    single = summarize([52.0])
    verdict = judge(REFERENCE, single, "%", (), 0.0)
    assert verdict.word == "not comparable"
    assert "single" in verdict.because[0]
    assert judge(REFERENCE.model_copy(update={"tolerance": 2.0}), single, "%", (), 0.0).word == "reproduced"


def test_a_row_that_is_not_the_benchmarks_is_not_comparable_and_says_why():
    verdict = judge(REFERENCE, shifted(0), "%", ("limit 100", "width=4"), 0.25)
    assert verdict.word == "not comparable"
    assert verdict.because == ("limit 100", "width=4")
    assert verdict.difference == pytest.approx(0)
    assert judge(REFERENCE, shifted(0), "dB", (), 0.25).because == ("measured in dB, published in %",)


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
    verdict = judge(REFERENCE, None, "", (), 0.25, "timeout: took too long")
    assert str(verdict) == "not run"
    assert verdict.because == ("timeout: took too long",)


def test_the_published_interval_is_over_as_many_folds_however_many_seeds_there_are():
    merged = summarize_seeds([VALUES] * 20, 0.25)
    # Equal seeds: the measured interval is that of the folds alone, so the margin is that of one seed.
    assert judge(REFERENCE, merged, "%", (), 0.25).margin == pytest.approx(margin(0.6))
