"""Collapse: what is measured of the codes of a batch, by all learners that have no other sign of it."""

from __future__ import annotations

import math

import pytest
import torch
from fits import blobs, fitted
from reprbench.methods.collapse import COLLAPSED, collapse_warnings, relative_std, spread
from reprbench.methods.mae import MAE, at, patches
from reprbench.methods.networks import global_average
from reprbench.methods.rotation import Rotation, rotations
from views import prepared

from reprbench import Run
from reprbench.run_context import Budget

each = pytest.mark.parametrize("cls", [MAE, Rotation], ids=lambda cls: cls.method_name)


def test_the_spread_is_one_for_directions_without_preference_and_zero_for_one_direction():
    vectors = torch.randn(4000, 50, generator=torch.Generator().manual_seed(0))
    assert float(relative_std(vectors)) == pytest.approx(1, abs=0.01)
    assert float(relative_std(7 * vectors)) == pytest.approx(float(relative_std(vectors)))
    assert float(relative_std(torch.ones(10, 50) * torch.arange(1, 11)[:, None])) < 1e-3
    plain = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
    expected = plain.std(dim=0, unbiased=True).mean() * math.sqrt(50)
    assert float(relative_std(vectors)) == pytest.approx(float(expected), rel=1e-5)


def test_one_vector_alone_has_no_spread():
    assert spread("code_std", torch.ones(1, 3)) == {}
    assert spread("code_std", torch.ones(2, 3)).keys() == {"code_std"}


@pytest.mark.parametrize(("value", "count"), [(0.0, 1), (COLLAPSED - 1e-6, 1), (COLLAPSED, 0), (1.0, 0)])
def test_the_last_epoch_counts(value, count):
    assert len(collapse_warnings([{"code_std": 1 - value}, {"code_std": value}])) == count
    assert collapse_warnings([]) == collapse_warnings([{"loss": 0.0}]) == []


@each
def test_a_fit_logs_the_spread_of_finite_codes_even_of_single_images(cls):
    _, run = fitted(cls, blobs(20))
    assert all(0 < row["code_std"] < 1.5 for row in run.history)
    _, run = fitted(cls, blobs(3), batch_size=1)
    assert all(math.isfinite(value) for row in run.history for value in row.values())


@each
def test_codes_of_one_direction_get_a_warning(cls):
    learner, run = prepared(cls)
    with torch.no_grad():
        if cls is MAE:
            learner.encoder.norm.weight.zero_()
            learner.encoder.norm.bias.fill_(1)
        else:
            learner.encoder.last.scale.zero_()
            learner.encoder.last.offset.fill_(1)
    values = learner.loss(blobs(6, (3, 32, 32)).batch(slice(0, 6)), run)
    (warning,) = learner.warnings([{name: float(value.detach()) for name, value in values.items()}])
    assert warning.startswith("representations hardly differ in direction, which may be a collapse: ")
    assert "was 0.000/√d in the last epoch (below 0.1/√d)" in warning


def test_of_rotation_it_is_that_of_the_averaged_codes_of_all_rotations():
    learner, run = prepared(Rotation)
    x = blobs(6, (3, 32, 32)).batch(slice(0, 6))
    found = learner.loss(x, run)["code_std"]
    *_, representation = learner.encoder(rotations(x)).values()
    assert not found.requires_grad
    assert torch.equal(found, relative_std(global_average(representation)))


def test_of_mae_it_is_that_of_the_averaged_visible_tokens():
    learner, run = prepared(MAE)
    x = blobs(6, (3, 32, 32)).batch(slice(0, 6))
    found = learner.loss(x, run)["code_std"]
    pixels = patches(x, learner._side)
    visible, _ = learner.places(pixels, Run(0, Budget(epochs=1)))
    *_, tokens = learner.encoder(learner.encoder.embed(at(pixels, visible)), visible)
    assert not found.requires_grad
    assert torch.equal(found, relative_std(tokens.mean(1)))
