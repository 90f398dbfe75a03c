from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made_protocols import make_protocols
from pydantic import ValidationError

from reprbench.capabilities import Reconstructs
from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.protocols.base import Subject
from reprbench.protocols.optimal_classifier import OptimalClassifier
from reprbench.spec import parse_call


class Shifting:
    """Encodes an image as its pixels; reconstructs it brighter by a constant."""

    encode_batch_size = 64

    def __init__(self, shift):
        self.shift = shift

    def encode(self, x):
        return {"early": 1000 * torch.rand(len(x), 2), "code": x}

    def reconstruct(self, x, layer=None):
        return x + self.shift


class Data:
    def __init__(self, count=1000, name="toy"):
        self.name = name
        self.test = Images(np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8))
        self.folds = (np.array([3, 4]), np.array([1, 2]))


def evaluated(shift=0.2, data=None, supervised=False, seed=0, call="optimal-classifier"):
    (protocol,) = make_protocols([parse_call(call)])
    asked = []

    def learner(trained):
        asked.append(trained)
        return Shifting(shift)

    outcome = protocol.evaluate(Subject(data or Data(), supervised, learner, lambda wanted: None), seed)
    return outcome, {m.metric: m.value for m in outcome.measurements}, asked


def test_reconstructions_that_equal_originals_are_at_chance():
    outcome, found, _ = evaluated(0)
    assert found["accuracy"] == 50
    assert found["log loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert found["lower bound of 2·JSD − log 4"] == pytest.approx(-math.log(4), abs=1e-4)
    assert found["lower bound of JSD"] == pytest.approx(0, abs=1e-4)
    assert not outcome.warnings


def test_reconstructions_that_lie_elsewhere_are_separated():
    outcome, found, _ = evaluated(5)
    assert found["accuracy"] == 100
    assert found["lower bound of 2·JSD − log 4"] == pytest.approx(0, abs=0.01)
    assert found["lower bound of JSD"] == pytest.approx(math.log(2), abs=0.01)
    assert found["best epoch"] <= found["epochs"]
    assert not outcome.warnings
    upper, lower = outcome.figures["reliability"].axes
    (points,) = [one for one in upper.lines if one.get_marker() == "o"]
    assert points.get_ydata().tolist() == [0, 1]
    assert lower.get_ylabel() == "share of codes (%)"
    assert {m.better for m in outcome.measurements} == {"neither"}


def test_reaching_the_limit_on_epochs_is_reported():
    outcome, found, _ = evaluated(call="optimal-classifier[epochs=1]")
    assert found["epochs"] == 1
    assert "had not converged after 1 epochs" in outcome.warnings[0]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    call = "optimal-classifier[epochs=3]"
    one, same, other = (evaluated(seed=seed, call=call)[1] for seed in (0, 0, 1))
    assert one == same != other


def test_the_images_are_the_same_for_everyone_and_others_for_another_dataset():
    protocol = OptimalClassifier(images=50)
    one, same, other = (protocol.rows(Data(name=name)) for name in ("toy", "toy", "digits"))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(np.unique(one)) == 50


def test_all_test_images_are_used_where_there_are_no_more_than_allowed():
    assert OptimalClassifier().rows(Data(30)).tolist() == list(range(30))


@pytest.mark.parametrize(("supervised", "expected"), [(False, [None]), (True, [[3, 4]])])
def test_a_single_fit_is_requested(supervised, expected):
    _, _, asked = evaluated(supervised=supervised, data=Data(40), call="optimal-classifier[epochs=1]")
    assert [None if trained is None else trained.tolist() for trained in asked] == expected


def test_too_few_images_are_the_users_mistake():
    evaluated(data=Data(20), call="optimal-classifier[epochs=1]")
    with pytest.raises(UserError, match="19 test images cannot be divided .* expected at least 20"):
        evaluated(data=Data(19))


@pytest.mark.parametrize("wrong", [{"images": 19}, {"width": 0}, {"patience": 0}, {"learning_rate": 0.0}])
def test_parameters_have_bounds(wrong):
    with pytest.raises(ValidationError):
        OptimalClassifier(**wrong)


def test_it_needs_a_learner_that_reconstructs():
    assert OptimalClassifier.needs == (Reconstructs,)
