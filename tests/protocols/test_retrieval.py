"""The protocol retrieval: mAP and recall of every fold, and what cannot be retrieved."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from made_protocols import make_protocols
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from reprbench.errors import UserError
from reprbench.protocols.base import Outcome, Subject
from reprbench.spec import parse_call

GENERATOR = np.random.default_rng(0)
LABELS = {"train": np.arange(80) % 4, "test": np.arange(60) % 4}
CENTERS = GENERATOR.normal(size=(4, 6))
FEATURES = {
    split: (CENTERS[labels] + 1.5 * GENERATOR.normal(size=(len(labels), 6))).astype(np.float32)
    for split, labels in LABELS.items()
}
FOLDS = (np.arange(40), np.arange(40, 80))


def evaluated(call: str, change=lambda x: x, test_labels=LABELS["test"]) -> Outcome:
    data = SimpleNamespace(
        classes=tuple("abcd"),
        train=range(80),
        test=range(60),
        train_labels=LABELS["train"],
        test_labels=test_labels,
        folds=FOLDS,
    )
    (protocol,) = make_protocols([parse_call(call)])
    features = lambda asked: change(FEATURES[asked.split])[asked.rows]  # noqa: E731
    return protocol.evaluate(Subject(data, False, lambda rows: None, features), 0)


def test_map_and_recall_of_each_fold_are_those_of_scikit_learn():
    outcome = evaluated("retrieval[k=[5,1]]")
    found = {(one.metric, one.at["fold"], one.at.get("k")): one.value for one in outcome.measurements}
    for number, fold in enumerate(FOLDS):
        similarity = cosine_similarity(FEATURES["test"], FEATURES["train"][fold])
        relevant = LABELS["train"][fold] == LABELS["test"][:, None]
        precisions = [average_precision_score(*one) for one in zip(relevant, similarity, strict=True)]
        assert found["mAP", number, None] == pytest.approx(100 * np.mean(precisions))
        for k in (1, 5):
            top = np.argsort(-similarity, axis=1)[:, :k]
            assert found["recall", number, k] == pytest.approx(100 * np.take_along_axis(relevant, top, 1).any(1).mean())
    assert len(found) == 6
    assert [(one.metric, one.at) for one in outcome.headlines] == [("mAP", {}), ("recall", {"k": 1})]
    assert outcome.warnings == []


def test_the_figure_shows_the_recall_of_every_rank():
    outcome = evaluated("retrieval[k=[1]]")
    (axes,) = outcome.figures["recall"].axes
    (drawn,) = axes.lines
    recalls = [one.value for one in outcome.measurements if one.metric == "recall"]
    assert drawn.get_ydata()[0] == pytest.approx(np.mean(recalls))
    assert len(drawn.get_xdata()) == 100 and drawn.get_ydata()[-1] == 100
    assert outcome.curves == []


@pytest.mark.parametrize("change", [lambda x: 1024 * x, lambda x: x / 2**20, lambda x: x[:, ::-1]])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scaling_or_permuting_all_features_changes_nothing(metric, change):
    call = f"retrieval[metric={metric}]"
    assert evaluated(call, change).measurements == evaluated(call).measurements


def test_images_of_other_classes_are_left_out():
    outcome = evaluated("retrieval", test_labels=np.where(LABELS["test"] == 3, 9, LABELS["test"]))
    assert outcome.warnings == ["up to 15 test images left out: their class is not in a fold"]
    none = evaluated("retrieval", test_labels=np.full(60, 9))
    assert none.missing == "retrieval: no test image has its class among the labeled images"


def test_more_images_than_there_are_cannot_be_retrieved():
    with pytest.raises(UserError, match="recall at 41 needs as many labeled images, not 40; lower k"):
        evaluated("retrieval[k=[41]]")
