from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, digits, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.ameae import SparseAMEAE
from reprbench.methods.autoencoders import AE, DAE, SparseAE, adam
from torch.nn import functional

from reprbench import Decodes, Reconstructs, Resumes, UserError
from reprbench.run_context import Budget, Run


@pytest.fixture
def run() -> Run:
    return Run(0, Budget(epochs=1))


def test_masking_sets_whole_pixels_to_zero_with_its_probability(run):
    x = torch.rand(64, 3, 20, 20) + 0.1
    corrupted = DAE(noise=0.4).corrupt(x, run)
    masked = corrupted == 0
    assert masked.float().mean() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(masked.any(1), masked.all(1))
    assert torch.equal(corrupted[~masked], x[~masked])


@pytest.mark.parametrize(("noise", "deviation"), [(None, 0.1), (0.3, 0.3)])
def test_gaussian_noise_has_its_deviation_in_every_value(run, noise, deviation):
    x = torch.full((64, 3, 20, 20), 0.5)
    drawn = DAE(corruption="gaussian", noise=noise).corrupt(x, run) - x
    assert drawn.mean().abs() < 0.01
    assert drawn.std() == pytest.approx(deviation, rel=0.02)
    assert np.corrcoef(drawn[:, 0].flatten(), drawn[:, 1].flatten())[0, 1] == pytest.approx(0, abs=0.03)


def test_noise_is_new_in_every_batch_and_the_same_for_a_seed(run):
    x = torch.ones(2, 1, 8, 8)
    first, second = DAE().corrupt(x, run), DAE().corrupt(x, run)
    assert not torch.equal(first, second)
    assert torch.equal(first, DAE().corrupt(x, Run(0, Budget(epochs=1))))


def test_without_noise_dae_is_ae():
    images = blobs()
    for noiseless in (fitted(DAE, images, noise=0)[0], fitted(SparseAE, images, sparsity=0)[0]):
        plain, _ = fitted(AE, images)
        for one, other in zip(plain.encoder.parameters(), noiseless.encoder.parameters(), strict=True):
            assert torch.equal(one, other)


def test_the_objective_of_sparse_ae_is_its_two_terms():
    images = blobs()
    learner, run = fitted(SparseAE, images, sparsity=0.7)
    x = images.batch(slice(0, 8))
    values = take_step(learner, run, x)
    gradients = [weight.grad.clone() for weight in learner.encoder.parameters()]
    learner, run = fitted(SparseAE, images, sparsity=0.7)
    learner.encoder.train(), learner.decoder.train()
    h = list(learner.encoder(x).values())[-1]
    reconstruction = ((learner.decoder(h) - x) ** 2).sum() / x.numel()
    sparsity = 0.7 * h.sum() / h.numel()
    torch.testing.assert_close(values["reconstruction"], reconstruction)
    torch.testing.assert_close(values["sparsity"], sparsity)
    torch.testing.assert_close(values["loss"], reconstruction + sparsity)
    learner.encoder.zero_grad()
    (reconstruction + sparsity).backward()
    for gradient, weight in zip(gradients, learner.encoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-6)


def test_a_heavier_penalty_makes_smaller_codes():
    images = digits()
    codes = {}
    for sparsity in (0.0, 1.0):
        learner, _ = fitted(SparseAE, images, epochs=4, lr=1e-3, sparsity=sparsity)
        learner.encoder.eval()
        codes[sparsity] = learner.encoder.code(images.batch(slice(0, 200))).mean()
    assert codes[1.0] < 0.5 * codes[0.0]


@pytest.mark.parametrize("cls", [SparseAE, SparseAMEAE])
def test_the_share_of_zeros_of_a_sparse_code_is_logged(cls):
    images = blobs(8)
    learner, run = fitted(cls, images, sparsity=0.7)
    assert 0 < run.history[-1]["zeros"] < 1
    x = images.batch(slice(0, 8))
    values = take_step(learner, run, x)
    learner, run = fitted(cls, images, sparsity=0.7)
    h = learner.encoder.train().code(x)
    assert values["zeros"].item() == pytest.approx((h == 0).sum().item() / h.numel())


def test_the_optimizer_is_one_adam_for_both_networks():
    learner, _ = fitted(AE, blobs())
    optimizer = learner.optimizers()
    assert sorted(map(id, optimizer.param_groups[0]["params"])) == sorted(
        id(w) for network in (learner.encoder, learner.decoder) for w in network.parameters()
    )
    assert optimizer.defaults["betas"] == (0.5, 0.999)
    assert adam(0.3, learner.encoder).defaults["lr"] == 0.3


def test_ae_learns_digits():
    images = digits()
    learner, run = fitted(AE, images, epochs=6, width=16, lr=1e-3)
    losses = [row["reconstruction"] for row in run.history]
    x = images.batch(slice(0, 100))
    assert losses == sorted(losses, reverse=True)
    learner.encoder.eval(), learner.decoder.eval()
    with torch.inference_mode():
        error = functional.mse_loss(learner.reconstruct(x), x)
    # Better than the best constant image.
    assert error < 0.7 * (x - x.mean(0)).square().mean()


def test_it_reconstructs_and_decodes_from_the_last_layer_alone():
    images = blobs()
    learner, _ = fitted(AE, images)
    learner.encoder.eval(), learner.decoder.eval()
    x = images.batch(slice(0, 3))
    assert isinstance(learner, Reconstructs) and isinstance(learner, Decodes) and isinstance(learner, Resumes)
    torch.testing.assert_close(learner.reconstruct(x), learner.decode(learner.encode(x)["layer8"]))
    torch.testing.assert_close(learner.reconstruct(x, "layer8"), learner.reconstruct(x))
    with pytest.raises(UserError, match="'layer8', not from 'layer2'"):
        learner.reconstruct(x, "layer2")


@pytest.mark.parametrize("wrong", [{"noise": 1.1}, {"corruption": "salt"}, {"lr": 0}, {"width": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DAE(**wrong)
