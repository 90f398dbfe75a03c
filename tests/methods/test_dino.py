"""DINO against the equations of the paper, with center and temperatures, and lightly's."""

from __future__ import annotations

import math

import pytest
import torch
from fits import blobs
from lightly.loss import DINOLoss
from reprbench.methods.dino import DINO
from views import assert_step_descends, code, prepared


def cross_entropy(student, teacher, center, student_temperature, teacher_temperature):
    """H(softmax((g_t − C)/τ_t), softmax(g_s/τ_s)), averaged over the batch: eq. 1 and 2, and section 3.1."""
    total = 0
    for s, t in zip(student, teacher, strict=True):
        target = ((t - center) / teacher_temperature).exp()
        prediction = (s / student_temperature).exp()
        total = total - (target / target.sum() * (prediction / prediction.sum()).log()).sum()
    return total / len(student)


def paper(share):
    def plain(learner, views, projections):
        encoder, projector = learner._teacher
        with torch.no_grad():
            targets = [projector(code(encoder, view)).double() for view in views]
        temperature = 0.04 + 0.03 * min(1, share / 0.3)
        center = learner._criterion.center.double().flatten()
        given = center, 0.1, temperature
        return (
            cross_entropy(projections[0], targets[1], *given) + cross_entropy(projections[1], targets[0], *given)
        ) / 2

    return plain


@pytest.mark.parametrize("share", [0.0, 0.15, 0.8])
def test_a_step_descends_the_loss_of_the_paper_and_the_teacher_gets_no_gradient(share):
    assert_step_descends(DINO, paper(share), share)


def test_the_loss_with_a_center_is_that_of_the_paper_and_of_lightly():
    learner, run = prepared(DINO)
    views = torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).unbind()
    projections = torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(1)).unbind()
    targets = torch.stack(learner.targets(views))
    center = torch.randn(10, generator=torch.Generator().manual_seed(2)) / 10
    learner._criterion.center.copy_(center)
    expected = paper(0.0)(learner, views, [z.double() for z in projections])
    theirs = DINOLoss(10, student_temp=0.1)
    theirs.center.copy_(center)
    found = learner.objective(views, projections, run)
    assert float(found["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(found["loss"]) == pytest.approx(float(theirs(list(targets), list(projections), 0.04)), rel=1e-6)
    # Eq. 4 of the paper, with m = 0.9.
    torch.testing.assert_close(learner._criterion.center.flatten(), 0.9 * center + 0.1 * targets.mean((0, 1)))
    shares = ((targets - center) / 0.04).softmax(-1).double()
    entropy = -(shares * shares.clamp(min=1e-300).log()).sum(-1).mean() / math.log(10)
    assert float(found["target_entropy"]) == pytest.approx(float(entropy), rel=1e-5)


def test_the_temperature_of_the_teacher_rises_and_stays():
    learner = DINO(first_teacher_temperature=0.02, teacher_temperature=0.06, temperature_warmup=0.5)
    found = [learner.temperature_at(share) for share in (0, 0.25, 0.5, 1)]
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.06])
    assert DINO(temperature_warmup=0.0).temperature_at(0.0) == pytest.approx(0.07)


def test_prototypes_keep_the_length_one():
    learner, run = prepared(DINO)
    learner.step(blobs(6, (3, 32, 32)).batch(slice(0, 6)), learner._optimizers, run)
    assert torch.equal(learner._projector.last_layer.weight_g, torch.ones(10, 1))
