"""Rankings of a gallery against scikit-learn and a plain implementation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from reprbench.errors import Diverged
from reprbench.probes import knn, ranking
from reprbench.probes.ranking import rank

GENERATOR = np.random.default_rng(0)
LABELS, CLASSES = GENERATOR.integers(0, 4, 50), GENERATOR.integers(0, 4, 30)
CENTERS = GENERATOR.normal(size=(4, 6))
GALLERY = (CENTERS[LABELS] + 2 * GENERATOR.normal(size=(50, 6)) + 1).astype(np.float32)
QUERIES = (CENTERS[CLASSES] + 2 * GENERATOR.normal(size=(30, 6)) + 1).astype(np.float32)
SIMILARITY = {"cosine": cosine_similarity, "euclidean": lambda a, b: -euclidean_distances(a, b)}


def plain(similarity: np.ndarray, relevant: np.ndarray) -> tuple[float, int]:
    """Return the average precision and the number of images before the first, by loops, if nothing is tied."""
    hits, precisions, first = 0, [], len(relevant)
    for place, image in enumerate(np.argsort(-similarity, kind="stable")):
        if relevant[image]:
            hits += 1
            precisions.append(hits / (place + 1))
            first = min(first, place)
    return float(np.mean(precisions)), first


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("block", "ranked"), [(2**24, 2**22), (170, 60), (1, 1)])
def test_rankings_are_those_of_scikit_learn_and_of_loops(monkeypatch, metric, block, ranked):
    monkeypatch.setattr(knn, "BLOCK", block)
    monkeypatch.setattr(ranking, "RANKED", ranked)
    found = rank(GALLERY, LABELS, QUERIES, CLASSES, metric)
    similarities = SIMILARITY[metric](QUERIES.astype(np.float64), GALLERY.astype(np.float64))
    for query, similarity in enumerate(similarities):
        relevant = CLASSES[query] == LABELS
        precision, first = plain(similarity, relevant)
        assert found.precision[query] == pytest.approx(precision, rel=1e-12)
        assert found.precision[query] == pytest.approx(average_precision_score(relevant, similarity), rel=1e-12)
        assert found.first[query] == first
    assert found.recall(3) == np.mean(found.first < 3)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equally_similar_images_count_as_ranked_together(metric):
    # Three places, with many images at each: the order of the gallery tells nothing.
    places = np.array([[1, 0], [1, 1], [-1, 2]], dtype=np.float32)
    at = GENERATOR.integers(0, 3, 50)
    found = rank(places[at], LABELS, places, np.array([0, 1, 2]), metric)
    for query, expected in enumerate(found.precision):
        # Rounded, so that what is equal in exact arithmetic is.
        similarity = SIMILARITY[metric](places[query : query + 1], places)[0].round(6)[at]
        assert expected == pytest.approx(average_precision_score(query == LABELS, similarity), rel=1e-12)


def test_codes_that_are_all_the_same_have_the_precision_of_chance():
    found = rank(np.ones((50, 6), np.float32), LABELS, QUERIES, CLASSES, "euclidean")
    shares = np.bincount(LABELS, minlength=4) / 50
    assert found.precision == pytest.approx(shares[CLASSES])


def test_a_class_that_is_not_in_the_gallery_has_no_precision_and_does_not_count():
    found = rank(GALLERY, LABELS, QUERIES[:3], np.array([CLASSES[0], 9, 9]), "cosine")
    assert np.isfinite(found.precision).tolist() == [True, False, False]
    assert found.first[1:].tolist() == [50, 50]
    assert found.recall(50) == 1


@pytest.mark.parametrize("change", [lambda x: 1024 * x, lambda x: x / 2**20, lambda x: x[:, ::-1]])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scaled_or_permuted_features_give_the_same_rankings(metric, change):
    one, other = (rank(f(GALLERY), LABELS, f(QUERIES), CLASSES, metric) for f in (change, lambda x: x))
    assert np.array_equal(one.precision, other.precision) and np.array_equal(one.first, other.first)


def test_features_that_are_not_finite_are_reported():
    queries = QUERIES.copy()
    queries[3, 1] = np.inf
    with pytest.raises(Diverged, match="NaN or infinite"):
        rank(GALLERY, LABELS, queries, CLASSES, "euclidean")
