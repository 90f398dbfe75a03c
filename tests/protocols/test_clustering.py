"""The protocol clustering: what is clustered, what changes nothing, and what cannot be clustered."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from made_protocols import make_protocols

from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.clustering import Clustering, confusion_figure
from reprbench.spec import parse_call

LABELS = np.arange(90) % 3
CODES = (
    3 * np.random.default_rng(0).normal(size=(3, 8))[LABELS] + np.random.default_rng(1).normal(size=(90, 8))
).astype(np.float32)


def evaluated(call: str = "clustering[runs=3,n_init=2]", codes: np.ndarray = CODES, seed: int = 0) -> Outcome:
    data = SimpleNamespace(
        name="toy", classes=("a", "b", "c"), test=range(len(codes)), test_labels=LABELS[: len(codes)], folds=(None,)
    )
    (protocol,) = make_protocols([parse_call(call)])
    return protocol.evaluate(Subject(data, False, lambda rows: None, lambda asked: codes[asked.rows]), seed)


def test_clear_classes_are_found_in_every_run():
    outcome = evaluated()
    assert {(one.metric, one.at["run"]): one.value for one in outcome.measurements} == {
        (metric, run): pytest.approx(value)
        for run in range(3)
        for metric, value in (("accuracy", 100), ("NMI", 1), ("ARI", 1))
    }
    assert list(outcome.figures) == ["confusion"]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("change", [lambda x: 1024 * x, lambda x: x / 2**20, lambda x: x[:, ::-1]])
def test_scaling_or_permuting_all_features_changes_nothing(metric, change):
    codes = np.random.default_rng(2).normal(size=(90, 8)).astype(np.float32)
    call = f"clustering[runs=3,n_init=2,metric={metric}]"
    assert evaluated(call, change(codes)).measurements == evaluated(call, codes).measurements


def test_runs_follow_the_seed():
    codes = np.random.default_rng(2).normal(size=(90, 8)).astype(np.float32)
    values = [[one.value for one in evaluated(codes=codes, seed=seed).measurements] for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_the_length_of_codes_does_not_matter_to_the_cosine():
    lengths = np.random.default_rng(3).uniform(0.1, 10, size=(90, 1)).astype(np.float32)
    call = "clustering[runs=1,metric=cosine]"
    assert evaluated(call, CODES * lengths).measurements == evaluated(call).measurements


def test_a_learner_without_codes_gets_an_empty_row():
    assert evaluated(codes=np.ones((90, 8), np.float32)).missing == "clustering: all images have the same code"
    assert evaluated(codes=CODES[:2]).missing == "clustering needs a test image for each of 3 classes"


def test_fewer_distinct_codes_than_classes_are_measured(recwarn):
    outcome = evaluated(codes=np.eye(2, dtype=np.float32)[np.arange(90) % 2])
    assert outcome.measurements and not recwarn.list


def test_the_test_split_is_read_from_the_first_fit():
    data = SimpleNamespace(test=range(4), folds=(np.array([2]), np.array([3])))
    (named,) = Clustering().reads(data, True)
    assert (named.split, named.rows.tolist(), named.trained.tolist()) == ("test", [0, 1, 2, 3], [2])


@pytest.mark.parametrize("count", [3, 15, 30])
def test_the_figure_shows_shares_and_names_what_has_room(count):
    confusion = np.arange(count * count).reshape(count, count)
    axes, _ = confusion_figure(confusion, tuple(f"class {n}" for n in range(count))).axes
    (image,) = axes.get_images()
    assert np.asarray(image.get_array()).sum(1) == pytest.approx(100)
    assert ([label.get_text() for label in axes.get_yticklabels()][:1] == ["class 0"]) == (count <= 20)
    assert len(axes.texts) == (count * count if count <= 12 else 0)
