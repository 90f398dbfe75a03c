from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fits import blobs, take_step
from reprbench.methods.supervised import Supervised, held_out
from torch.nn import functional

from reprbench import Classifies, Images
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state, load_learner_state


def digits() -> tuple[Images, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Images((bunch.images[:600, None] * 255 / 16).astype(np.uint8)), bunch.target[:600]


def learner_for(images: Images, **parameters) -> Supervised:
    with seeded(0, "weights"):
        return make(Supervised, parameters, images.shape)


def test_it_learns_the_labels():
    images, labels = digits()
    learner, run = learner_for(images, lr=1e-3, batch_size=64, min_steps=0), Run(0, Budget(epochs=4))
    learner.fit_labeled(images, labels, run)
    assert run.history[-1]["accuracy"] > 0.95
    assert run.history[-1]["loss"] < 0.6 * run.history[0]["loss"]


def test_the_step_descends_the_cross_entropy_of_the_batch():
    images = blobs(8)
    learner, run = learner_for(images, width=8, batch_size=8, lr=1e-3, min_steps=1), Run(0, Budget(epochs=1))
    y = torch.arange(8) % 3
    learner.fit_labeled(images, y.numpy(), run)
    x = images.batch(slice(0, 8))
    state = learner.training_state()
    copies = {name: {k: v.clone() for k, v in network.items()} for name, network in state["networks"].items()}
    values = take_step(learner, run, x, y)
    gradients = [weight.grad.clone() for weight in learner.encoder.parameters()]
    learner.encoder.load_state_dict(copies["encoder"])
    learner._head.load_state_dict(copies["_head"])
    expected = functional.nll_loss(learner._head(list(learner.encoder(x).values())[-1]).log_softmax(1), y)
    torch.testing.assert_close(values["loss"], expected)
    for gradient, one in zip(gradients, torch.autograd.grad(expected, list(learner.encoder.parameters())), strict=True):
        torch.testing.assert_close(gradient, one, rtol=1e-3, atol=1e-6)


def small(images: Images, **parameters: Any) -> Supervised:
    return learner_for(images, **{"width": 8, "batch_size": 8, "min_steps": 6, **parameters})


def labels_of(images: Images, n_classes: int = 2) -> np.ndarray:
    return np.arange(len(images)) % n_classes


def tried(run: Run) -> dict[float, float]:
    return {row["lr"]: row["held-out accuracy"] for row in run.history if "held-out accuracy" in row}


def test_it_classifies_as_its_head_did_after_saving_and_loading():
    images, labels = digits()
    learner = small(images, lr=1e-3, min_steps=60)
    learner.fit_labeled(images, labels, Run(0, Budget(epochs=1)))
    assert isinstance(learner, Classifies)
    loaded = small(images)
    load_learner_state(loaded, learner_state(learner))
    x = images.batch(slice(0, 100))
    for one in (learner, loaded):
        one.encoder.eval()
        with torch.no_grad():
            torch.testing.assert_close(one.classify(x), learner._head(list(learner.encoder(x).values())[-1]))
    assert (loaded.classify(x).argmax(1).numpy() == labels[:100]).mean() > 0.5


def test_it_makes_at_least_its_fewest_steps():
    images = blobs(20)
    for budget, steps in ((Budget(epochs=1), 6), (Budget(images=8), 6), (Budget(epochs=10), 20)):
        run = Run(0, budget)
        small(images, lr=1e-3).fit_labeled(images, labels_of(images), run)
        assert run.history[-1]["step"] == steps
        assert run.images_seen == 8 * steps


def test_seconds_end_the_fit_before_its_fewest_steps():
    images = blobs(20)
    run = Run(0, Budget(seconds=0.2))
    small(images, min_steps=10**6).fit_labeled(images, labels_of(images), run)
    assert run.history[-1]["step"] < 10**5


def test_the_rate_with_the_highest_held_out_accuracy_learns():
    images, labels = digits()
    rates = (1e-7, 1e-3, 1e-6)
    run = Run(0, Budget(epochs=1))
    learner = small(images, lr=rates, batch_size=64, min_steps=120)
    learner.fit_labeled(images, labels, run)
    assert list(tried(run)) == list(rates)
    assert max(tried(run), key=tried(run).get) == 1e-3
    assert [group["lr"] for group in learner._optimizers["optimizer"].param_groups] == [1e-3]
    assert learner.warnings(run.history) == ["learning rate 0.001 chosen inside the fold of 1e-07, 0.001, 1e-06"]
    # Three trials of 30 steps; what they learned is forgotten.
    assert run.images_seen == 64 * (3 * 30 + 120)
    alone = small(images, lr=1e-3, batch_size=64, min_steps=120)
    alone.fit_labeled(images, labels, Run(0, Budget(epochs=1)))
    assert all(torch.equal(learner_state(alone)[name], value) for name, value in learner_state(learner).items())


def test_the_lowest_of_tied_rates_is_chosen():
    images = blobs(20)
    run = Run(0, Budget(epochs=1))
    learner = small(images, lr=(2e-9, 1e-9, 3e-9))
    learner.fit_labeled(images, labels_of(images), run)
    assert len(set(tried(run).values())) == 1
    assert learner._lr == 1e-9


def test_every_fifth_image_of_a_class_is_held_out():
    labels = np.array([0] * 50 + [1] * 9 + [2] * 4)
    held = held_out(labels, np.random.default_rng(0))
    assert np.bincount(labels[held], minlength=3).tolist() == [10, 1, 0]
    assert not np.array_equal(held, held_out(labels, np.random.default_rng(1)))


def test_without_images_to_hold_out_the_middle_rate_learns():
    images = blobs(8)
    run = Run(0, Budget(epochs=1))
    learner = small(images, lr=(1e-2, 1e-4, 1e-3))
    learner.fit_labeled(images, labels_of(images), run)
    assert (tried(run), learner._lr, learner.warnings(run.history)) == ({}, 1e-3, [])


def test_a_fit_that_is_interrupted_after_its_trials_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    whole, run = small(images), Run(0, Budget(epochs=4))
    whole.fit_labeled(images, labels_of(images), run)
    # Three trials of three steps, then twelve; an epoch has three.
    interrupted, steps = small(images), iter(range(99))
    step = interrupted.step
    interrupted.step = lambda *batch: 1 / 0 if next(steps) == 17 else step(*batch)
    with pytest.raises(ZeroDivisionError):
        interrupted.fit_labeled(images, labels_of(images), Run(0, Budget(epochs=4), folder=tmp_path))
    resumed, second = small(images), Run(0, Budget(epochs=4), folder=tmp_path)
    resumed.fit_labeled(images, labels_of(images), second)
    assert second.resumed
    assert all(torch.equal(learner_state(whole)[name], value) for name, value in learner_state(resumed).items())
    assert (second.images_seen, tried(second)) == (run.images_seen, tried(run))
