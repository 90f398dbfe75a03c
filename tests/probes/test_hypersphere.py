"""Alignment and uniformity in closed form and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import ive

from reprbench.probes import hypersphere
from reprbench.probes.hypersphere import alignment, uniformity


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.linalg.norm(codes, axis=-1, keepdims=True)


@pytest.mark.parametrize("views", [2, 5])
def test_alignment_is_the_mean_over_pairs_of_views(views):
    codes = noise(20, views, 6) + 1
    expected = np.mean([pdist(one, "sqeuclidean").mean() for one in unit(codes.astype(np.float64))])
    assert alignment(codes) == pytest.approx(expected)


def test_equal_views_are_aligned_and_opposite_ones_are_not():
    codes = noise(20, 1, 6)
    assert alignment(np.repeat(codes, 3, axis=1)) == pytest.approx(0, abs=1e-12)
    assert alignment(np.concatenate([codes, -codes], axis=1)) == pytest.approx(4)


def test_right_angles_are_half_way():
    assert alignment(np.tile(np.eye(2, dtype=np.float32), (3, 1, 1))) == pytest.approx(2)


@pytest.mark.parametrize("block", [1, 150, 2**22])
def test_uniformity_is_that_of_the_papers_code(monkeypatch, block):
    monkeypatch.setattr(hypersphere, "BLOCK", block)
    codes = noise(60, 5) + 0.3
    expected = np.log(np.exp(-2 * pdist(unit(codes.astype(np.float64)), "sqeuclidean")).mean())
    assert uniformity(codes) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("units", [3, 10])
def test_an_isotropic_gaussian_has_the_uniformity_of_the_uniform_distribution(units):
    # log E exp(−2·(2 − 2·cos)) = −4 + log(Γ(ν + 1)·(2/κ)^ν·I_ν(κ)) with κ = 4 and ν = units/2 − 1.
    from scipy.special import gammaln

    order = units / 2 - 1
    expected = -4 + gammaln(order + 1) + order * np.log(2 / 4) + np.log(ive(order, 4)) + 4
    assert uniformity(noise(8000, units)) == pytest.approx(expected, abs=0.01)


def test_uniformity_reaches_from_one_point_to_two_opposite_ones():
    assert uniformity(np.ones((5, 3), np.float32)) == pytest.approx(0, abs=1e-6)
    assert uniformity(np.array([[1, 2], [-1, -2]], np.float32)) == pytest.approx(-8)


@pytest.mark.parametrize("change", [lambda x: 1024 * x, lambda x: x / 2**20, lambda x: x[..., ::-1].copy()])
def test_scaled_or_permuted_codes_have_the_same_numbers(change):
    codes = noise(20, 3, 6) + 1
    assert alignment(change(codes)) == pytest.approx(alignment(codes), rel=1e-6)
    assert uniformity(change(codes[:, 0])) == pytest.approx(uniformity(codes[:, 0]), rel=1e-6)
