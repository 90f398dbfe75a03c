from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.stacked_dae import StackedDAE, masked
from scipy.special import expit

from reprbench import Decodes, Reconstructs, Resumes, UserError
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"widths": (7, 6, 5), "corruptions": (0.1, 0.2, 0.3), "batch_size": 8}


def arrays(layer):
    return [p.detach().double().numpy() for p in (layer.weight, layer.hidden_bias, layer.visible_bias)]


def independent_loss(weight, c, b, clean, shown) -> float:
    """The denoising loss of one layer as the paper writes it: the cross-entropy of σ(b + σ(c + x̃W) Wᵀ) and x."""
    z = expit(b + expit(c + shown @ weight) @ weight.T)
    losses = [-(x @ np.log(y) + (1 - x) @ np.log(1 - y)) for x, y in zip(clean, z, strict=True)]
    return float(np.mean(losses))


def test_each_layer_learns_only_in_its_turn():
    images = blobs(32)
    learner, _ = fitted(StackedDAE, images, **SMALL)
    # 8 steps for three layers.
    learner._done, learner._total, moved = 0, 8, []
    run = Run(0, Budget(epochs=2))
    for _ in range(8):
        before = {name: tensor.clone() for name, tensor in learner_state(learner).items()}
        learner.layers.zero_grad()
        values = take_step(learner, run, images.batch(slice(0, 8)))
        after = learner_state(learner)
        moved.append({name for name in before if not torch.equal(before[name], after[name])})
        assert {f"layers.{int(values['layer']) - 1}"} == {name.rpartition(".")[0] for name in moved[-1]}
        # Nothing goes back into frozen layers.
        assert moved[-1] == {f"layers.{name}" for name, p in learner.layers.named_parameters() if p.grad is not None}
    assert all(len(names) == 3 for names in moved)
    assert [min(names)[:8] for names in moved] == ["layers.0"] * 3 + ["layers.1"] * 3 + ["layers.2"] * 2


def test_the_harness_gives_every_layer_its_turn():
    _, run = fitted(StackedDAE, blobs(32), epochs=6, **SMALL)
    assert [row["layer"] for row in run.history] == [1, 1, 2, 2, 3, 3]
    _, run = fitted(StackedDAE, blobs(32), epochs=2, **SMALL)
    assert [row["layer"] for row in run.history] == [1.25, 2.5]


class Clock(Run):
    elapsed = 0.0


def test_a_budget_of_seconds_is_divided_by_the_clock():
    images = blobs(16)
    learner, _ = fitted(StackedDAE, images, **SMALL)
    for budget in (Budget(seconds=9), Budget(seconds=9, epochs=1000)):
        run = Clock(0, budget)
        learner._done, learner._total = 0, budget.steps(len(images), 8)
        layers = []
        for run.elapsed in (0.0, 2.9, 3.1, 5.9, 6.1, 8.9, 9.1):
            layers.append(int(take_step(learner, run, images.batch(slice(0, 8)))["layer"]))
        assert layers == [1, 1, 2, 2, 3, 3, 3]


def test_seconds_that_are_not_needed_change_nothing():
    images = blobs(32)
    learner, _ = fitted(StackedDAE, images, **SMALL)
    with seeded(0, "weights"):
        other = make(StackedDAE, SMALL, images.shape)
    other.fit(images, Run(0, Budget(epochs=1, seconds=3600)))
    one, two = learner_state(learner), learner_state(other)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_step_descends_the_loss_of_the_paper_by_finite_differences(depth):
    images, lr = blobs(8, (1, 2, 4)), 0.5
    parameters = {"widths": (5, 4, 3), "corruptions": (0.3, 0.4, 0.5), "batch_size": 8, "lr": lr}
    learner, _ = fitted(StackedDAE, images, **parameters)
    learner._done, learner._total = depth, 3
    weights = arrays(learner.layers[depth])
    x = images.batch(slice(0, 8))
    clean = images.pixels(slice(0, 8)).reshape(8, 8) / 255
    for below in list(learner.layers)[:depth]:
        weight, c, _ = arrays(below)
        clean = expit(c + clean @ weight)
    drawn = torch.rand(clean.shape, generator=Run(5, Budget(epochs=1)).generator("noise")).numpy()
    shown = np.where(drawn < parameters["corruptions"][depth], 0, clean)
    value = take_step(learner, Run(5, Budget(epochs=1)), x)["loss"]
    assert float(value.detach()) == pytest.approx(independent_loss(*weights, clean, shown), rel=1e-5)
    for old, new in zip(weights, arrays(learner.layers[depth]), strict=True):
        gradient = np.zeros_like(old)
        for place in np.ndindex(old.shape):
            start, values = old[place], []
            for shift in (1e-5, -1e-5):
                old[place] = start + shift
                values.append(independent_loss(*weights, clean, shown))
            old[place] = start
            gradient[place] = (values[0] - values[1]) / 2e-5
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(new, old - lr * gradient, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_masking_sets_its_share_of_numbers_to_zero_independently(share):
    x = torch.rand(100, 400) + 0.1
    run = Run(0, Budget(epochs=1))
    shown = masked(x, share, run)
    zero = shown == 0
    # Four standard deviations.
    assert zero.double().mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / x.numel()))
    assert torch.equal(shown[~zero], x[~zero])
    if share:
        # Neither rows nor columns are masked as wholes.
        assert zero.double().mean(0).std() < 0.06 and zero.double().mean(1).std() < 0.03
        assert not torch.equal(masked(x, share, run), shown)
        assert torch.equal(masked(x, share, Run(0, Budget(epochs=1))), shown)


def test_it_encodes_and_reconstructs_from_every_layer():
    images = blobs(12, (3, 9, 11))
    learner, _ = fitted(StackedDAE, images, **SMALL)
    assert isinstance(learner, Reconstructs) and isinstance(learner, Decodes) and isinstance(learner, Resumes)
    x = images.batch(slice(0, 5))
    code = images.pixels(slice(0, 5)).reshape(5, -1) / 255
    codes = encoded(learner, x)
    assert list(codes) == ["layer1", "layer2", "layer3"]
    for depth, (name, ours) in enumerate(codes.items(), start=1):
        weight, c, _ = arrays(learner.layers[depth - 1])
        code = expit(c + code @ weight)
        np.testing.assert_allclose(ours, code, rtol=1e-4, atol=1e-6)
        image = code
        for layer in list(learner.layers)[:depth][::-1]:
            weight, _, b = arrays(layer)
            image = expit(b + image @ weight.T)
        shown = learner.reconstruct(x, name).detach()
        np.testing.assert_allclose(shown, image.reshape(5, 3, 9, 11), rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(learner.reconstruct(x), shown)
        torch.testing.assert_close(learner.decode(ours), shown)
    with pytest.raises(UserError, match="no layer 'layer4'; expected one of layer1, layer2, layer3"):
        learner.reconstruct(x, "layer4")


def test_every_layer_learns_to_undo_the_noise():
    images = blobs(40)
    learner, run = fitted(StackedDAE, images, epochs=240, lr=0.05, **{**SMALL, "widths": (30, 20, 10)})
    losses = np.array([row["loss"] for row in run.history]).reshape(3, 80)
    assert (losses[:, -10:].mean(1) < 0.9 * losses[:, 0]).all()
    x = images.batch(slice(None))
    # Better than the best constant image, from all layers.
    spread = (x - x.mean(0)).square().mean()
    for name in ("layer1", "layer2", "layer3"):
        assert (learner.reconstruct(x, name) - x).square().mean() < 0.7 * spread


def test_an_interrupted_fit_goes_on_bit_for_bit_in_the_same_turn(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, run = fitted(StackedDAE, images, epochs=3, **SMALL)
    with seeded(0, "weights"):
        interrupted = make(StackedDAE, SMALL, images.shape)
    step, steps = interrupted.step, iter(range(99))
    interrupted.step = lambda *batch: interrupt() if next(steps) == 7 else step(*batch)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(images, Run(0, Budget(epochs=3), folder=tmp_path))
    resumed, second_run = fitted(StackedDAE, images, epochs=3, folder=tmp_path, **SMALL)
    one, two = learner_state(undisturbed), learner_state(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [row["layer"] for row in run.history] == [row["layer"] for row in second_run.history] == [1, 2, 3]


def test_fewer_steps_than_layers_are_reported():
    learner, run = fitted(StackedDAE, blobs(16), **SMALL)
    assert learner.warnings(run.history) == ["some layers never learned: 3 layers had 2 steps in total"]
    learner, run = fitted(StackedDAE, blobs(24), **SMALL)
    assert learner.warnings(run.history) == []


def test_it_keeps_the_promises_of_a_learner():
    assert not [finding for finding in check_learner(StackedDAE, SMALL) if finding.problem]


def test_noise_for_other_layers_than_there_are_is_refused():
    with pytest.raises(UserError, match="3 corruptions for 2 widths; expected one per layer"):
        make(StackedDAE, {"widths": [4, 4]}, (1, 8, 8))
    learner = make(StackedDAE, {"widths": [4], "corruptions": [0.5]}, (1, 8, 8))
    assert list(encoded(learner, torch.rand(2, 1, 8, 8))) == ["layer1"]


@pytest.mark.parametrize("wrong", [{"widths": []}, {"widths": [0]}, {"corruptions": [1.0]}, {"lr": 0}, {"noise": 0.1}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        StackedDAE(**wrong)


def interrupt():
    raise KeyboardInterrupt
