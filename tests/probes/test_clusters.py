"""Clusters and their agreement with classes, against all matchings and closed forms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from reprbench.errors import Diverged
from reprbench.probes.clusters import agreement, cluster


def test_the_accuracy_is_the_largest_of_all_matchings():
    generator = np.random.default_rng(0)
    labels, clusters = generator.integers(0, 4, 100), generator.integers(0, 4, 100)
    found = agreement(clusters, labels, 4)
    best = max(np.mean(np.array(order)[clusters] == labels) for order in permutations(range(4)))
    assert found.accuracy == pytest.approx(best)
    assert found.accuracy == pytest.approx(np.trace(found.confusion) / 100)
    assert found.confusion.sum(1).tolist() == np.bincount(labels, minlength=4).tolist()


def test_clusters_that_are_the_classes_by_other_numbers_agree_entirely():
    labels = np.arange(30) % 3
    found = agreement(np.array([2, 0, 1])[labels], labels, 3)
    assert (found.accuracy, found.rand_index) == (1, 1)
    assert found.mutual_information == pytest.approx(1)
    assert np.array_equal(found.confusion, 10 * np.eye(3))


def test_a_single_cluster_tells_nothing():
    labels = np.arange(40) % 4
    found = agreement(np.zeros(40, np.int64), labels, 4)
    assert (found.accuracy, found.mutual_information, found.rand_index) == (0.25, 0, 0)


def test_mutual_information_and_rand_index_have_their_closed_forms():
    # Two classes of 4 images; one cluster has 3 of the one and 1 of the other.
    labels, clusters = np.repeat([0, 1], 4), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    found = agreement(clusters, labels, 2)
    shared = 2 * (3 / 8 * np.log(3 / 8 / 0.25) + 1 / 8 * np.log(1 / 8 / 0.25))
    assert found.mutual_information == pytest.approx(shared / np.log(2))
    # Pairs together in both: 2 · 3; in either: 2 · 6; expected: 12 · 12 / 28.
    assert found.rand_index == pytest.approx((6 - 144 / 28) / (12 - 144 / 28))


def test_clusters_are_those_of_scikit_learn_with_this_seed():
    codes = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    expected = KMeans(4, n_init=3, random_state=7).fit(codes).labels_
    assert np.array_equal(cluster(codes, 4, 7, 3), expected)


def test_codes_that_are_not_finite_are_reported():
    codes = np.ones((6, 2), dtype=np.float32)
    codes[3] = np.nan
    with pytest.raises(Diverged, match="NaN or infinite"):
        cluster(codes, 2, 0, 1)
