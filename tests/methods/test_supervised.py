from __future__ import annotations

import numpy as np
import torch
from fits import blobs, take_step
from reprbench.methods.supervised import Supervised
from torch.nn import functional

from reprbench import Images
from reprbench.learner import make
from reprbench.run import Budget, Run, seeded
from reprbench.state import learner_state


def digits() -> tuple[Images, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Images((bunch.images[:600, None] * 255 / 16).astype(np.uint8)), bunch.target[:600]


def learner_for(images: Images, **parameters) -> Supervised:
    with seeded(0, "weights"):
        return make(Supervised, parameters, images.shape)


def test_it_learns_the_labels():
    images, labels = digits()
    learner, run = learner_for(images, lr=1e-3, batch_size=64), Run(0, Budget(epochs=4))
    learner.fit_labeled(images, labels, run)
    assert run.history[-1]["accuracy"] > 0.95
    assert run.history[-1]["loss"] < 0.6 * run.history[0]["loss"]


def test_the_step_descends_the_cross_entropy_of_the_batch():
    images = blobs(8)
    learner, run = learner_for(images, width=8, batch_size=8), Run(0, Budget(epochs=1))
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


def test_the_head_is_not_part_of_the_state():
    images = blobs()
    learner = learner_for(images, width=8, batch_size=8)
    learner.fit_labeled(images, np.arange(20) % 4, Run(0, Budget(epochs=1)))
    assert {name.split(".")[0] for name in learner_state(learner)} == {"encoder"}
