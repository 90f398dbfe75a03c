"""Nearest neighbors against scikit-learn and SciPy, against loops, and against what must change nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from common import noise
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from reprbench.errors import Diverged
from reprbench.probes import knn
from reprbench.probes.knn import (
    exponential_weights,
    nearest,
    nearest_cosines,
    nearest_distances,
    vote,
    weighted_vote,
)

REAL = noise(50, 0)


def points(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32) + 3


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("block", [1, 500, 2**24])
def test_neighbors_are_those_of_scikit_learn(monkeypatch, metric, block):
    monkeypatch.setattr(knn, "BLOCK", block)
    train, test = points(80), points(30, seed=1)
    expected = NearestNeighbors(n_neighbors=7, algorithm="brute", metric=metric).fit(train).kneighbors(test)[1]
    assert np.array_equal(nearest(train, test, 7, metric), expected)


@pytest.mark.parametrize("change", [lambda x: 1000 * x, lambda x: x / 1000, lambda x: x[:, ::-1]])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_scaled_or_permuted_features_have_the_same_neighbors(metric, change):
    train, test = points(80), points(30, seed=1)
    assert np.array_equal(nearest(change(train), change(test), 5, metric), nearest(train, test, 5, metric))


def test_shifted_features_have_the_same_euclidean_neighbors():
    train, test = points(80), points(30, seed=1)
    assert np.array_equal(nearest(train + 100, test + 100, 5, "euclidean"), nearest(train, test, 5, "euclidean"))


def test_an_example_is_its_own_neighbor():
    train = points(50)
    assert nearest(train, train, 1, "euclidean")[:, 0].tolist() == list(range(50))


def test_the_vote_is_a_count_and_ties_go_to_the_nearest():
    labels = np.random.default_rng(0).integers(0, 4, (200, 6))
    for row, winner in zip(labels, vote(labels), strict=True):
        counts = Counter(row.tolist())
        best = max(counts.values())
        assert winner == next(label for label in row if counts[label] == best)


@pytest.mark.parametrize("block", [1, 500, 2**24])
@pytest.mark.parametrize("temperature", [0.02, 0.07, 1.0])
def test_the_weighted_vote_is_that_of_scikit_learn(monkeypatch, block, temperature):
    monkeypatch.setattr(knn, "BLOCK", block)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 200)
    centers = generator.normal(size=(5, 6))
    train = (centers[labels] + 2 * generator.normal(size=(200, 6))).astype(np.float32)
    test = (centers[generator.integers(0, 5, 60)] + 2 * generator.normal(size=(60, 6))).astype(np.float32)
    weigh = lambda distances: np.exp((1 - distances) / temperature)  # noqa: E731
    other = KNeighborsClassifier(15, weights=weigh, algorithm="brute", metric="cosine").fit(train, labels)
    neighbors, cosines = nearest_cosines(train, test, 15)
    voted = weighted_vote(labels[neighbors], exponential_weights(cosines, temperature))
    assert np.array_equal(voted, other.predict(test))
    assert temperature > 0.05 or not np.array_equal(voted, vote(labels[neighbors])), "weights matter here"
    assert cosines == pytest.approx(1 - other.kneighbors(test)[0], abs=1e-6)


def test_a_class_without_votes_is_no_candidate():
    # At this temperature all weights but the nearest's are 0, and no neighbor is of class 0.
    labels = np.array([[3, 2, 2], [1, 1, 4]])
    cosines = np.array([[-0.5, -0.6, -0.7], [-0.9, -0.95, -1.0]], dtype=np.float32)
    assert weighted_vote(labels, exponential_weights(cosines, 1e-6)).tolist() == [3, 1]
    assert weighted_vote(labels, np.zeros((2, 3))).tolist() == [3, 1]


def test_equal_weights_are_a_plain_vote():
    labels = np.random.default_rng(0).integers(0, 4, (200, 6))
    assert np.array_equal(weighted_vote(labels, np.full(labels.shape, 0.5)), vote(labels))


def test_features_that_are_not_finite_are_reported():
    train = points(10)
    train[3, 1] = np.nan
    with pytest.raises(Diverged, match="NaN or infinite"):
        nearest(train, points(3), 1, "euclidean")


@pytest.mark.parametrize("numbers", [1, 64 * 7, 2**26])
def test_the_nearest_distance_is_that_of_scipy(monkeypatch, numbers):
    monkeypatch.setattr(knn, "NUMBERS_AT_ONCE", numbers)
    queries = noise(20, 2).batch(slice(None))
    real = REAL.batch(slice(None)).flatten(1).numpy()
    expected = cdist(queries.flatten(1).numpy(), real).min(1) / 8
    assert nearest_distances(queries, REAL) == pytest.approx(expected, rel=1e-5)


def test_channels_last_images_are_compared_channel_by_channel():
    colored = noise(6, 3, (3, 8, 8))
    assert nearest_distances(colored.batch(slice(None)), colored).tolist() == [0] * 6
