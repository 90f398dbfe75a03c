"""Barlow Twins against the equations of the paper and lightly's."""

from __future__ import annotations

import torch
from lightly.loss import BarlowTwinsLoss
from reprbench.methods.barlow_twins import BarlowTwins
from views import assert_step_descends, prepared


def paper(projections, redundancy):
    """Eq. 1 and 2 of the paper, with z centered over the batch."""
    one, other = (z - z.mean(0) for z in projections)
    loss = 0
    for i in range(one.shape[1]):
        for j in range(one.shape[1]):
            a, b = one[:, i], other[:, j]
            # Batch normalization adds 1e-5 to the variances.
            size = (((a * a).mean() + 1e-5) * ((b * b).mean() + 1e-5)).sqrt()
            correlation = (a * b).mean() / size
            loss = loss + ((1 - correlation) ** 2 if i == j else redundancy * correlation**2)
    return loss


def test_a_step_descends_the_loss_of_the_paper():
    assert_step_descends(BarlowTwins, lambda learner, views, z: paper(z, 0.005))
    assert_step_descends(BarlowTwins, lambda learner, views, z: paper(z, 0.5), redundancy=0.5)


def test_the_loss_is_that_of_lightly():
    learner, run = prepared(BarlowTwins, redundancy=0.02)
    projections = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0)).unbind()
    found = learner.objective([], projections, run)["loss"]
    assert torch.equal(found, BarlowTwinsLoss(0.02)(*projections))
    torch.testing.assert_close(found.double(), paper([z.double() for z in projections], 0.02), rtol=1e-5, atol=0)


def test_agreeing_components_without_redundancy_cost_nothing():
    learner, run = prepared(BarlowTwins)
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(learner.objective([], [z, z], run)["loss"]) < 1e-8
    assert float(learner.objective([], [z, -z], run)["loss"]) > 7.9
