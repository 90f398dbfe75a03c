from __future__ import annotations

import numpy as np
import pytest
from common import noise


@pytest.mark.parametrize("rows", [np.array([3, 0]), slice(1, 4), np.array([], dtype=np.int64)])
def test_vectors_are_the_pixels_in_the_unit_interval(rows):
    pixels = noise(6, shape=(3, 4, 5)).pixels(rows)
    vectors = noise(6, shape=(3, 4, 5)).vectors(rows)
    assert vectors.dtype == np.float64 and vectors.shape == (len(pixels), 60)
    assert np.array_equal(vectors.reshape(pixels.shape), pixels / 255)


@pytest.mark.parametrize(
    ("count", "most", "room", "expected"),
    [(9, 5, 7, 5), (9, 7, 5, 5), (4, 7, 5, 4), (9, 7, 1, 2), (9, 1, 0, 1), (1, 7, 0, 1)],
)
def test_what_is_fitted_at_once_is_bounded_in_number_and_bytes(monkeypatch, count, most, room, expected):
    monkeypatch.setattr("reprbench.images.VECTOR_BYTES", room * 8 * 60 + 8 * 59)
    assert noise(count, shape=(3, 4, 5)).most_vectors(most) == expected
