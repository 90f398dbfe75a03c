from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from reprbench.probes.calibration import BINS, calibration


def test_the_bins_are_those_of_scikit_learn_and_of_the_definitions():
    generator = np.random.default_rng(0)
    probabilities = generator.beta(2, 5, 400)
    came_true = generator.uniform(size=400) < probabilities
    found = calibration(probabilities, came_true)
    observed, predicted = calibration_curve(came_true, probabilities, n_bins=BINS)
    assert np.array_equal(found.observed, observed) and np.array_equal(found.predicted, predicted)
    bins = np.floor(probabilities * BINS)
    for place, filled in enumerate(np.unique(bins)):
        inside = came_true[bins == filled]
        assert found.counts[place] == len(inside)
        assert found.standard_errors[place] == pytest.approx(inside.std() / np.sqrt(len(inside)))
    gaps = [abs((came_true - probabilities)[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)]
    assert found.error == pytest.approx(sum(gaps))


def test_bins_are_closed_above_and_their_error_is_weighted_by_predictions():
    found = calibration(np.array([1 / 15, 0.5, 0.5, 1.0]), np.array([True, True, False, True]))
    assert found.predicted == pytest.approx([1 / 15, 0.5, 1.0])
    assert found.observed.tolist() == [1, 0.5, 1]
    assert found.error == pytest.approx((1 - 1 / 15) / 4)


def test_a_calibrated_prediction_has_no_error():
    came_true = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert calibration(np.repeat([0.25, 0.75], 4), came_true).error == 0
