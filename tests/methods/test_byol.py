"""BYOL against the equations of the paper, its teacher included, and lightly's."""

from __future__ import annotations

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from reprbench.methods.byol import BYOL
from views import assert_step_descends, code, prepared


def normalized_error(predictions, targets):
    """Eq. 2 of the paper, averaged over the batch: ‖q̄ − z̄'‖² = 2 − 2 cos."""
    pairs = zip(predictions, targets, strict=True)
    return sum(((q / q.norm() - z / z.norm()) ** 2).sum() for q, z in pairs) / len(targets)


def paper(learner, views, projections):
    """The symmetrized loss of the paper; ours is a quarter of it less 1."""
    encoder, projector = learner._teacher
    with torch.no_grad():
        targets = [projector(code(encoder, view)).double() for view in views]
    first, second = (learner._predictor(z.float()).double() for z in projections)
    return (normalized_error(first, targets[1]) + normalized_error(second, targets[0])) / 4 - 1


def test_a_step_descends_the_loss_of_the_paper_and_the_teacher_gets_no_gradient():
    assert_step_descends(BYOL, paper)
    assert_step_descends(BYOL, paper, augmentation="byol-cifar")


def test_the_loss_is_that_of_lightly():
    learner, run = prepared(BYOL)
    views = torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0)).unbind()
    projections = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)).unbind()
    targets = learner.targets(views)
    first, second = (learner._predictor(z) for z in projections)
    criterion = NegativeCosineSimilarity()
    expected = (criterion(first, targets[1]) + criterion(second, targets[0])) / 2
    assert float(learner.objective(views, projections, run)["loss"]) == pytest.approx(float(expected), rel=1e-6)
