"""Nearest neighbors against scikit-learn, against loops, and against what must change nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from reprbench.errors import Diverged, UserError
from reprbench.images import Images
from reprbench.probes import knn as neighbors
from reprbench.probes.knn import nearest, vote
from reprbench.protocols.base import Subject, make_protocols
from reprbench.spec import parse_call


def points(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32) + 3


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("block", [1, 500, 2**24])
def test_neighbors_are_those_of_scikit_learn(monkeypatch, metric, block):
    monkeypatch.setattr(neighbors, "BLOCK", block)
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


def test_features_that_are_not_finite_are_told():
    train = points(10)
    train[3, 1] = np.nan
    with pytest.raises(Diverged, match="NaN or infinite"):
        nearest(train, points(3), 1, "euclidean")


class Data:
    """Two folds of three examples; the test images are the examples of the first, moved a little."""

    train = test = Images(np.arange(6 * 64).reshape(6, 1, 8, 8).astype(np.uint8))
    train_labels = np.array([0, 1, 2, 2, 0, 1])
    test_labels = np.array([0, 1, 2, 0, 0, 0])
    classes = ("a", "b", "c")
    folds = (np.array([0, 1, 2]), np.array([3, 4, 5]))


FEATURES = np.array([[0, 0], [0, 9], [9, 0], [1, 1], [1, 10], [10, 1]], dtype=np.float32)


def subject(supervised: bool = False) -> tuple[Subject, list]:
    asked: list = []

    def features(wanted):
        trained = None if wanted.trained is None else wanted.trained.tolist()
        asked.append((trained, wanted.split, wanted.rows.tolist()))
        return FEATURES[wanted.rows] + (0.1 if wanted.split == "test" else 0)

    return Subject(Data(), supervised, lambda rows: None, features), asked


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("knn", [100 * 4 / 6, 100 * 1 / 6]),
        ("knn[folds=none]", [100 * 4 / 6]),
        # All classes have a vote each: the nearest wins.
        ("knn[k=3]", [100 * 4 / 6, 100 * 1 / 6]),
    ],
)
def test_the_accuracy_of_each_fold_is_that_of_a_vote(call, expected):
    (protocol,) = make_protocols([parse_call(call)])
    found = protocol.evaluate(subject()[0], 0).measurements
    assert [m.value for m in found if m.metric == "accuracy"] == pytest.approx(expected)
    assert [m.at for m in found if m.metric == "accuracy"] == [{"fold": n} for n in range(len(expected))]
    assert found[-1].metric == "feature dimension" and found[-1].value == 2


def test_the_figure_frames_the_nearest_images_of_the_first_fold_by_their_class():
    (protocol,) = make_protocols([parse_call("knn")])
    figure = protocol.evaluate(subject()[0], 0).figures["neighbors"]
    # The first test image of each of three classes, and the fold's three images.
    panels = np.array(figure.axes).reshape(3, 4)
    assert [row[0].get_ylabel() for row in panels] == ["a", "b", "c"]
    nearest_rows = [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    for row, expected in zip(panels, nearest_rows, strict=True):
        shown = [np.rint(255 * panel.get_images()[0].get_array()) for panel in row]
        assert np.array_equal(shown[0], shown[1])  # train and test hold the same images
        for image, place in zip(shown[1:], expected, strict=True):
            assert np.array_equal(image, Data.train.pixels(slice(None))[place, 0])
        colors = [panel.spines["top"].get_edgecolor() for panel in row[1:]]
        assert colors[0] != colors[1] == colors[2]
        assert [panel.spines["top"].get_visible() for panel in row] == [False, True, True, True]


def test_a_supervised_learner_is_asked_for_each_fold_anew():
    (protocol,) = make_protocols([parse_call("knn")])
    one, asked = subject(supervised=True)
    protocol.evaluate(one, 0)
    assert [trained for trained, _, _ in asked] == [[0, 1, 2]] * 2 + [[3, 4, 5]] * 2


def test_more_neighbors_than_examples_are_the_users_mistake():
    (protocol,) = make_protocols([parse_call("knn[k=4]")])
    with pytest.raises(UserError, match="4 neighbors need as many labeled images, not 3; set k lower"):
        protocol.evaluate(subject()[0], 0)


def test_a_single_fold_in_any_order_keeps_features_and_labels_together(monkeypatch):
    monkeypatch.setattr(Data, "folds", (np.array([2, 0, 1]),))
    (protocol,) = make_protocols([parse_call("knn")])
    (fold,) = protocol.each_fold(subject()[0])
    assert fold.labels.tolist() == [2, 0, 1]
    assert np.array_equal(fold.train, FEATURES[[2, 0, 1]])
