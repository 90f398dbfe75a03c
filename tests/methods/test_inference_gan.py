from __future__ import annotations

import pytest
import torch
from fits import blobs, encoded, fit, fitted, small
from reprbench.methods.ali import ALI
from reprbench.methods.bigan import BiGAN

from reprbench import Decodes, Reconstructs, Resumes, UserError
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
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
    with pytest.raises(UserError, match=f"'{last}', not from '{names[0]}'"):
        learner.reconstruct(x, names[0])


def test_the_priors_are_the_published_ones():
    generator = torch.Generator().manual_seed(0)
    uniform, normal = BiGAN().prior(2000, generator), ALI().prior(2000, generator)
    assert uniform.shape == (2000, 50) and uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, rel=0.02)
    assert normal.shape == (2000, 64) and normal.abs().max() > 3
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.02)


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
