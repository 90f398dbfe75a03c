from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from trials import trial

from reprbench.measurement import Measurement
from reprbench.report.measured import by_fold, fold_count, fold_ratio, over_seeds


def measured(*values: tuple[int | None, float]) -> list[Measurement]:
    return [Measurement("m", value, at={} if fold is None else {"fold": fold}) for fold, value in values]


def test_several_values_of_a_fold_are_one_the_mean():
    found = by_fold(measured((0, 10.0), (1, 50.0), (0, 40.0), (0, 16.0), (1, 51.0)))
    assert found == {0: 22.0, 1: 50.5}
    assert fold_count(found) == 2
    assert fold_count(by_fold(measured((None, 1.0), (None, 4.0)))) == 0


def test_over_seeds_a_fold_has_the_mean_of_the_seeds_if_all_have_it():
    assert over_seeds([{2: 1.0, 0: 5.0, 1: 9.0}, {0: 6.0, 2: 3.0}, {0: 10.0, 2: 5.0, 7: 1.0}]) == {2: 3.0, 0: 7.0}


def test_the_overlap_is_that_of_the_recorded_fold_size():
    # Nine classes of 5 images and one of 955: a fold has 4 of each of the nine, and 100 of the last.
    data = replace(trial().dataset, train=1000, classes=10, fold_size=136)
    assert fold_ratio(data) == pytest.approx(136 / 864)
    assert math.isinf(fold_ratio(replace(data, fold_size=1000)))


def test_where_the_size_is_unknown_it_follows_from_the_rule_of_the_folds():
    data = replace(trial().dataset, train=5000, classes=10, fold_size=None)
    assert fold_ratio(data) == 0.25
    assert fold_ratio(replace(data, train=600)) == pytest.approx(4.0)
