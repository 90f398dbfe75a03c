"""Interpolation: a learner whose code is the image blends pixels; distances are those of SciPy; pairs as documented."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from common import noise
from pydantic import ValidationError
from reprbench.methods.controls import RawPixels
from scipy.spatial.distance import cdist

from reprbench.errors import UserError
from reprbench.learner import Learner
from reprbench.protocols import interpolation
from reprbench.protocols.base import Subject
from reprbench.protocols.interpolation import Interpolation, paths, straight

SHAPE = (1, 8, 8)


class Data:
    name = "noise"
    unlabeled = noise(50, 0)
    test = noise(12, 1)
    test_labels = np.array([2, 0, 1, 1, 0, 2, 0, 1, 2, 0, 0, 2])


class Shortened(Learner):
    """The image from its code, and how bright that is by the square: even steps in h are uneven ones in x."""

    def fit(self, images, run):
        """Learn nothing."""

    def encode(self, x):
        return {"root": x.flatten(1).sqrt()}

    def decode(self, h):
        return h.square().unflatten(1, SHAPE)


class Collapsed(Shortened):
    """Decodes everything to one image."""

    def decode(self, h):
        return torch.full((len(h), *SHAPE), 0.5)


def evaluated(cls, seed: int = 0, **parameters):
    learner = cls()
    learner.build(SHAPE)
    subject = Subject(Data(), False, lambda rows: learner, lambda wanted: None)
    return Interpolation(**{"pairs": 1, **parameters}).evaluate(subject, seed)


def value(outcome, metric: str, **at) -> float:
    (found,) = [m.value for m in outcome.measurements if m.metric == metric and m.at == at]
    return found


def test_a_learner_whose_code_is_the_image_blends_pixels():
    learner = RawPixels()
    learner.build(SHAPE)
    a, b = (Data.test.batch(slice(start, start + 5)) for start in (0, 5))
    found = paths(learner, a, b, 7)
    assert torch.equal(found["code"], found["pixel blend"])
    assert torch.equal(found["code"], found["blend of reconstructions"])
    outcome = evaluated(RawPixels, steps=7, measured_pairs=5)
    assert value(outcome, "endpoint error", model="code") == 0
    assert value(outcome, "unevenness of steps", model="code") == pytest.approx(0, abs=1e-6)
    assert value(outcome, "step excess", model="code") == pytest.approx(1, abs=1e-6)
    assert outcome.warnings == []


def test_a_path_runs_from_end_to_end_by_equal_steps():
    points = straight(torch.zeros(2, 3), torch.tensor([[1.0, 2, 4], [0, 0, -8]]), 5)
    assert points[0, :, 2].tolist() == [0, 1, 2, 3, 4]
    assert points[1, :, 2].tolist() == [0, -2, -4, -6, -8]


def test_steps_are_measured_as_their_definitions_say():
    protocol = Interpolation(measured_pairs=9, steps=5)
    outcome = evaluated(Shortened, measured_pairs=9, steps=5)
    x = Data.test.batch(slice(None)).flatten(1).double().numpy()
    unevenness, excess = [], []
    for first, last in protocol.chosen_pairs(Data(), 0):
        path = [((1 - t) * np.sqrt(x[first]) + t * np.sqrt(x[last])) ** 2 for t in (0, 0.25, 0.5, 0.75, 1)]
        lengths = [np.linalg.norm(later - sooner) for sooner, later in pairwise(path)]
        unevenness.append(np.std(lengths) / np.mean(lengths))
        excess.append(sum(lengths) / np.linalg.norm(path[-1] - path[0]))
    assert np.mean(excess) > 1.01
    assert value(outcome, "unevenness of steps", model="code") == pytest.approx(np.mean(unevenness), rel=1e-4)
    assert value(outcome, "step excess", model="code") == pytest.approx(np.mean(excess), rel=1e-4)
    assert value(outcome, "step excess", model="blend of reconstructions") == pytest.approx(1, abs=1e-5)


def test_the_headline_is_what_the_code_gains_over_blending_its_own_reconstructions():
    outcome = evaluated(Collapsed, steps=5, measured_pairs=4)
    code, blend = (
        value(outcome, "distance to nearest real image", model=model) for model in ("code", "blend of reconstructions")
    )
    assert outcome.headlines == []
    (headline,) = [m for m in outcome.measurements if m.metric == Interpolation.headlines[0]]
    assert headline.value == code - blend == 0, "one image for everything gains nothing"
    assert headline.better == "lower"
    curved = evaluated(Shortened, steps=5, measured_pairs=4)
    code, blend = (
        value(curved, "distance to nearest real image", model=model) for model in ("code", "blend of reconstructions")
    )
    (headline,) = [m for m in curved.measurements if m.metric == Interpolation.headlines[0]]
    assert headline.value == pytest.approx(code - blend)
    assert headline.value != 0


def test_the_distance_is_the_mean_over_the_inner_positions_and_pairs():
    outcome = evaluated(RawPixels, steps=5, measured_pairs=4)
    pairs = Interpolation(measured_pairs=4).chosen_pairs(Data(), 0)
    x, real = (images.batch(slice(None)).flatten(1).double().numpy() for images in (Data.test, Data.unlabeled))
    expected = [
        cdist((1 - t) * x[pairs[:, 0]] + t * x[pairs[:, 1]], real).min(1).mean() / 8 for t in (0, 0.25, 0.5, 0.75, 1)
    ]
    by_position = [
        value(outcome, "distance to nearest real image by position", model="code", position=t)
        for t in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert by_position == pytest.approx(expected, rel=1e-5)
    assert value(outcome, "distance to nearest real image", model="code") == pytest.approx(
        np.mean(expected[1:-1]), rel=1e-5
    )
    assert [curve.at for curve in outcome.curves] == [
        {"model": model} for model in ("code", "pixel blend", "blend of reconstructions")
    ]


def test_pairs_are_of_different_classes_and_the_seeds():
    protocol = Interpolation(measured_pairs=40)
    pairs = protocol.chosen_pairs(Data(), 3)
    assert pairs.shape == (40, 2)
    assert (Data.test_labels[pairs[:, 0]] != Data.test_labels[pairs[:, 1]]).all()
    assert np.array_equal(pairs, protocol.chosen_pairs(Data(), 3))
    assert not np.array_equal(pairs, protocol.chosen_pairs(Data(), 4))


def test_requested_classes_give_their_first_test_images():
    assert Interpolation(classes=((1, 0), (0, 2))).chosen_pairs(Data(), 9).tolist() == [[2, 1], [1, 0]]


def test_pairs_are_measured_in_parts_as_at_once(monkeypatch):
    whole = evaluated(Shortened, measured_pairs=7)
    monkeypatch.setattr(interpolation, "PAIRS_AT_ONCE", 3)
    parts = evaluated(Shortened, measured_pairs=7)
    assert [m.value for m in parts.measurements] == pytest.approx([m.value for m in whole.measurements], rel=1e-5)


def test_a_decoder_that_knows_one_image_is_reported_and_has_no_steps():
    outcome = evaluated(Collapsed, measured_pairs=5)
    assert "the ends of 5 of 5 paths are decoded to the same image" in outcome.warnings[0]
    assert not [m for m in outcome.measurements if m.metric == "step excess" and m.at["model"] != "pixel blend"]


def test_a_class_without_test_images_is_the_users_mistake():
    with pytest.raises(UserError, match="no test image is of class 7; expected one of 0, 1, 2"):
        Interpolation(classes=((0, 7),)).chosen_pairs(Data(), 0)


@pytest.mark.parametrize("wrong", [{"classes": ((1, 1),)}, {"steps": 2}, {"pairs": 0}, {"classes": ((0, -1),)}])
def test_parameters_that_make_no_path_are_refused(wrong):
    with pytest.raises(ValidationError):
        Interpolation(**wrong)
