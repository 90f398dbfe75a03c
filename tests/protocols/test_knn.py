"""The vote of nearest neighbors in every fold, and the figure of the first."""

from __future__ import annotations

import numpy as np
import pytest
from made_protocols import make_protocols

from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.protocols.base import Subject
from reprbench.protocols.knn import KNN
from reprbench.registry import discover
from reprbench.runner.describe import Question, answer
from reprbench.spec import parse_call


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


def test_a_supervised_learner_is_requested_once_per_fold():
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


def test_weighted_votes_are_of_cosines_and_scale_and_order_of_features_do_not_matter():
    plain, weighted = make_protocols([parse_call("knn[k=3]"), parse_call("knn[k=3,weighted=true]")])
    assert (plain.metric, weighted.metric) == ("euclidean", "cosine")
    generator = np.random.default_rng(0)
    found = {}
    matrix = generator.normal(size=(6, 5)).astype(np.float32)
    for name, change in {"same": lambda x: x, "scaled": lambda x: 1024 * x, "permuted": lambda x: x[:, ::-1]}.items():
        features = lambda wanted, change=change: change(matrix)[wanted.rows]  # noqa: E731
        outcome = weighted.evaluate(Subject(Data(), False, lambda rows: None, features), 0)
        found[name] = [one.value for one in outcome.measurements]
    assert found["same"] == found["scaled"] == found["permuted"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("knn[weighted=true,metric=euclidean]", "weighted by cosines; leave metric out or set metric=cosine"),
        ("knn[temperature=0.1]", "temperature is that of weighted votes; set weighted=true or leave it out"),
        ("knn[weighted=true,temperature=0]", "temperature: .*greater than 0"),
    ],
)
def test_weights_that_do_not_fit_together_are_the_users_mistake(call, message):
    with pytest.raises(UserError, match=message):
        make_protocols([parse_call(call)])


def test_evaluations_from_before_there_were_weights_keep_their_identity():
    registry = discover(folder=None)
    identifying = {}
    for call in ("knn", "knn[weighted=false,temperature=0.07]", "knn[weighted=true]"):
        asked = parse_call(call)
        found = answer(Question(registry.find("protocol", "knn"), asked.parameters))
        assert not found.mistakes
        identifying[call] = found.identifying
    before = {"layers": "last", "pooling": "max", "grid": 2, "folds": "dataset", "k": 1, "metric": "euclidean"}
    assert identifying["knn"] == identifying["knn[weighted=false,temperature=0.07]"] == before
    assert identifying["knn[weighted=true]"] == {**before, "metric": "cosine", "weighted": True, "temperature": 0.07}
    assert KNN.version == 1


def test_weights_survive_the_way_to_the_process_of_a_trial():
    for protocol in make_protocols([parse_call("knn[k=5]"), parse_call("knn[k=5,weighted=true,temperature=0.2]")]):
        assert KNN.model_validate(protocol.model_dump(mode="json")) == protocol
