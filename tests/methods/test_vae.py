from __future__ import annotations

import pytest
import torch
from fits import blobs, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.autoencoders import AE
from reprbench.methods.vae import VAE, divergence
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from reprbench import Decodes, Reconstructs, Run, UserError
from reprbench.run_context import Budget, derive_seed

SHAPES = [(1, 8, 8), (3, 32, 32)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def stepped(images, **parameters):
    """Return a learner after one step on the first images, the step's values, and what it drew."""
    learner, _ = fitted(VAE, images, **parameters)
    x, run = images.batch(slice(0, 8)), Run(0, Budget(epochs=1))
    mean, _ = learner_posterior(learner, x)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(derive_seed(0, "posterior")))
    return learner, x, noise, lambda: take_step(learner, run, x)


def learner_posterior(learner, x):
    for network in (learner.encoder, learner.decoder):
        network.train()
    with torch.no_grad():
        return learner.posterior(x)


def test_the_divergence_is_that_of_torchs_distributions():
    mean, log_variance = torch.randn(2, 5, 4, 3, 3, dtype=torch.float64)
    q = Independent(Normal(mean, (log_variance / 2).exp()), 3)
    p = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 3)
    torch.testing.assert_close(divergence(mean, log_variance), kl_divergence(q, p).mean())
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


@each_shape
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_loss_is_the_bound_of_a_plain_float64_version(shape, likelihood):
    learner, x, noise, step = stepped(blobs(16, shape), likelihood=likelihood, beta=3, deviation=0.3)
    for network in (learner.encoder, learner.decoder, learner.mean_head, learner.log_variance_head):
        network.double().train()
    with torch.no_grad():
        *_, h = learner.encoder(x.double()).values()
        mean, log_variance = learner.mean_head(h), learner.log_variance_head(h)
        x_hat = learner.decoder(mean + torch.exp(log_variance / 2) * noise.double())
        if likelihood == "gaussian":
            constant = Normal(x_hat, 0.3).log_prob(x_hat).sum((1, 2, 3))
            likelihoods = Normal(x_hat, 0.3).log_prob(x.double()).sum((1, 2, 3)) - constant
        else:
            likelihoods = Bernoulli(x_hat, validate_args=False).log_prob(x.double()).sum((1, 2, 3))
        kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros_like(mean), 1.0))
        active = mean.flatten(1).var(0, correction=0) > 0.01
    for network in (learner.encoder, learner.decoder, learner.mean_head, learner.log_variance_head):
        network.float()
    values = step()
    expected = {"reconstruction": -likelihoods.mean(), "kl": kl.flatten(1).sum(1).mean(), "active_units": active.sum()}
    expected["loss"] = expected["reconstruction"] + 3 * expected["kl"]
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(values[name].double(), value.double(), rtol=1e-4, atol=1e-4)


def test_the_two_terms_reach_the_networks_that_they_depend_on():
    learner, x, _, _ = stepped(blobs(16))
    networks = (learner.encoder, learner.mean_head, learner.log_variance_head)
    for network in (*networks, learner.decoder):
        network.zero_grad()
    mean, log_variance = learner.posterior(x)
    divergence(mean, log_variance).backward()
    assert all(weight.grad is None for weight in learner.decoder.parameters())
    assert all(weight.grad.any() for network in networks for weight in network.parameters())


def test_a_seed_draws_the_same_codes_and_every_step_others():
    images = blobs(16)
    learner, x, _, _ = stepped(images)
    run = Run(0, Budget(epochs=1))
    with torch.no_grad():
        first, second = (learner.loss(x, run)["reconstruction"] for _ in range(2))
        again = learner.loss(x, Run(0, Budget(epochs=1)))["reconstruction"]
    assert first != second
    torch.testing.assert_close(first, again)


@each_shape
def test_the_layers_are_those_of_the_autoencoder_and_a_mean_of_the_size_of_its_code(shape):
    images = blobs(8, shape)
    x = images.batch(slice(0, 3))
    of_vae, of_ae = (encoded(fitted(cls, images)[0], x) for cls in (VAE, AE))
    *layers, last = of_vae
    assert (layers, last) == (list(of_ae), "mean")
    assert of_vae["mean"].shape == of_ae[layers[-1]].shape


@each_shape
def test_it_reconstructs_and_decodes_from_the_mean_alone(shape):
    images = blobs(8, shape)
    learner, _ = fitted(VAE, images)
    assert isinstance(learner, Reconstructs) and isinstance(learner, Decodes)
    x = images.batch(slice(0, 3))
    with torch.no_grad():
        torch.testing.assert_close(learner.reconstruct(x), learner.decode(learner.encode(x)["mean"]))
        torch.testing.assert_close(learner.reconstruct(x, "mean"), learner.reconstruct(x))
        assert learner.reconstruct(x).shape == x.shape
    with pytest.raises(UserError, match="'mean', not from 'layer2'"):
        learner.reconstruct(x, "layer2")


def test_a_divergence_that_weighs_too_much_collapses_the_posterior_and_the_row_says_so():
    images = blobs(64)
    collapsed, run = fitted(VAE, images, epochs=40, lr=3e-3, beta=1e4)
    assert run.history[-1]["active_units"] == 0
    (warning,) = collapsed.warnings(run.history)
    assert "posterior collapse" in warning and "\n" not in warning
    learned, run = fitted(VAE, images, epochs=40, lr=3e-3, beta=0.1)
    assert run.history[-1]["active_units"] >= 1
    assert learned.warnings(run.history) == []
    assert run.history[-1]["reconstruction"] < run.history[0]["reconstruction"]
    assert learned.warnings([]) == []


@pytest.mark.parametrize("wrong", [{"beta": -1}, {"deviation": 0}, {"likelihood": "laplace"}, {"width": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        VAE(**wrong)
