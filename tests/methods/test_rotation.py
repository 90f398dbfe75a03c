from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.autoencoders import AE
from reprbench.methods.networks import global_average
from reprbench.methods.rotation import Rotation, rotations

from reprbench import Images, Run, UserError
from reprbench.batch_norm import normalizations
from reprbench.run_context import Budget
from reprbench.state import encode_flops

SHAPES = [(1, 8, 8), (3, 32, 32)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture
def run() -> Run:
    return Run(0, Budget(epochs=1))


def ramps(count: int = 200, side: int = 8) -> Images:
    """Return images that get brighter downwards, with noise."""
    noise = np.random.default_rng(0).uniform(0, 40, (count, 1, side, side))
    return Images((noise + np.linspace(0, 200, side)[:, None]).astype(np.uint8))


def test_images_are_turned_as_numpy_turns_them():
    x = torch.rand(5, 3, 6, 6)
    expected = [np.rot90(x.numpy(), turns, (2, 3)) for turns in range(4)]
    assert np.array_equal(rotations(x).numpy(), np.concatenate(expected))


@each_shape
def test_the_loss_is_the_cross_entropy_of_a_plain_float64_version(shape, run):
    images = blobs(16, shape)
    learner, _ = fitted(Rotation, images)
    x = images.batch(slice(0, 8))
    for network in (learner.encoder, learner.head):
        network.double().train()
    with torch.no_grad():
        turned = torch.cat([torch.from_numpy(np.rot90(x.numpy(), turns, (2, 3)).copy()) for turns in range(4)])
        *_, h = learner.encoder(turned.double()).values()
        logits = global_average(h) @ learner.head.weight.T + learner.head.bias
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    turns = [turns for turns in range(4) for _ in range(8)]
    for network in (learner.encoder, learner.head):
        network.float()
    values = take_step(learner, run, x)
    loss = -probabilities[range(32), turns].log().mean()
    torch.testing.assert_close(values["loss"].double(), loss, rtol=1e-4, atol=1e-5)
    assert values["accuracy"] == (logits.argmax(1) == torch.tensor(turns)).float().mean()


@pytest.mark.parametrize("backbone", ["p-res", "resnet18"])
def test_the_gradient_reaches_all_weights_of_either_encoder(backbone, run):
    learner = Rotation(backbone=backbone, **({"width": 8} if backbone == "p-res" else {}))
    learner.build((3, 16, 16))
    learner.prepare(run)
    learner.step(torch.rand(4, 3, 16, 16), learner._optimizers, run)
    assert all(weight.grad.any() for network in (learner.encoder, learner.head) for weight in network.parameters())


def test_it_learns_to_tell_rotations_of_images_that_have_a_top():
    _, run = fitted(Rotation, ramps(), epochs=5)
    assert run.history[-1]["accuracy"] > 0.9
    # Of images that look alike from all sides it can only guess.
    flat = Images(np.full((64, 1, 8, 8), 99, dtype=np.uint8))
    _, run = fitted(Rotation, flat, epochs=2)
    assert run.history[-1]["accuracy"] == 0.25


def test_an_image_counts_once_though_its_four_rotations_are_seen():
    learner, run = fitted(Rotation, blobs(16))
    assert run.images_seen == 16
    forward = 4 * encode_flops(learner, torch.zeros(1, 1, 8, 8))
    # Backward costs about twice as much as forward.
    assert 2.5 < run.work.flops / 16 / forward < 3.5


@each_shape
def test_its_layers_are_those_of_the_autoencoder(shape):
    images = blobs(8, shape)
    x = images.batch(slice(0, 3))
    assert list(encoded(fitted(Rotation, images)[0], x)) == list(encoded(fitted(AE, images)[0], x))


def test_batch_normalizations_are_evaluated_with_statistics_of_upright_images():
    images = ramps(40)
    learner, run = fitted(Rotation, images, epochs=3)
    first = normalizations(learner)[0]
    with torch.no_grad():
        y = first.conv(images.batch(slice(None)))
    torch.testing.assert_close(first.running_mean, y.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert run.warnings == []


def test_images_that_are_not_square_are_refused_in_one_line():
    with pytest.raises(UserError, match=r"^images of 8×9 pixels .* rotation needs square ones; crop or resize them, "):
        Rotation().build((1, 8, 9))


@pytest.mark.parametrize("wrong", [{"backbone": "vgg"}, {"lr": 0}, {"width": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        Rotation(**wrong)
