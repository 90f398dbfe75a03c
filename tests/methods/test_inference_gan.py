from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fit, fitted, small
from reprbench.methods.inference_gan import ALI, BiGAN, dropout, geometry
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from reprbench import Decodes, Images, Reconstructs, Resumes, UserError
from reprbench.learner import make
from reprbench.run import Budget, Run, seeded
from reprbench.state import learner_state, load_learner_state
from reprbench.testing import check_learner

SHAPES = [(1, 8, 8), (3, 9, 11), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 96, 96), (1, 96, 8), (1, 1, 3)]
each_class = pytest.mark.parametrize("cls", [BiGAN, ALI], ids=lambda cls: cls.method_name)


@each_class
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_codes_are_vectors_and_images_come_back_in_their_size(cls, shape):
    learner = make(cls, {"width": 2, "code_size": 5}, shape)
    x = torch.rand(3, *shape)
    learner.encoder.eval(), learner.generator.eval()
    *_, code = learner.encode(x).values()
    assert code.shape == (3, 5)
    assert learner.decode(code).shape == learner.reconstruct(x).shape == x.shape
    assert learner.judge((x, code), Run(0, Budget(epochs=1))).shape == (3,)


@each_class
def test_the_discriminator_sees_images_with_their_codes(cls):
    learner = make(cls, {"width": 8}, (1, 8, 8))
    x, run = torch.rand(6, 1, 8, 8), Run(0, Budget(epochs=1))
    (image, inferred), (fake, z) = learner.play(x, run)
    assert image is x and inferred.requires_grad and fake.requires_grad and not z.requires_grad
    assert torch.equal(z, learner.prior(6, Run(0, Budget(epochs=1)).generator("codes")))
    torch.testing.assert_close(fake, learner.generator(z))
    logits = learner.judge((x, z), Run(0, Budget(epochs=1)))
    assert not torch.allclose(logits, learner.judge((x, z.flip(0)), Run(0, Budget(epochs=1))), rtol=1e-6, atol=0)
    assert not torch.allclose(logits, learner.judge((x.flip(0), z), Run(0, Budget(epochs=1))), rtol=1e-6, atol=0)


@each_class
def test_it_reconstructs_from_the_code_alone(cls):
    images = blobs()
    learner, _ = fitted(cls, images)
    x = images.batch(slice(0, 3))
    *names, last = encoded(learner, x)
    learner.generator.eval()
    assert isinstance(learner, Reconstructs) and isinstance(learner, Decodes) and isinstance(learner, Resumes)
    reconstruction = learner.reconstruct(x)
    torch.testing.assert_close(reconstruction, learner.decode(learner.encode(x)[last]))
    torch.testing.assert_close(reconstruction, learner.reconstruct(x, last))
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1
    with pytest.raises(UserError, match=f"'{last}', and not from '{names[0]}'"):
        learner.reconstruct(x, names[0])


def test_the_priors_are_the_published_ones():
    generator = torch.Generator().manual_seed(0)
    uniform, normal = BiGAN().prior(2000, generator), ALI().prior(2000, generator)
    assert uniform.shape == (2000, 50) and uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, rel=0.02)
    assert normal.shape == (2000, 64) and normal.abs().max() > 3
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.02)


def test_bigan_is_the_authors_network_on_mnist():
    with torch.device("meta"):
        learner = make(BiGAN, {}, (1, 28, 28))
    shapes = {name: weights(getattr(learner, name)) for name in ("encoder", "generator", "discriminator")}
    assert shapes == {
        "encoder": [(1024, 784), (1024, 1024), (50, 1024)],
        "generator": [(1024, 50), (1024, 1074), (784, 1024)],
        "discriminator": [(1024, 784), (1024, 1074), (1, 1024)],
    }
    assert all(weight.dim() == 2 for weight in learner.encoder.parameters())


def weights(network):
    return [tuple(weight.shape) for weight in network.parameters() if weight.dim() > 1]


def test_bigan_encodes_as_written_by_hand():
    images = blobs()
    learner, _ = fitted(BiGAN, images, epochs=2)
    x = images.batch(slice(0, 4))
    layers = encoded(learner, x)
    w1, w2, w3 = learner.encoder.parameters()
    norm = learner.encoder.second[0][1]
    first = functional.leaky_relu(x.flatten(1) @ w1.T, 0.2)
    second = (first @ w2.T - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    second = functional.leaky_relu(second, 0.2)
    code = 2 * torch.sigmoid(second @ w3.T) - 1
    for layer, expected in zip(layers.values(), (first, second, code), strict=True):
        torch.testing.assert_close(layer, expected.detach(), rtol=1e-4, atol=1e-5)


def test_alis_networks_at_32_are_the_published_ones():
    with torch.device("meta"):
        learner = make(ALI, {}, (3, 32, 32))
    assert [(c.size, c.result) for c in geometry((3, 32, 32), 32)] == [
        ((32, 32), (28, 28)),
        ((28, 28), (13, 13)),
        ((13, 13), (10, 10)),
        ((10, 10), (4, 4)),
        ((4, 4), (1, 1)),
    ]
    stack = [(32, 3, 5, 5), (64, 32, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4)]
    assert weights(learner.encoder) == [*stack, (512, 512, 1, 1), (128, 512, 1, 1)]
    mirror = [(64, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 32, 4, 4), (32, 32, 5, 5)]
    assert weights(learner.generator) == [*mirror, (32, 32, 1, 1), (3, 32, 1, 1)]
    joint = [(1024, 1024), (1024, 1024), (1, 1024)]
    assert weights(learner.discriminator) == [*stack, (512, 64), (512, 512), *joint]
    strides = [m.stride for m in learner.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert strides == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert (learner.lr, learner.batch_size, learner.updates) == (1e-4, 100, "simultaneous")


@pytest.mark.parametrize(("width", "deviation"), [(32, 0.01), (8, 0.02)])
def test_ali_starts_with_signals_of_one_size_at_any_width(width, deviation):
    learner = make(ALI, {"width": width}, (3, 8, 8))
    for network in (learner.encoder, learner.generator, learner.discriminator):
        drawn = torch.cat([weight.detach().flatten() for weight in network.parameters() if weight.dim() > 1])
        assert drawn.std().item() == pytest.approx(deviation, rel=0.02)
    assert not any(weight.any() for name, weight in learner.discriminator.named_parameters() if "bias" in name)


@pytest.mark.parametrize("other", [1, 7, 32, 50])
def test_any_size_ends_at_one_position_with_kernels_no_larger_than_the_papers(other):
    for side in range(1, 200):
        stack = geometry((3, side, other), 4)
        assert stack[-1].result == (1, 1)
        assert all(max(convolution.kernel) <= 5 for convolution in stack)
        assert len(stack) == 5 or max(side, other) > 32
        # The first map that the published convolutions see.
        assert max(stack[-5].size) <= 32 and (len(stack) == 5 or max(stack[-5].size) > 16 - 1)


@pytest.mark.parametrize("side", [*range(1, 36), 64, 65, 66, 67, 96, 99, 131, 132])
def test_a_transposed_convolution_goes_back_to_the_very_size(side):
    for convolution in geometry((1, side, 2 * side // 3 + 1), 1):
        x = torch.zeros(1, convolution.before, *convolution.size)
        down = convolution.down()(x)
        assert down.shape[2:] == convolution.result
        assert convolution.up(convolution.after, 2)(down).shape == (1, 2, *convolution.size)


def test_alis_code_is_the_mean_and_its_training_code_a_sample():
    learner = make(ALI, {"width": 4, "code_size": 3}, (1, 8, 8))
    learner.encoder.eval()
    nn.init.normal_(learner.encoder.last.weight)
    with torch.no_grad():
        learner.encoder.last.bias.copy_(torch.tensor([1.0, 2.0, 3.0, -1.0, 0.0, 1.0]))
        x = torch.rand(1, 1, 8, 8).expand(4000, -1, -1, -1)
        mean, log_deviation = learner.encoder.gaussian(x[:1])
        *_, code = learner.encode(x[:1]).values()
        sampled = learner.infer(x, Run(0, Budget(epochs=1)))
    assert torch.equal(code, mean)
    for found, expected in ((sampled.mean(0), mean[0]), (sampled.std(0), log_deviation[0].exp())):
        assert ((found - expected).abs() < 0.05 * log_deviation[0].exp()).all()


def test_the_gradient_of_a_sample_reaches_mean_and_deviation():
    learner = make(ALI, {"width": 4, "code_size": 3}, (1, 8, 8))
    learner.infer(torch.rand(4, 1, 8, 8), Run(0, Budget(epochs=1))).square().sum().backward()
    assert (learner.encoder.last.bias.grad != 0).all()


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    h = torch.full((300, 400), 2.0)
    one, again = (dropout(h, share, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, again)
    assert (one == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(one[one != 0], torch.full_like(one[one != 0], 2 / (1 - share)))


def test_alis_discriminator_drops_anew_in_every_pass():
    learner = make(ALI, {"width": 8}, (1, 8, 8))
    for weight in learner.discriminator.parameters():
        nn.init.normal_(weight, std=0.3)
    run, inputs = Run(0, Budget(epochs=1)), (torch.rand(4, 1, 8, 8), torch.randn(4, 64))
    first, second = learner.judge(inputs, run), learner.judge(inputs, run)
    assert not torch.allclose(first, second)
    assert torch.equal(first, learner.judge(inputs, Run(0, Budget(epochs=1))))


@each_class
def test_a_saved_model_encodes_and_decodes_the_same(cls):
    images = blobs()
    learner, _ = fitted(cls, images)
    state = {name: tensor.clone() for name, tensor in learner_state(learner).items()}
    x = images.batch(slice(0, 4))
    reconstructions = []
    for seed in (1, 2):
        with seeded(seed, "weights"):
            fresh = make(cls, small(cls), images.shape)
        load_learner_state(fresh, state)
        encoded(fresh, x)
        reconstructions.append(fresh.reconstruct(x))
    assert torch.equal(*reconstructions)
    encoded(learner, x)
    torch.testing.assert_close(learner.reconstruct(x), reconstructions[0])


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@each_class
def test_an_interrupted_fit_goes_on_bit_for_bit(cls, updates, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, _ = fitted(cls, images, epochs=3, updates=updates)
    with seeded(0, "weights"):
        interrupted = make(cls, small(cls, updates=updates), images.shape)
    step, steps = interrupted.step, iter(range(99))

    def stop(*batch):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return step(*batch)

    interrupted.step = stop
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, images, Run(0, Budget(epochs=3), folder=tmp_path))
    resumed, _ = fitted(cls, images, epochs=3, folder=tmp_path, updates=updates)
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


@each_class
def test_it_keeps_the_promises_of_a_learner(cls):
    assert not [f for f in check_learner(cls, {"width": 4, "code_size": 8, "batch_size": 16}) if f.problem]


def test_bigan_learns_to_make_digits_and_to_invert_them():
    digits = Images((load_digits().images[:512, None] * 255 / 16).astype(np.uint8))
    learner, _ = fitted(BiGAN, digits, epochs=30, width=128, batch_size=32, lr=1e-3)
    x = digits.batch(slice(0, 200))
    encoded(learner, x)
    learner.generator.eval()
    with torch.inference_mode():
        samples = learner.decode(learner.prior(200, torch.Generator().manual_seed(0)))
        distances = (x[:, None] - learner.reconstruct(x)[None]).square().flatten(2).mean(2)
    assert (samples.mean(0) - x.mean(0)).square().mean() < 0.25 * x.mean(0).var()
    # An image is nearer to its own reconstruction than to those of others.
    assert distances.diag().mean() < 0.9 * distances.mean()
