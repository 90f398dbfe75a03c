"""The command line as functions, and the examples of all public names."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch import nn

import reprbench
from reprbench import Diverged, Images, Learner, UserError, View, encode, load
from reprbench.features import extract
from reprbench.testing import check_learner

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8)
FLOATS = PIXELS.astype(np.float32) / np.float32(255)
VIEWS = [View(), View(layers="all", pooling="l2", grid=3)]


class Net(Learner):
    """Batch normalization and dropout: both show at once whether a network is in evaluation mode."""

    encode_batch_size = 4

    def build(self, shape):
        self.body = nn.Sequential(nn.Conv2d(shape[0], 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
        self._heads, self._sizes = [nn.Dropout(0.5)], []

    def fit(self, images, run): ...

    def encode(self, x):
        self._sizes.append(tuple(x.shape))
        assert not torch.is_grad_enabled()
        inner = self.body(x)
        return {"inner": inner, "code": self._heads[0](inner.mean((2, 3)))}


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    learner = Net()
    learner.build((1, 8, 8))
    learner.body.train()
    return learner


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_gives_the_matrix_that_the_harness_extracts(net, view):
    found = encode(net, Images(PIXELS), view)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.concatenate([m for (m,) in extract(net, Images(PIXELS), [view])]))


def test_without_a_view_all_feature_maps_are_given_as_they_are(net):
    found = encode(net, Images(PIXELS))
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        "inner": (np.float32, (10, 3, 6, 6)),
        "code": (np.float32, (10, 3)),
    }
    assert list(found) == ["inner", "code"]
    assert net._sizes == [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]
    net.body.eval(), net._heads[0].eval()
    with torch.no_grad():
        expected = net.encode(torch.from_numpy(FLOATS))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        PIXELS,
        torch.from_numpy(PIXELS),
        FLOATS,
        torch.from_numpy(FLOATS),
        FLOATS[::-1].copy()[::-1],
        np.asfortranarray(FLOATS),
    ],
    ids=["uint8 array", "uint8 tensor", "float array", "float tensor", "a view", "another order"],
)
@pytest.mark.parametrize("view", [None, *VIEWS])
def test_images_arrays_and_tensors_are_encoded_alike(net, images, view):
    found, expected = encode(net, images, view), encode(net, Images(PIXELS), view)
    if view is not None:
        found, expected = {"": found}, {"": expected}
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_modes_are_put_back_and_the_images_left_alone(net):
    images = torch.from_numpy(FLOATS.copy())
    net.encode = lambda x: {"code": x.mul_(0).flatten(1)}
    assert not encode(net, images)["code"].any()
    assert torch.equal(images, torch.from_numpy(FLOATS))
    assert net.body.training and net._heads[0].training


def test_the_numbers_of_a_reduced_precision_are_given_as_float32(net):
    net.encode = lambda x: {"code": x.flatten(1).bfloat16()}
    (found,) = encode(net, PIXELS).values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, FLOATS.reshape(10, -1), rtol=1e-2)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS.astype(np.int64), r"not int64 of shape \(10, 1, 8, 8\)"),
        (PIXELS[0], r"not uint8 of shape \(1, 8, 8\)"),
        (PIXELS.astype(np.float32), "float images must be in"),
        (FLOATS - 0.5, "float images must be in"),
        (np.full_like(FLOATS, np.nan), "float images must be in"),
        (PIXELS[:0], "no images"),
        (FLOATS[:0], "no images"),
    ],
)
def test_what_are_no_images_is_told(net, images, message):
    with pytest.raises(ValueError, match=message):
        encode(net, images)


@pytest.mark.parametrize("view", [None, View()])
def test_what_is_no_feature_is_told(net, view):
    net.encode = lambda x: {"code": x.flatten(1) / 0}
    with pytest.raises(Diverged, match="not finite"):
        encode(net, PIXELS, view)
    net.encode = lambda x: {"code": x[:1].flatten(1)}
    with pytest.raises(TypeError, match="layer 'code' must be a tensor"):
        encode(net, PIXELS, view)


def test_a_layer_that_is_not_there_is_told(net):
    with pytest.raises(UserError, match=r"no layer 'iner'\. Did you mean 'inner'"):
        encode(net, PIXELS, View(layers=("iner",)))


def test_images_travel_to_where_the_learner_is():
    class Elsewhere(Net):
        def encode(self, x):
            assert x.device.type == "meta"
            return {"code": torch.ones(len(x), 2)}

    learner = Elsewhere()
    with torch.device("meta"):
        learner.build((1, 8, 8))
    assert encode(learner, FLOATS)["code"].shape == (10, 2)


# -- examples ---------------------------------------------------------------------------------------------------------

DOCUMENTED = [
    *("Learner", "SupervisedLearner", "TorchLearner", "TorchSupervisedLearner", "Run", "train"),
    *("Reconstructs", "Decodes", "Resumes", "register", "encode", "check_learner"),
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_a_public_name_does_what_it_shows(name):
    named = check_learner if name == "check_learner" else getattr(reprbench, name)
    (example, *others) = doctest.DocTestFinder().find(named, name, globs={"__name__": "__main__"})
    assert example.examples
    for one in (example, *others):
        doctest.DebugRunner().run(one)


def test_a_store_is_loaded_from_its_folder(tmp_path):
    store = load(tmp_path)
    assert (store.root, store.read()) == (tmp_path, ([], []))
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "none")
