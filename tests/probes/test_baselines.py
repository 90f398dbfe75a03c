"""The mean image and the principal components: orthonormal, lossless where they are a basis, bounded in memory."""

from __future__ import annotations

import numpy as np
import pytest
from common import noise

from reprbench.probes import baselines
from reprbench.probes.baselines import fit_baselines


def test_components_are_orthonormal_and_all_of_them_lose_nothing():
    whole = fit_baselines(noise(100, 0), "noise", 10**6)
    assert whole.components.shape == (64, 64)
    x = noise(10, 1).batch(slice(None)).numpy()
    assert np.array_equal(whole.projected(x, 64), x)
    assert np.allclose(whole.components @ whole.components.T, np.eye(64), atol=1e-5)


def test_more_components_reconstruct_better_and_none_beats_those_that_were_fitted():
    images = noise(40, 0)
    found = fit_baselines(images, "noise", 30)
    x = images.batch(slice(None)).numpy()
    errors = [np.square(found.projected(x, dimension) - x).mean() for dimension in (1, 5, 20, 30)]
    assert errors == sorted(errors, reverse=True)
    assert [found.dimension(features) for features in (1, 30, 31)] == [1, 30, 30]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_mean_image_is_that_of_all_images(monkeypatch, at_once):
    monkeypatch.setattr(baselines, "IMAGES_AT_ONCE", at_once)
    images = noise(50, 3)
    expected = images.pixels(slice(None)).mean(0) / 255
    assert fit_baselines(images, "noise", 2).mean_image == pytest.approx(expected, rel=1e-6)


def test_the_images_of_the_components_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("reprbench.images.VECTOR_BYTES", 8 * 64 * 30)
    assert fit_baselines(noise(100, 0), "noise", 5).images == 30
