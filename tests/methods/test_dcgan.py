from __future__ import annotations

import pytest
import torch
from fits import blobs, encoded, fitted
from reprbench.methods.adversarial import uniform_codes
from reprbench.methods.dcgan import DCGAN
from torch import nn
from torch.nn import functional

from reprbench import Decodes, Reconstructs, Resumes
from reprbench.learner import make
from reprbench.run_context import Budget, Run, derive_seed
from reprbench.state import learner_state, load_learner_state
from reprbench.testing import check_learner

SHAPES = [(1, 8, 8), (3, 9, 11), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 96, 96), (1, 1, 3)]


def halved(side, times):
    for _ in range(times):
        side = -(-side // 2)
    return side


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layers_halve_upwards_and_the_generator_mirrors_them(shape):
    learner = make(DCGAN, {"width": 2, "code_size": 5}, shape)
    layers = encoded(learner, torch.rand(3, *shape))
    assert {name: tuple(layer.shape) for name, layer in layers.items()} == {
        f"layer{n}": (3, 2**n, halved(shape[1], n), halved(shape[2], n)) for n in (1, 2, 3, 4)
    }
    assert learner.generator(torch.rand(3, 5)).shape == (3, *shape)


def test_at_64_it_is_the_published_network():
    # On no device: nothing but shapes.
    with torch.device("meta"):
        learner = make(DCGAN, {}, (3, 64, 64))
    assert [tuple(weight.shape) for name, weight in learner.discriminator.named_parameters() if weight.dim() > 1] == [
        (128, 3, 5, 5),
        (256, 128, 5, 5),
        (512, 256, 5, 5),
        (1024, 512, 5, 5),
        (1, 1024 * 4 * 4),
    ]
    assert [tuple(weight.shape) for name, weight in learner.generator.named_parameters() if weight.dim() > 1] == [
        (1024 * 4 * 4, 100),
        (1024, 512, 5, 5),
        (512, 256, 5, 5),
        (256, 128, 5, 5),
        (128, 3, 5, 5),
    ]
    assert learner.parameters() == {
        "batch_size": 128,
        "lr": 2e-4,
        "weight_decay": 1e-5,
        "updates": "alternating",
        "width": 128,
        "code_size": 100,
    }


def test_it_starts_where_the_paper_and_the_code_say():
    learner = make(DCGAN, {"width": 16}, (1, 16, 16))
    for network in (learner.discriminator, learner.generator):
        weights = torch.cat([weight.flatten() for weight in network.parameters() if weight.dim() > 1])
        scales = torch.cat([m.weight for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)])
        assert weights.std().item() == pytest.approx(0.02, rel=0.03)
        assert (scales.mean().item(), scales.std().item()) == pytest.approx((1, 0.02), abs=0.006)


def test_features_are_those_of_the_discriminator_by_its_running_averages():
    images = blobs()
    learner, _ = fitted(DCGAN, images, epochs=2)
    x = images.batch(slice(0, 5))
    layers = encoded(learner, x)
    h = 2 * x - 1
    for number, block in enumerate(learner.discriminator.layers, start=1):
        h = functional.conv2d(h, block[0].weight, None, 2, 2)
        if number > 1:
            norm = block[1]
            mean, variance = norm.running_mean.view(1, -1, 1, 1), norm.running_var.view(1, -1, 1, 1)
            h = (h - mean) / (variance + norm.eps).sqrt() * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
        h = torch.where(h > 0, h, 0.2 * h)
        torch.testing.assert_close(layers[f"layer{number}"], h.detach(), rtol=1e-4, atol=1e-5)


def test_the_discriminator_sees_both_kinds_of_images_in_one_range():
    learner = make(DCGAN, {"width": 4}, (1, 8, 8))
    x = torch.rand(64, 1, 8, 8)
    x[0], x[1] = 0, 1
    (original,), (fake,) = learner.play(x, Run(0, Budget(epochs=1)))
    torch.testing.assert_close(original, 2 * x - 1)
    assert fake.shape == x.shape and fake.requires_grad
    assert fake.min() >= -1 and fake.max() <= 1 and fake.min() < 0


def test_samples_are_images_that_depend_on_the_generator_given():
    learner, _ = fitted(DCGAN, blobs())
    one, again, other = (learner.sample(6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == (6, 1, 8, 8) and one.min() >= 0 and one.max() <= 1
    # The running averages count training batches; two such would differ in these alone.
    torch.testing.assert_close(one, again)
    assert not torch.allclose(one, other)


def test_the_averages_of_the_generator_are_measured_on_codes():
    learner, run = fitted(DCGAN, blobs(40))
    generator = torch.Generator().manual_seed(derive_seed(run.seed, "batch-norm"))
    codes = uniform_codes(40, learner.code_size, generator).double()
    linear, unit = learner.generator.layers[:2]
    responses = codes @ linear.weight.detach().double().T
    torch.testing.assert_close(unit.running_mean.double(), responses.mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(unit.running_var.double(), responses.var(0), rtol=1e-4, atol=1e-6)


def test_it_resumes_and_promises_no_more():
    learner, _ = fitted(DCGAN, blobs())
    assert isinstance(learner, Resumes)
    assert not isinstance(learner, Decodes) and not isinstance(learner, Reconstructs)


def test_a_saved_model_encodes_the_same():
    learner, _ = fitted(DCGAN, blobs())
    state = {name: tensor.clone() for name, tensor in learner_state(learner).items()}
    x = torch.rand(4, 1, 8, 8)
    loaded = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        fresh = make(DCGAN, learner.parameters(), (1, 8, 8))
        load_learner_state(fresh, state)
        loaded.append(encoded(fresh, x))
    assert all(torch.equal(loaded[0][name], loaded[1][name]) for name in loaded[0])
    trained = encoded(learner, x)
    for name in trained:
        torch.testing.assert_close(trained[name], loaded[0][name])


def test_it_keeps_the_promises_of_a_learner():
    assert not [f for f in check_learner(DCGAN, {"width": 2, "code_size": 8, "batch_size": 16}) if f.problem]
