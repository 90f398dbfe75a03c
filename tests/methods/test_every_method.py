"""What every built-in method promises."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from common import NEED_FILES
from fits import AUTOENCODERS, CONTROLS, HAND_MADE, METHODS, TRAINED, TWO_VIEW, blobs, encoded, fit, fitted, small
from reprbench.methods.autoencoders import AE
from reprbench.methods.controls import Untrained
from reprbench.methods.deconvnet import DeconvNet
from reprbench.methods.mae import MAE
from reprbench.methods.networks import Encoder
from reprbench.methods.rotation import Rotation
from reprbench.methods.stacked_dae import StackedDAE
from reprbench.methods.supervised import Supervised
from reprbench.methods.vae import VAE

from reprbench import UserError
from reprbench.learner import make
from reprbench.registry import discover
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state, load_learner_state
from reprbench.testing import check_learner

SHAPES = [(1, 8, 8), (3, 9, 11), (1, 28, 28), (3, 32, 32), (3, 96, 96)]
REFUSED = {(Rotation, (3, 9, 11)): "square", (MAE, (3, 9, 11)): "patch_size"}
"""Images that a method cannot take, and a word of what it says."""
each_method = pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.method_name)
each_trained = pytest.mark.parametrize("cls", TRAINED, ids=lambda cls: cls.method_name)


@each_method
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_it_fits_and_encodes_images_of_any_size(cls, shape):
    images = blobs(9, shape)
    if word := REFUSED.get((cls, shape)):
        with pytest.raises(UserError, match=word):
            fresh(cls, images)
        return
    learner, run = fitted(cls, images, **({"batch_size": 3} if cls in TRAINED else {}))
    assert all(math.isfinite(value) for row in run.history for value in row.values())
    layers = encoded(learner, images.batch(slice(0, 5)))
    assert all(len(layer) == 5 and layer.dim() in {2, 4} and layer.isfinite().all() for layer in layers.values())
    assert layers[list(layers)[-1]].std() > 0


@pytest.mark.parametrize("cls", [c for c in TRAINED if c is not DeconvNet], ids=lambda cls: cls.method_name)
def test_every_weight_gets_a_gradient_and_moves(cls):
    images = blobs(32)
    before = {name: tensor.clone() for name, tensor in learner_state(fresh(cls, images)).items()}
    learner, _ = fitted(cls, images, epochs=2)
    networks = [value for value in vars(learner).values() if isinstance(value, torch.nn.Module)]
    # A teacher's weights have none; that they move is tested with it.
    weights = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    if cls is StackedDAE:
        # The layers below, whose turn is over, have none.
        weights = list(learner.layers[-1].parameters())
    assert all(weight.grad.any() for weight in weights)
    after = learner_state(learner)
    assert all(not torch.equal(before[name], after[name]) for name in before if not name.endswith("tracked"))


@each_method
def test_equal_seeds_give_equal_bits_and_others_do_not(cls):
    images = blobs()
    one, again, other = (fitted(cls, images, seed=seed, epochs=2)[0] for seed in (1, 1, 2))
    x = images.batch(slice(0, 4))
    assert same(encoded(one, x), encoded(again, x))
    # The seed only shuffles what these see.
    if cls.method_name not in {"raw-pixels", "pca", "sklearn", "hog", "color-histogram"}:
        assert not same(encoded(one, x), encoded(other, x))


@each_method
def test_a_fresh_learner_with_its_state_encodes_the_same(cls):
    images = blobs()
    x = images.batch(slice(0, 4))
    learner, _ = fitted(cls, images)
    one, other = (reloaded(learner, images, seed) for seed in (8, 9))
    assert same(encoded(one, x), encoded(other, x))
    # Training laid the weights out channels last, and that rounds differently.
    before, after = encoded(learner, x), encoded(one, x)
    for name in before:
        assert_near(after[name], before[name])


@each_method
def test_an_image_is_encoded_alike_in_any_batch(cls):
    images = blobs()
    learner, _ = fitted(cls, images)
    x = images.batch(slice(0, 6))
    alone, together = encoded(learner, x[2:3]), encoded(learner, x)
    for name in alone:
        assert_near(alone[name], together[name][2:3])


def test_every_installed_method_is_among_these():
    installed = {name for name, entry in discover(folder=Path("none")).methods.items() if entry.way == "entry point"}
    assert installed - NEED_FILES == {cls.method_name for cls in METHODS}


@each_method
def test_it_conforms(cls):
    # 48 images in batches of 20: the last one of an epoch is smaller.
    findings = check_learner(cls, small(cls, **({"batch_size": 20} if cls in TRAINED else {})))
    assert [(found.check, found.shape, found.problem) for found in findings if found.problem] == []


@each_trained
def test_an_interrupted_fit_goes_on_bit_for_bit(cls, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, run = fitted(cls, images, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        interrupted = fresh(cls, images)
        step, steps = interrupted.step, iter(range(99))
        interrupted.step = lambda *batch: interrupt() if next(steps) == 5 else step(*batch)
        fit(interrupted, images, Run(0, Budget(epochs=3), folder=tmp_path))
    resumed, second_run = fitted(cls, images, epochs=3, folder=tmp_path)
    assert same(learner_state(undisturbed), learner_state(resumed))
    assert run.work.state() == second_run.work.state()
    assert [timeless(row) for row in run.history] == [timeless(row) for row in second_run.history]


def test_one_seed_starts_all_encoders_alike():
    images = blobs()
    encoders = {
        cls: {name: tensor for name, tensor in learner_state(fresh(cls, images)).items() if name.startswith("encoder.")}
        for cls in METHODS
        if isinstance(getattr(fresh(cls, images), "encoder", None), Encoder)
    }
    assert encoders.keys() == {*AUTOENCODERS, *TWO_VIEW, VAE, Rotation, Supervised, Untrained}
    assert all(same(encoders[AE], encoder) for encoder in encoders.values())


def test_the_controls_and_the_supervised_row_are_marked():
    assert {cls for cls in METHODS if cls.kind == "control"} == set(CONTROLS)
    assert {cls.method_name for cls in METHODS if cls.kind == "supervised"} == {"supervised"}
    assert {cls for cls in METHODS if cls.kind == "pretrained"} == set(HAND_MADE)
    assert {cls.kind for cls in METHODS} == {"unsupervised", "supervised", "control", "pretrained"}


@each_method
def test_it_has_a_version_of_its_own(cls):
    assert vars(cls)["version"] >= 1


@each_method
def test_it_encodes_in_python_after_a_fit_as_in_evaluation_mode(cls):
    images = blobs()
    learner, _ = fitted(cls, images)
    x = images.batch(slice(0, 4))
    with torch.no_grad():
        found = dict(learner.encode(x))
    assert same(found, encoded(learner, x))


@each_trained
def test_its_steps_and_their_operations_are_counted(cls):
    _, run = fitted(cls, blobs(24), epochs=2)
    # Two epochs of three batches; the supervised one tries three learning rates for a quarter of that.
    assert run.work.steps == 6 + 3 * (cls.method_name == "supervised")
    assert run.work.flops > 0


@each_trained
def test_it_learns_in_bfloat16_on_request(cls):
    images = blobs(32)
    learner = fresh(cls, images)
    run = Run(0, Budget(epochs=2), precision="bf16")
    fit(learner, images, run)
    assert all(math.isfinite(value) for row in run.history for value in row.values())
    plain, _ = fitted(cls, images, epochs=2)
    reduced, whole = encoded(learner, images.batch(slice(0, 4))), encoded(plain, images.batch(slice(0, 4)))
    assert all(layer.dtype == torch.float32 and layer.isfinite().all() for layer in reduced.values())
    # These say that nothing of theirs runs in reduced precision.
    assert same(reduced, whole) == (cls.method_name in {"rbm", "deconvnet"})


def fresh(cls, images, seed=0):
    with seeded(seed, "weights"):
        return make(cls, small(cls), images.shape)


def reloaded(learner, images, seed):
    loaded = fresh(type(learner), images, seed)
    load_learner_state(loaded, {name: tensor.clone() for name, tensor in learner_state(learner).items()})
    return loaded


def assert_near(found, expected):
    """Compare what kernels for other layouts or batches rounded, of deep networks relative to their largest number."""
    torch.testing.assert_close(found, expected, rtol=1.3e-6, atol=1e-5 * max(1.0, float(expected.abs().max())))


def interrupt():
    raise KeyboardInterrupt


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(row):
    return {name: value for name, value in row.items() if name != "seconds"}
