"""NT-Xent against the equation of the paper, term by term, and lightly's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss
from reprbench.methods.controls import Untrained
from reprbench.methods.simclr import SimCLR
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from views import assert_step_descends, prepared

from reprbench import Images, View, encode
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded


def paper(projections, temperature):
    """Eq. 1 of the paper: ℓ(i, j) = −log exp(s_ij/τ)/Σ_{k≠i} exp(s_ik/τ), averaged over all positive pairs."""
    z = torch.cat(list(projections))
    count = len(projections[0])
    similar = [[(a @ b) / (a.norm() * b.norm()) / temperature for b in z] for a in z]
    losses = []
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = torch.stack([similar[i][k] for k in range(2 * count) if k != i])
        losses.append(-(similar[i][j] - others.exp().sum().log()))
    return sum(losses) / (2 * count)


def test_a_step_descends_the_loss_of_the_paper():
    for temperature in (0.5, 0.1):
        assert_step_descends(SimCLR, lambda learner, views, z: paper(z, learner.temperature), temperature=temperature)


def test_the_loss_is_that_of_lightly():
    learner, run = prepared(SimCLR, temperature=0.2)
    projections = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0)).unbind()
    found = learner.objective([], projections, run)["loss"]
    assert torch.equal(found, NTXentLoss(0.2)(*projections))
    torch.testing.assert_close(found.double(), paper([z.double() for z in projections], 0.2), rtol=1e-6, atol=0)


def test_equal_projections_cannot_be_told_apart():
    learner, run = prepared(SimCLR)
    ones = torch.ones(6, 8)
    assert math.isclose(float(learner.objective([], [ones, ones], run)["loss"]), math.log(11), rel_tol=1e-6)


@pytest.mark.slow
def test_a_few_epochs_on_digits_beat_the_untrained_encoder():
    bunch = load_digits()
    pixels = (bunch.images[:, None] * 255 / 16).astype(np.uint8)

    def accuracy(cls, **parameters):
        with seeded(0, "weights"):
            learner = make(cls, parameters, (1, 8, 8))
        learner.fit(Images(pixels[:1000]), Run(0, Budget(epochs=6)))
        codes = encode(learner, pixels, View(layers="last"))
        return KNeighborsClassifier(5).fit(codes[:1000], bunch.target[:1000]).score(codes[1000:], bunch.target[1000:])

    assert accuracy(SimCLR, augmentation="digits") > accuracy(Untrained) + 0.02
