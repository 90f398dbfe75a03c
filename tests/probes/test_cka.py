"""Linear CKA against a plain float64 version of Song et al. (2012), eq. 5, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprbench.probes.cka import (
    MOST_IMAGES,
    centered_gram,
    cka,
    cka_matrix,
    images_of,
    is_constant,
    packed,
    unpacked,
)

RANDOM = np.random.default_rng(0)
N = 60


def features(width: int, n: int = N) -> np.ndarray:
    return RANDOM.normal(size=(n, width))


def plain_hsic(k: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimator, sum by sum."""
    n = len(k)
    k, other = k - np.diag(np.diag(k)), other - np.diag(np.diag(other))
    ones = np.ones(n)
    trace = np.trace(k @ other)
    means = (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
    return float(trace + means - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3))


def plain(x: np.ndarray, y: np.ndarray) -> float:
    k, other = x @ x.T, y @ y.T
    return plain_hsic(k, other) / np.sqrt(plain_hsic(k, k) * plain_hsic(other, other))


def found(x: np.ndarray, y: np.ndarray) -> float:
    return cka(centered_gram(x), centered_gram(y))


@given(st.integers(0, 10_000), st.integers(4, 30), st.integers(1, 40), st.integers(1, 40))
def test_it_is_the_plain_estimator(seed, n, width, other):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    y = rng.normal(size=(n, other)) + x[:, :1]
    assert found(x, y) == pytest.approx(plain(x, y), abs=1e-9)


def test_an_orthogonal_map_a_factor_and_an_offset_change_nothing():
    x, y = features(20), features(7)
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(20, 20)))
    for same in (x @ rotation, 1e-3 * x, x + 1000 * RANDOM.normal(size=20), x[:, RANDOM.permutation(20)]):
        assert found(x, same) == pytest.approx(1, abs=1e-9)
        assert found(same, y) == pytest.approx(found(x, y), abs=1e-9)
    # Whitening is no such map.
    assert found(x, x * np.geomspace(1, 100, 20)) < 0.7


def test_independent_features_are_about_0_even_if_they_are_wide():
    several = [found(features(3000, 40), features(3000, 40)) for _ in range(20)]
    assert abs(np.mean(several)) < 0.03
    # The biased estimator, on the same features, is far from 0.
    centering = np.eye(40) - 1 / 40
    x, y = (centering @ features(3000, 40) for _ in range(2))
    biased = np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    assert biased > 0.8


def test_half_of_what_is_shared():
    # X and Y share p of 2p independent units: CKA of the population is 1/2.
    x, y, z = features(40, 700), features(40, 700), features(40, 700)
    assert found(np.hstack([x, y]), np.hstack([x, z])) == pytest.approx(0.5, abs=0.03)


def test_constant_features_are_0_and_said_to_be_constant():
    constant = np.full((N, 5), 3.25) + np.arange(5)
    gram = centered_gram(constant.astype(np.float32))
    assert is_constant(gram) and not is_constant(centered_gram(features(3)))
    assert cka(gram, centered_gram(features(3))) == 0
    # A large offset in float32 is none.
    small = features(4).astype(np.float32) * 1e-3 + 1
    assert not is_constant(centered_gram(small))
    assert found(small, small - 1) == pytest.approx(1, abs=1e-6)


def test_all_pairs():
    grams = [centered_gram(features(width)) for width in (3, 9, 27)]
    matrix = cka_matrix(grams)
    assert np.allclose(matrix, matrix.T) and np.allclose(matrix.diagonal(), 1)
    assert matrix[0, 2] == pytest.approx(cka(grams[0], grams[2]))


def test_what_is_kept_gives_the_same_to_five_digits():
    x = features(30, 256)
    y = x + 0.7 * features(30, 256)
    one, other = centered_gram(x), centered_gram(y)
    kept = packed(one), packed(other)
    assert kept[0].dtype == np.float16 and kept[0].nbytes == 65_280
    assert cka(*map(unpacked, kept)) == pytest.approx(cka(one, other), abs=2e-5)
    # One outlier among many images.
    x[0] *= 1000
    gram = centered_gram(x)
    assert cka(unpacked(packed(gram)), gram) == pytest.approx(1, abs=1e-5)
    assert is_constant(unpacked(packed(np.zeros_like(one))))


@pytest.mark.parametrize(
    "kept",
    [
        np.zeros(7, np.float16),
        np.zeros(3, np.float16),
        np.zeros((2, 3), np.float16),
        np.zeros(6, np.float32),
        np.full(6, np.inf, np.float16),
        np.zeros((MOST_IMAGES + 1) * MOST_IMAGES // 2, np.float16),
    ],
)
def test_what_is_no_gram_matrix_is_refused(kept):
    with pytest.raises(ValueError, match="not the"):
        unpacked(kept)


def test_the_number_of_images_is_known_from_that_of_pairs():
    assert [images_of(n * (n - 1) // 2) for n in (4, 5, 256, MOST_IMAGES)] == [4, 5, 256, MOST_IMAGES]
