from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from trials import trial

from reprbench.report.measured import fold_ratio


def test_the_overlap_is_that_of_the_recorded_fold_size():
    # Nine classes of 5 images and one of 955: a fold has 4 of each of the nine, and 100 of the last.
    data = replace(trial().dataset, train=1000, classes=10, fold_size=136)
    assert fold_ratio(data) == pytest.approx(136 / 864)
    assert math.isinf(fold_ratio(replace(data, fold_size=1000)))


def test_where_the_size_is_unknown_it_follows_from_the_rule_of_the_folds():
    data = replace(trial().dataset, train=5000, classes=10, fold_size=None)
    assert fold_ratio(data) == 0.25
    assert fold_ratio(replace(data, train=600)) == pytest.approx(4.0)
