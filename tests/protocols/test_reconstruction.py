"""Reconstruction per layer: own before mirror, baselines in closed form, and no test image in any training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from common import noise
from reprbench.methods.controls import RawPixels
from reprbench.methods.deconvnet import DeconvNet
from sklearn.decomposition import PCA

from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.learner import Learner, make
from reprbench.probes import mirror_decoder
from reprbench.protocols import reconstruction
from reprbench.protocols.base import Subject
from reprbench.protocols.reconstruction import Reconstruction
from reprbench.state import learner_state

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 8, 8)
CHEAP = {"steps": 3, "batch_size": 8, "width": 4}


class Data:
    """Noise of 8×8."""

    name = "noise"
    classes = ("a", "b")

    def __init__(self, test: Images | None = None, count: int = 100) -> None:
        self.unlabeled = self.train = noise(count, 0)
        self.test = noise(10, 1) if test is None else test
        self.folds = (np.arange(5, 30),)


class TwoLayers(Learner):
    """Half of the pixels as a map, and three numbers, from which it reconstructs by itself."""

    def build(self, shape):
        self.norm = torch.nn.BatchNorm2d(1)

    def fit(self, images, run):
        """Learn nothing."""

    def encode(self, x):
        return {"map": self.norm(x)[:, :, ::2], "vector": x.flatten(1)[:, :3]}

    def reconstruct(self, x, layer=None):
        if layer != "vector":
            raise UserError("from the vector alone")
        return 1 - x


class Encoder(Learner):
    """No capability at all."""

    def fit(self, images, run):
        """Learn nothing."""

    def encode(self, x):
        return {"rows": x.mean(3)[:, 0]}


def subject(cls=TwoLayers, data: Data | None = None, supervised: bool = False) -> Subject:
    learner = cls() if isinstance(cls, type) else cls
    learner.build(SHAPE)
    return Subject(data or Data(), supervised, lambda rows: learner, lambda wanted: None)


def value(outcome, metric: str, layer: str, decoder: str) -> float:
    (found,) = [
        m.value
        for m in outcome.measurements
        if m.metric == metric and m.at["layer"] == layer and m.at.get("decoder") == decoder
    ]
    return found


def test_layers_have_their_own_reconstruction_where_there_is_one_and_a_mirror_elsewhere():
    outcome = Reconstruction(**CHEAP).evaluate(subject(), 0)
    kinds = {(m.at["layer"], m.at["decoder"], m.at["depth"]) for m in outcome.measurements if m.metric == "MSE"}
    assert kinds == {
        ("map", "mirror", 1),
        ("vector", "own", 2),
        *((name, kind, depth) for depth, name in enumerate(("map", "vector"), 1) for kind in ("PCA", "mean image")),
    }
    x = Data().test.batch(slice(None))
    assert value(outcome, "MSE", "vector", "own") == pytest.approx(float((1 - 2 * x).square().mean()), rel=1e-5)
    assert outcome.headlines[0].at == {"layer": "vector", "decoder": "own"}
    sizes = {m.at["layer"]: m.value for m in outcome.measurements if m.metric == "layer size"}
    assert sizes == {"map": 32, "vector": 3}
    assert {curve.at["decoder"] for curve in outcome.curves} == {"own", "mirror", "PCA", "mean image"}


def test_a_learner_without_a_reconstruction_has_mirrors_alone():
    outcome = Reconstruction(**CHEAP).evaluate(subject(Encoder), 0)
    assert outcome.headlines[0].at == {"layer": "rows", "decoder": "mirror"}
    assert Reconstruction(mirror=False).evaluate(subject(Encoder), 0).missing


def test_the_baseline_of_components_is_the_projection_of_scikit_learn():
    data = Data()
    outcome = Reconstruction(mirror=False).evaluate(subject(data=data), 0)
    train, test = (images.batch(slice(None)).flatten(1).double().numpy() for images in (data.unlabeled, data.test))
    for layer, dimension in (("map", 32), ("vector", 3)):
        pca = PCA(dimension, svd_solver="full").fit(train)
        expected = np.square(np.clip(pca.inverse_transform(pca.transform(test)), 0, 1) - test).mean()
        assert value(outcome, "MSE", layer, "PCA") == pytest.approx(expected, rel=1e-4)
        assert value(outcome, "PCA dimension", layer, "PCA") == dimension
    assert outcome.warnings == []


def test_components_are_no_more_than_images_and_pixels_give():
    # 20 images have 19 directions around their mean; 100 have all 64.
    few = Reconstruction(mirror=False).evaluate(subject(data=Data(count=20)), 0)
    assert value(few, "PCA dimension", "map", "PCA") == 19
    assert "at most 19 components: those of 20 images" in few.warnings[0]


def test_the_baseline_of_the_mean_image_is_in_closed_form():
    data = Data()
    outcome = Reconstruction(mirror=False).evaluate(subject(data=data), 0)
    train, test = (images.pixels(slice(None)).astype(np.float64) / 255 for images in (data.unlabeled, data.test))
    # E‖x − m‖² is the variance of the test images and the squared distance of the means.
    expected = (test.var(0) + np.square(test.mean(0) - train.mean(0))).mean()
    assert value(outcome, "MSE", "map", "mean image") == pytest.approx(expected, rel=1e-5)
    assert value(outcome, "PSNR", "vector", "mean image") == pytest.approx(-10 * np.log10(expected), rel=1e-4)


def test_no_test_image_reaches_a_decoder(monkeypatch):
    made = []
    train = mirror_decoder.train_decoders
    monkeypatch.setattr(mirror_decoder, "train_decoders", lambda *given: made.append(train(*given)) or made[-1])
    for test in (noise(10, 1), Images(np.full((10, *SHAPE), 255, np.uint8))):
        Reconstruction(**CHEAP).evaluate(subject(data=Data(test)), 0)
    one, other = (decoders["map"].state_dict() for decoders in made)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_decoders_of_a_supervised_learner_see_the_images_of_its_fold(monkeypatch):
    seen = []
    train = mirror_decoder.train_decoders

    def spy(learner, images, *others):
        seen.append(images.pixels(slice(None)))
        return train(learner, images, *others)

    monkeypatch.setattr(mirror_decoder, "train_decoders", spy)
    data = Data()
    Reconstruction(**CHEAP).evaluate(subject(data=data, supervised=True), 0)
    assert np.array_equal(seen[0], data.train.pixels(data.folds[0]))


def test_the_same_seed_gives_the_same_numbers_and_the_learner_stays_as_it_is():
    one = subject()
    learner = one.learner(None)
    before = {name: tensor.clone() for name, tensor in learner_state(learner).items()}
    first, second = (Reconstruction(**CHEAP).evaluate(one, 0).measurements for _ in range(2))
    assert first == second
    after = learner_state(learner)
    assert all(torch.equal(after[name], before[name]) for name in before)
    other = Reconstruction(**CHEAP).evaluate(one, 1).measurements
    changed = {m.at["decoder"] for m, n in zip(first, other, strict=True) if m != n}
    assert changed == {"mirror"}


def test_deconvnet_reconstructs_from_every_layer_by_itself():
    learner = make(DeconvNet, {"maps": (4, 6), "lambdas": (2.0, 1.0), "kernel": 3}, SHAPE)
    outcome = Reconstruction(**CHEAP).evaluate(subject(learner), 0)
    used = {(m.at["layer"], m.at["decoder"]) for m in outcome.measurements if m.metric == "MSE"}
    assert used >= {("layer1", "own"), ("layer2", "own")}
    assert "mirror" not in {decoder for _, decoder in used}
    x = Data().test.batch(slice(None))
    expected = float((learner.reconstruct(x, "layer1") - x).square().mean())
    # 400 features of layer 1, but no more than 64 components, with which nothing is lost: no reason to warn.
    assert value(outcome, "MSE", "layer1", "PCA") == 0
    assert outcome.warnings == []
    assert value(outcome, "MSE", "layer1", "own") == pytest.approx(expected, rel=1e-4)


def test_pixels_have_no_error_and_therefore_no_psnr():
    outcome = Reconstruction(**CHEAP).evaluate(subject(RawPixels), 0)
    assert value(outcome, "MSE", "pixels", "own") == 0
    assert not [m for m in outcome.measurements if m.metric == "PSNR" and m.at["decoder"] == "own"]
    assert value(outcome, "SSIM", "pixels", "own") == pytest.approx(1)


def test_chosen_layers_keep_their_depth_and_unknown_ones_are_the_users_mistake():
    outcome = Reconstruction(layers=("vector",), **CHEAP).evaluate(subject(), 0)
    assert {(m.at["layer"], m.at["depth"]) for m in outcome.measurements} == {("vector", 2)}
    with pytest.raises(UserError, match="no layer 'vektor'"):
        Reconstruction(layers=("vektor",)).evaluate(subject(), 0)


def test_twelve_of_many_layers_are_shown_with_the_first_and_the_last():
    layers = [reconstruction.Layer(str(depth), depth, 1) for depth in range(1, 31)]
    shown = reconstruction._thinned(layers)
    assert len(shown) == 12
    assert (shown[0].depth, shown[-1].depth) == (1, 30)
    assert reconstruction._thinned(layers[:5]) == layers[:5]
