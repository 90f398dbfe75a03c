"""SimSiam against the equations of the paper, with its stop-gradient, and lightly's."""

from __future__ import annotations

import torch
from lightly.loss import NegativeCosineSimilarity
from reprbench.methods.simsiam import SimSiam
from views import assert_step_descends, code, prepared


def distance(prediction, target):
    """Eq. 1 of the paper, averaged over the batch."""
    return -sum((p @ z) / (p.norm() * z.norm()) for p, z in zip(prediction, target, strict=True)) / len(target)


def paper(learner, views, projections):
    """Eq. 4; the constants are computed without any graph, and so is nothing of them in the gradient."""
    with torch.no_grad():
        constants = [learner._projector(code(learner.encoder, view)).double() for view in views]
    first, second = (learner._predictor(z.float()).double() for z in projections)
    return distance(first, constants[1]) / 2 + distance(second, constants[0]) / 2


def test_a_step_descends_the_loss_of_the_paper_with_its_stop_gradient():
    assert_step_descends(SimSiam, paper)


def test_the_loss_is_that_of_lightly():
    learner, run = prepared(SimSiam)
    projections = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0)).unbind()
    first, second = (learner._predictor(z) for z in projections)
    criterion = NegativeCosineSimilarity()
    expected = (criterion(first, projections[1]) + criterion(second, projections[0])) / 2
    assert torch.equal(learner.objective([], projections, run)["loss"], expected)


def test_the_targets_get_no_gradient():
    learner, run = prepared(SimSiam)
    one, other = (torch.randn(7, 12, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    one.requires_grad_()
    # Without the prediction of the first view, the first z is a target alone.
    learner._predictor = torch.nn.Identity()
    learner.objective([], [one.detach(), other], run)
    loss = learner._criterion(other, one.detach()) + learner._criterion(one, other)
    (expected,) = torch.autograd.grad(loss / 2, one)
    (found,) = torch.autograd.grad(learner.objective([], [one, other], run)["loss"], one)
    torch.testing.assert_close(found, expected)
