from __future__ import annotations

import torch
from fits import blobs, digits, encoded, fitted, weight_shapes
from reprbench.methods.bigan import BiGAN
from torch.nn import functional

from reprbench.learner import make


def test_bigan_is_the_authors_network_on_mnist():
    with torch.device("meta"):
        learner = make(BiGAN, {}, (1, 28, 28))
    shapes = {name: weight_shapes(getattr(learner, name)) for name in ("encoder", "generator", "discriminator")}
    assert shapes == {
        "encoder": [(1024, 784), (1024, 1024), (50, 1024)],
        "generator": [(1024, 50), (1024, 1074), (784, 1024)],
        "discriminator": [(1024, 784), (1024, 1074), (1, 1024)],
    }
    assert all(weight.dim() == 2 for weight in learner.encoder.parameters())


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


def test_bigan_learns_to_make_digits_and_to_invert_them():
    images = digits()
    learner, _ = fitted(BiGAN, images, epochs=30, width=128, batch_size=32, lr=1e-3)
    x = images.batch(slice(0, 200))
    encoded(learner, x)
    learner.generator.eval()
    with torch.inference_mode():
        samples = learner.decode(learner.prior(200, torch.Generator().manual_seed(0)))
        distances = (x[:, None] - learner.reconstruct(x)[None]).square().flatten(2).mean(2)
    assert (samples.mean(0) - x.mean(0)).square().mean() < 0.25 * x.mean(0).var()
    # An image is nearer to its own reconstruction than to those of others.
    assert distances.diag().mean() < 0.9 * distances.mean()
