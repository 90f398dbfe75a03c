"""The deconvolutional network: what it learns and when, what it reconstructs, and what it promises."""

from __future__ import annotations

import pytest
import torch
from fits import blobs, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.deconvnet import DeconvNet, contrast_normalized
from reprbench.methods.deconvolution import (
    length,
)

from reprbench import Budget, Reconstructs, Resumes, Run, UserError
from reprbench.learner import make
from reprbench.run_context import seeded
from reprbench.state import learner_state
from reprbench.testing import check_learner

CHEAP = {"maps": (4, 5, 6), "lambdas": (5.0, 5.0, 2.0), "kernel": 3, "pool": 2, "batch_size": 8}
SHAPE = (2, 6, 7)


def cost(reconstruction, z, y, fidelity):
    """Return each image's C_l."""
    errors = reconstruction.images(z) - y
    return fidelity / 2 * errors.square().sum((1, 2, 3)) + z.abs().sum((1, 2, 3))


def test_it_keeps_the_promises_of_every_learner():
    assert not [
        finding
        for finding in check_learner(DeconvNet, {**CHEAP, "maps": (3, 4), "lambdas": (5.0, 5.0), "ista_steps": 4})
        if finding.problem
    ]


def test_it_can_reconstruct_and_resume():
    learner = DeconvNet(**CHEAP)
    assert isinstance(learner, Reconstructs) and isinstance(learner, Resumes)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
def test_the_defaults_take_small_images(shape):
    learner = make(DeconvNet, {"ista_steps": 1}, shape)
    _, height, width = shape
    layers = encoded(learner, blobs(2, shape).batch(slice(0, 2)))
    for layer, count in zip(layers.values(), (15, 50, 100, 150), strict=True):
        assert layer.shape == (2, count, height + 6, width + 6)
        height, width = -(-(height + 6) // 3), -(-(width + 6) // 3)
    assert list(layers) == ["layer1", "layer2", "layer3", "layer4"]


def test_every_plane_of_every_filter_has_norm_one_before_and_after_learning():
    images = blobs()
    for learner in (make(DeconvNet, CHEAP, images.shape), fitted(DeconvNet, images, epochs=6, **CHEAP)[0]):
        for filters in learner.filters:
            torch.testing.assert_close(filters.square().sum((2, 3)), torch.ones(filters.shape[:2]))


def test_layers_are_learned_in_turn_and_those_below_stay():
    images = blobs(24)
    learner, run = fitted(DeconvNet, images, epochs=6, **CHEAP)
    assert [row["layer"] for row in run.history] == [1, 1, 2, 2, 3, 3]
    with seeded(0, "weights"):
        start = make(DeconvNet, CHEAP, images.shape)
    part = make(DeconvNet, CHEAP, images.shape)
    part.filters.load_state_dict(start.filters.state_dict())
    run = Run(0, Budget(epochs=6))
    part.prepare(run)
    part._done, part._total = 17, 18
    take_step(part, run, images.batch(slice(0, 8)))
    moved = [not torch.equal(one, other) for one, other in zip(part.filters, start.filters, strict=True)]
    assert moved == [False, False, True]
    assert all(not torch.equal(one, other) for one, other in zip(learner.filters, start.filters, strict=True))


def test_the_history_has_the_cost_of_the_layer():
    images = blobs()
    learner, run = fitted(DeconvNet, images, **CHEAP)
    x = images.batch(slice(0, 8))
    learner._done, learner._total = 0, 9
    y, _, _ = contrast_normalized(x)
    z, reconstruction = next(learner._inferred(y, 1))
    # The step changes the filters that `reconstruction` holds.
    objective, errors = cost(reconstruction, z, y, 5.0).mean(), (reconstruction.images(z) - y).square().mean()
    values = take_step(learner, run, x)
    torch.testing.assert_close(values["objective"], objective)
    torch.testing.assert_close(values["sparsity"], z.abs().sum((1, 2, 3)).mean())
    torch.testing.assert_close(values["reconstruction"], errors)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
def test_every_layer_reconstructs_better_after_learning(shape):
    images = blobs(32, shape)
    x = images.batch(slice(0, 32))
    fresh, (learner, _) = make(DeconvNet, CHEAP, shape), fitted(DeconvNet, images, epochs=12, **CHEAP)
    constant = (x - x.mean((1, 2, 3), keepdim=True)).square().mean()
    for layer in ("layer1", "layer2", "layer3"):
        with torch.inference_mode():
            before, after = fresh.reconstruct(x, layer), learner.reconstruct(x, layer)
        assert after.shape == x.shape
        assert after.min() >= 0 and after.max() <= 1
        assert (after - x).square().mean() < min((before - x).square().mean(), 0.5 * constant)
    assert torch.equal(after, learner.reconstruct(x))


def test_an_image_of_one_color_is_reconstructed_from_its_mean():
    learner = make(DeconvNet, CHEAP, (3, 8, 8))
    x = torch.full((2, 3, 8, 8), 0.25)
    assert all(not layer.any() for layer in encoded(learner, x).values())
    torch.testing.assert_close(learner.reconstruct(x), x)


def test_normalizing_takes_mean_and_contrast_away_and_they_give_the_image_back():
    x = torch.rand(4, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    y, mean, contrast = contrast_normalized(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(length(y).square().flatten() / y[0].numel(), torch.ones(4), atol=2e-3, rtol=0)
    torch.testing.assert_close(y * contrast + mean, x)


def test_brightness_and_contrast_hardly_change_the_maps():
    images = blobs()
    learner, _ = fitted(DeconvNet, images, **CHEAP)
    x = images.batch(slice(0, 4))
    one, other = encoded(learner, x), encoded(learner, 0.2 + 0.7 * x)
    torch.testing.assert_close(other["layer1"], one["layer1"], atol=0.01, rtol=0.01)


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, _ = fitted(DeconvNet, images, epochs=6, **CHEAP)
    interrupted = make(DeconvNet, CHEAP, images.shape)
    with seeded(0, "weights"):
        interrupted.build(images.shape)
    step, steps = interrupted.step, iter(range(99))

    def stop_at_eleven(*batch):
        if next(steps) == 11:
            raise KeyboardInterrupt
        return step(*batch)

    interrupted.step = stop_at_eleven
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(images, Run(0, Budget(epochs=6), folder=tmp_path))
    resumed, _ = fitted(DeconvNet, images, epochs=6, folder=tmp_path, **CHEAP)
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_layer_without_active_entries_is_reported():
    learner, run = fitted(DeconvNet, blobs(), epochs=4, **{**CHEAP, "lambdas": (5.0, 1e-6, 1e-6)})
    warnings = learner.warnings(run.history)
    assert [warning.split("'")[0] for warning in warnings] == ["no entry of layer 2", "no entry of layer 3"]
    learner, run = fitted(DeconvNet, blobs(), epochs=4, **CHEAP)
    assert learner.warnings(run.history) == []


def test_an_unknown_layer_is_refused():
    learner = make(DeconvNet, CHEAP, (1, 8, 8))
    with pytest.raises(UserError, match="layer1, layer2, layer3, not from 'layer4'"):
        learner.reconstruct(torch.rand(1, 1, 8, 8), "layer4")


@pytest.mark.parametrize("wrong", [{"maps": (4, 5)}, {"maps": (), "lambdas": ()}])
def test_layers_without_their_lambda_are_refused(wrong):
    with pytest.raises(UserError, match="make them equally long"):
        make(DeconvNet, {**CHEAP, **wrong}, (1, 8, 8))


@pytest.mark.parametrize("wrong", [{"maps": (0,)}, {"lambdas": (-1.0,)}, {"kernel": 0}, {"pool": 0}, {"ista_steps": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DeconvNet(**wrong)
