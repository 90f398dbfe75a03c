"""VICReg against the equations of the paper, as the authors' code has them, and lightly's."""

from __future__ import annotations

import pytest
import torch
from lightly.loss import VICRegLoss
from reprbench.methods.vicreg import VICReg
from views import assert_step_descends, prepared


def terms(projections):
    """Eq. 1–5 of the paper; the invariance is divided by d, and the variance terms are averaged."""
    one, other = projections
    count, length = one.shape
    invariance = ((one - other) ** 2).sum() / (count * length)
    variance = covariance = 0
    for z in projections:
        centered = z - z.mean(0)
        matrix = centered.T @ centered / (count - 1)
        deviations = (matrix.diagonal() + 1e-4).sqrt()
        variance = variance + sum(max(1 - d, torch.zeros_like(d)) for d in deviations) / length / 2
        covariance = covariance + (matrix**2).sum() / length - (matrix.diagonal() ** 2).sum() / length
    return invariance, variance, covariance


def paper(projections, weights=(25, 25, 1)):
    return sum(weight * term for weight, term in zip(weights, terms(projections), strict=True))


def test_a_step_descends_the_loss_of_the_paper():
    assert_step_descends(VICReg, lambda learner, views, z: paper(z))


def test_the_loss_is_that_of_lightly():
    learner, run = prepared(VICReg, invariance=5.0, variance=7.0, covariance=3.0)
    projections = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0)).mul(0.8).unbind()
    found = learner.objective([], projections, run)
    torch.testing.assert_close(found["loss"], VICRegLoss(5.0, 7.0, 3.0)(*projections), rtol=1e-6, atol=0)
    expected = terms([z.double() for z in projections])
    names = ("invariance", "variance", "covariance")
    assert [float(found[name]) for name in names] == pytest.approx([float(term) for term in expected], rel=1e-5)
    assert float(found["loss"]) == pytest.approx(float(paper([z.double() for z in projections], (5, 7, 3))), rel=1e-5)


def test_the_variance_term_shows_a_collapse():
    learner, run = prepared(VICReg)
    z = torch.ones(6, 8)
    found = learner.objective([], [z, z], run)
    assert float(found["variance"]) == pytest.approx(0.99, rel=1e-4)
    assert float(found["invariance"]) == float(found["covariance"]) == 0
