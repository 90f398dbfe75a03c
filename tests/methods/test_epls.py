from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from pydantic import ValidationError
from reprbench.methods import epls
from reprbench.methods.epls import EPLS, Inhibitor, loss_and_gradients, rescaled
from scipy.special import expit

from reprbench import UserError
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"receptive_field": 3, "n_features": 12, "n_patches": 130, "batch_size": 20, "passes": 3}
sizes = pytest.mark.parametrize(
    ("units", "samples", "batch"), [(1, 7, 3), (5, 50, 7), (7, 100, 100), (7, 100, 1), (16, 16, 5), (20, 13, 4)]
)


def rows(samples: int, units: int, seed: int = 0) -> np.ndarray:
    """Activations in [0, 1] that favor few units strongly, so that an inhibitor has something to do."""
    generator = np.random.default_rng(seed)
    return rescaled(expit(generator.normal(size=(samples, units)) + 6 * generator.normal(size=units)))


def in_batches(inhibitor: Inhibitor, activations: np.ndarray, size: int) -> np.ndarray:
    parts = [activations[start : start + size] for start in range(0, len(activations), size)]
    return np.concatenate([inhibitor.winners(part) for part in parts])


def slow_winners(activations, strict):
    """The rule of `Inhibitor`, sample by sample and unit by unit, with counts in the place of an inhibition."""
    samples, units = activations.shape
    wins, winners, share = [0] * units, [], samples // units
    for sample in range(samples):
        free = range(units)
        second_round = strict and min(wins) >= share
        if strict:
            free = [k for k in free if wins[k] < (share + 1 if second_round else share)]
        held_back = [(wins[k] - (share if second_round and share else 0)) * units / samples for k in range(units)]
        best = max(free, key=lambda k: activations[sample][k] - held_back[k])
        wins[best] += 1
        winners.append(best)
    return winners


@sizes
def test_every_unit_wins_equally_often(units, samples, batch):
    inhibitor = Inhibitor(units, samples)
    winners = in_batches(inhibitor, rows(samples, units), batch)
    wins = np.bincount(winners, minlength=units)
    assert set(wins) <= {samples // units, -(-samples // units)}
    assert np.array_equal(wins, inhibitor.wins) and wins.sum() == samples


def test_without_the_inhibitor_they_would_not():
    activations = rows(100, 7)
    assert np.bincount(activations.argmax(1), minlength=7).max() > 50


@sizes
@pytest.mark.parametrize("strict", [True, False])
def test_the_winners_are_those_of_an_independent_implementation(units, samples, batch, strict):
    inhibitor = Inhibitor(units, samples, strict)
    # In float64, so that no near tie falls otherwise.
    inhibitor.inhibition = inhibitor.inhibition.astype(np.float64)
    activations = rows(samples, units, seed=1)
    assert in_batches(inhibitor, activations, batch).tolist() == slow_winners(activations, strict)


@sizes
@pytest.mark.parametrize("strict", [True, False])
def test_how_a_pass_is_cut_into_batches_does_not_matter(units, samples, batch, strict):
    activations = rows(samples, units).astype(np.float32)
    whole = Inhibitor(units, samples, strict).winners(activations)
    assert np.array_equal(whole, in_batches(Inhibitor(units, samples, strict), activations, batch))


@pytest.mark.parametrize("strict", [True, False])
def test_identical_samples_of_one_batch_are_spread_over_all_units(strict):
    activations = np.repeat(np.linspace(0.4, 0.6, 8, dtype=np.float32)[None], 80, axis=0)
    wins = np.bincount(Inhibitor(8, 80, strict).winners(activations), minlength=8)
    # What separates the units, 0.2, is worth two wins of the ten.
    assert wins.min() >= (10 if strict else 8) and wins.max() <= (10 if strict else 12)


@pytest.mark.parametrize("batch", [1, 9, 300])
def test_the_published_rule_bounds_the_inhibitions_and_not_the_wins(batch):
    units, samples = 6, 300
    inhibitor = Inhibitor(units, samples, strict=False)
    in_batches(inhibitor, rows(samples, units), batch)
    np.testing.assert_allclose(inhibitor.inhibition, inhibitor.wins * units / samples, rtol=1e-4)
    assert np.ptp(inhibitor.inhibition) <= 1 + units / samples + 1e-4
    assert np.abs(inhibitor.wins - samples / units).max() > 1


def test_a_unit_that_had_its_share_is_out_only_in_the_strict_rule():
    # Unit 0 has won its share of 2 when the third sample asks for it at full strength.
    activations = np.array([[1, 0.1], [1, 0.1], [1, 0.1], [1, 0.1]], dtype=np.float32)
    assert Inhibitor(2, 4, strict=True).winners(activations).tolist() == [0, 0, 1, 1]
    assert Inhibitor(2, 4, strict=False).winners(activations).tolist() == [0, 0, 1, 0]


def test_the_activations_of_a_batch_are_rescaled_as_a_whole():
    scores = rescaled(np.array([[0.2, 0.3], [0.4, 0.25]]))
    np.testing.assert_allclose(scores, [[0, 0.5], [1, 0.25]])
    assert not rescaled(np.full((3, 2), 0.7)).any()


def whole_objective(batch, weights, bias, winners):
    """‖H − T‖² in NumPy, unit by unit, as a mean over the patches."""
    total = 0.0
    for patch, winner in zip(batch, winners, strict=True):
        for unit in range(len(bias)):
            target = 1.0 if unit == winner else 0.0
            total += (1 / (1 + np.exp(-(patch @ weights[unit] + bias[unit]))) - target) ** 2
    return total / len(batch)


def test_the_gradients_are_the_finite_differences_of_the_objective():
    generator = np.random.default_rng(0)
    batch, weights, bias = (generator.normal(size=shape) for shape in ((7, 4), (5, 4), 5))
    winners = np.array([0, 1, 4, 4, 2, 0, 3])
    activations = expit(batch @ weights.T + bias)
    tensors = [torch.from_numpy(array) for array in (batch, activations, winners)]
    loss, to_weights, to_bias = loss_and_gradients(*tensors)
    assert float(loss) == pytest.approx(whole_objective(batch, weights, bias, winners), rel=1e-12)
    assert np.array_equal(tensors[1].numpy(), activations)

    def difference(array, index, step=1e-5):
        values = []
        for sign in (1, -1):
            array[index] += sign * step
            values.append(whole_objective(batch, weights, bias, winners))
            array[index] -= sign * step
        return (values[0] - values[1]) / (2 * step)

    for array, gradient in ((weights, to_weights), (bias, to_bias)):
        expected = np.array([difference(array, index) for index in np.ndindex(array.shape)]).reshape(array.shape)
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 20, 500])
def test_in_every_pass_of_a_fit_each_patch_has_one_winner_and_each_unit_its_share(monkeypatch, batch_size):
    made = []

    class Kept(Inhibitor):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(epls, "Inhibitor", Kept)
    fitted(EPLS, blobs(), **{**SMALL, "batch_size": batch_size})
    assert len(made) == 3
    # 130 patches and 12 units: ten of them win eleven times.
    assert all(sorted(one.wins) == [10, 10] + [11] * 10 for one in made)


def test_every_pass_takes_all_patches_in_an_order_of_its_own(monkeypatch):
    orders, one_pass = [], EPLS.one_pass
    monkeypatch.setattr(EPLS, "one_pass", lambda self, *given: orders.append(given[1]) or one_pass(self, *given))
    fitted(EPLS, blobs(), **SMALL)
    assert [order.sort().values.tolist() for order in orders] == [list(range(130))] * 3
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_it_learns_units_that_meet_their_targets():
    learner, run = fitted(EPLS, blobs(60), **{**SMALL, "n_patches": 600, "passes": 12, "lr": 1e-2})
    losses, agreements = ([row[name] for row in run.history] for name in ("loss", "agreement"))
    # 1 is the loss of units that never fire, 1/12 the agreement of winners that nothing predicts.
    assert losses[-1] < 0.6 < losses[0]
    assert agreements[-1] > 0.7
    assert learner.dictionary.shape == (12, 9) and learner.bias.shape == (12,)


def test_other_targets_change_the_fit():
    strict, published = (fitted(EPLS, blobs(), **SMALL, strict=strict)[0] for strict in (True, False))
    assert not torch.equal(strict.dictionary, published.dictionary)


def test_the_encoders_are_their_formulas():
    images = blobs()
    x = images.batch(slice(0, 2))
    learner, _ = fitted(EPLS, images, **SMALL)
    patches = torch.rand(40, 9)
    r = learner.whitened(patches) @ learner.dictionary.T
    linear = torch.cat([r.clamp(min=0), (-r).clamp(min=0)], 1)
    torch.testing.assert_close(learner.activate(patches), linear, rtol=1e-4, atol=1e-5)
    learner.encoder = "logistic"
    logistic = torch.cat([1 / (1 + torch.exp(-learner.bias - r)), 1 / (1 + torch.exp(-learner.bias + r))], 1)
    torch.testing.assert_close(learner.activate(patches), logistic, rtol=1e-4, atol=1e-5)
    assert encoded(learner, x)["features"].shape == (2, 24, 6, 6)


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    undisturbed, run = fitted(EPLS, blobs(), **SMALL)
    one_pass, calls = EPLS.one_pass, iter(range(99))

    def interrupted(self, *given):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return one_pass(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(EPLS, "one_pass", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(EPLS, blobs(), **SMALL, folder=tmp_path)
    made = []
    monkeypatch.setattr(EPLS, "one_pass", lambda self, *given: made.append(1) or one_pass(self, *given))
    resumed, again = fitted(EPLS, blobs(), **SMALL, folder=tmp_path)
    # How many passes were kept depends on how long writing them took.
    assert 1 <= len(made) < 3
    state, other = learner_state(undisturbed), learner_state(resumed)
    assert state.keys() == other.keys() == {"mean", "matrix", "dictionary", "bias"}
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert [row["loss"] for row in run.history] == [row["loss"] for row in again.history]


@pytest.mark.parametrize("parameters", [{}, {"n_patches": 5, "encoder": "logistic"}])
def test_it_keeps_the_promises_of_a_learner(parameters):
    findings = check_learner(EPLS, {**SMALL, "passes": 2, **parameters}, shapes=[(1, 8, 8), (3, 9, 11)])
    assert not [(finding.check, finding.problem) for finding in findings if finding.problem]


def test_a_single_unit_wins_everything():
    learner, run = fitted(EPLS, blobs(), **{**SMALL, "n_features": 1})
    assert run.history[-1]["agreement"] == 1 and run.history[-1]["loss"] < run.history[0]["loss"] < 0.3
    assert learner.dictionary.isfinite().all() and learner.bias.isfinite().all()


def test_mistakes_are_reported():
    with pytest.raises(UserError, match="10×10 do not fit into images of 8×8 pixels; set receptive_field"):
        EPLS().build((1, 8, 8))
    for wrong in ({"lr": 0}, {"encoder": "hard"}, {"n_features": 0}):
        with pytest.raises(ValidationError):
            EPLS(**wrong)
