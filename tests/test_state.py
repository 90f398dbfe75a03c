from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reprbench.arrays import flatten, pack, unflatten, unpack
from reprbench.learner import Learner
from reprbench.state import device_of, encode_flops, learner_state, load_learner_state, parameter_count


class Mixed(Learner):
    size: int = 3

    def build(self, shape):
        self.net = nn.Sequential(nn.Linear(shape[0], self.size), nn.BatchNorm1d(self.size))

    def fit(self, images, run):
        self.mean = torch.arange(4.0)
        self.table = np.arange(6, dtype=np.float32).reshape(2, 3)
        self._scratch = object()

    def encode(self, x):
        return {"code": self.net(x)}


def fitted() -> Mixed:
    learner = Mixed(size=5)
    learner.build((2, 8, 8))
    learner.fit(None, None)
    return learner


def test_a_state_survives_the_file_bit_for_bit():
    learner = fitted()
    state, note = unpack(pack(learner_state(learner), {"a": [1, None]}))
    assert note == {"a": [1, None]}
    fresh = Mixed(size=5)
    fresh.build((2, 8, 8))
    load_learner_state(fresh, state)
    one, two = learner_state(learner), learner_state(fresh)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_cannot_be_saved_is_reported_with_the_remedy():
    learner = fitted()
    learner.names = ["a"]
    with pytest.raises(TypeError, match=r"Mixed.names is a list.*_names"):
        learner_state(learner)


def test_a_network_that_build_does_not_make_is_reported():
    learner = fitted()
    state = {**learner_state(learner), "other.weight": torch.ones(1)}
    with pytest.raises(TypeError, match="no network 'other'"):
        load_learner_state(learner, state)


def test_parameters_count_what_is_learned():
    # Linear 2·5 + 5, batch normalization 5 + 5, a mean of 4, a table of 6; running statistics are not parameters.
    assert parameter_count(fitted()) == 15 + 10 + 4 + 6


def test_flops_are_two_for_each_multiply_accumulate():
    learner = fitted()
    assert encode_flops(learner, torch.ones(1, 2)) == 2 * 2 * 5
    assert learner.net.training


def test_nested_training_state_comes_back():
    state = {"a": [torch.ones(2), {"b": 1, 3: "x"}], "c": None, "d": torch.zeros(0, dtype=torch.int64)}
    tensors, skeleton = flatten(state)
    back = unflatten(tensors, skeleton)
    assert back["a"][1] == {"b": 1, 3: "x"}
    assert torch.equal(back["a"][0], torch.ones(2))
    assert back["d"].dtype == torch.int64


def test_a_learner_is_where_its_first_weight_or_tensor_is():
    learner = fitted()
    assert device_of(learner).type == "cpu"
    learner.net.to("meta")
    assert device_of(learner).type == "meta"
    learner.net = None
    learner.mean = learner.mean.to("meta")
    assert device_of(learner).type == "meta"
    assert device_of(Mixed()).type == "cpu"
