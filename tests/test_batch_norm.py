"""The averages of batch normalizations against a plain computation in float64, and what measuring must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from reprbench import Budget, Images, Learner, Run, TorchLearner, batch_norm, measure_batch_norm
from reprbench.batch_norm import chosen, difference, normalizations
from reprbench.run_context import seeded
from reprbench.training import train

SHAPE = (1, 6, 6)


class Coder(TorchLearner):
    """An encoder and a decoder with batch normalization and dropout, and a network that evaluation never uses."""

    batch_size = 16
    momentum: float = 0.1

    def build(self, shape):
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(36, 5), nn.BatchNorm1d(5, momentum=self.momentum), nn.ReLU()
        )
        self.decoder = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 36))
        self.critic = nn.BatchNorm1d(36)

    def optimizers(self):
        return torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=0.05)

    def loss(self, x, run):
        made = self.decoder(self.encoder(x))
        self.critic(made.detach())
        return (made - x.flatten(1)).square().mean()

    def encode(self, x):
        return {"code": self.encoder(x)}

    def reconstruct(self, x, layer=None):
        return self.decoder(self.encode(x)["code"]).view_as(x).clamp(0, 1)


class Plain(Coder):
    """The same without batch normalization."""

    def build(self, shape):
        super().build(shape)
        self.encoder[2] = self.decoder[2] = self.critic = nn.Identity()


def images(count=100):
    return Images(np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8))


def fitted(cls=Coder, epochs=3, count=100, watched=False, **parameters):
    with seeded(0, "weights"):
        learner = cls(**parameters)
        learner.build(SHAPE)
    run = Run(0, Budget(epochs=epochs), watched=images(3).batch(slice(0, 3)) if watched else None)
    with seeded(0, "fit"):
        learner.fit(images(count), run)
    return learner, run


def averages(learner):
    return [buffer.clone() for unit in normalizations(learner) for buffer in (unit.running_mean, unit.running_var)]


def assert_averages(unit, batches):
    """The batches are the normalization's inputs (N, C)."""
    torch.testing.assert_close(unit.running_mean.double(), torch.stack([x.mean(0) for x in batches]).mean(0))
    torch.testing.assert_close(unit.running_var.double(), torch.stack([x.var(0) for x in batches]).mean(0))


def normalized(unit, x, mean, variance):
    return (x - mean) / (variance + unit.eps).sqrt() * unit.weight.double() + unit.bias.double()


def linear(layer, x):
    return x @ layer.weight.double().T + layer.bias.double()


@pytest.mark.parametrize("most", [100, 60])
def test_averages_are_those_of_the_chosen_images_as_they_are_evaluated(monkeypatch, most):
    monkeypatch.setattr(Coder, "encode_batch_size", 40)
    learner, run = fitted()
    for network in (learner.encoder, learner.decoder):
        network.train()
    assert measure_batch_norm(learner, images(), run, most) == most
    for network in (learner.encoder, learner.decoder):
        network.eval()
    rows = chosen(images(), run, most)
    assert len(set(rows.tolist())) == most
    parts = np.array_split(rows, most // 20)
    batches = [images().batch(part).flatten(1).double() for part in parts]
    with torch.no_grad():
        inner = [linear(learner.encoder[1], x) for x in batches]
        unit = learner.encoder[2]
        assert_averages(unit, inner)
        # The decoder sees the codes by the averages that were just measured, and no dropout.
        codes = [normalized(unit, h, unit.running_mean.double(), unit.running_var.double()).relu() for h in inner]
        assert_averages(learner.decoder[2], [linear(learner.decoder[0], h) for h in codes])


def test_weights_are_those_of_a_fit_without_and_unused_networks_keep_their_averages():
    kept = type("Kept", (Coder,), {"remeasure_batch_norm": False})
    (ours, run), (theirs, other) = fitted(), fitted(kept)
    assert all(torch.equal(a, b) for a, b in zip(ours.encoder.parameters(), theirs.encoder.parameters(), strict=True))
    assert torch.equal(ours.critic.running_mean, theirs.critic.running_mean)
    assert not torch.equal(ours.encoder[2].running_mean, theirs.encoder[2].running_mean)
    assert run.generator("x").get_state().equal(other.generator("x").get_state())
    assert [{**row, "seconds": 0} for row in run.history] == [{**row, "seconds": 0} for row in other.history]
    assert run.images_seen == other.images_seen == 3 * 96


@pytest.mark.parametrize("keep", [False, True])
def test_snapshots_do_not_change_the_fit(keep):
    cls = type("Case", (Coder,), {"remeasure_batch_norm": not keep})
    (ours, run), (theirs, _) = fitted(cls, watched=True), fitted(cls)
    assert [epoch for epoch, _ in run.snapshots] == [0, 1, 2, 3]
    assert all(torch.equal(a, b) for a, b in zip(averages(ours), averages(theirs), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(ours.encoder.parameters(), theirs.encoder.parameters(), strict=True))
    with torch.no_grad():
        assert torch.equal(ours.reconstruct(run.watched), run.snapshots[-1][1])


def test_averages_that_a_step_looks_at_are_put_back_after_a_snapshot():
    class Looking(Coder):
        def loss(self, x, run):
            unit = self.encoder[2]
            seen = unit.running_mean.sum() + unit.running_var.sum() + unit.num_batches_tracked
            return {"loss": super().loss(x, run), "seen": seen}

    (_, watched), (_, plain) = fitted(Looking, watched=True), fitted(Looking)
    assert [row["seen"] for row in watched.history] == [row["seen"] for row in plain.history]


def test_a_snapshot_shows_the_learner_with_averages_of_its_own():
    # With an average that never moves, all that a snapshot can know of the statistics is measured for it.
    _, run = fitted(watched=True, momentum=0.0)
    (early, short), (late, _) = fitted(epochs=1, watched=True, momentum=0.0), fitted(epochs=3, momentum=0.0)
    assert run.snapshots[1][0] == short.snapshots[1][0] == 1
    torch.testing.assert_close(run.snapshots[1][1], short.snapshots[1][1])
    assert not torch.allclose(averages(early)[0], averages(late)[0])


def test_frozen_normalizations_keep_their_averages_and_are_not_compared():
    class Frozen(Coder):
        def loss(self, x, run):
            self.encoder[2].eval()
            return super().loss(x, run)

    learner, run = fitted(Frozen)
    assert not learner.encoder[2].running_mean.any()
    assert learner.decoder[2].running_mean.any()
    assert run.warnings == []


def test_modes_momentum_and_what_the_modules_contain_are_left_alone():
    learner, _ = fitted(momentum=0.3)
    assert [unit.momentum for unit in normalizations(learner)] == [0.3, 0.1, 0.1]
    assert not any(module.training for module in learner.decoder.modules())
    assert not any(unit._forward_pre_hooks for unit in normalizations(learner))


def test_a_broken_pass_leaves_modes_momentum_and_hooks_alone():
    learner, run = fitted()
    unit = learner.encoder[2].train()
    learner.batch_norm_passes = lambda generator: [lambda x: learner.encode(x) and 1 / 0]
    with pytest.raises(ZeroDivisionError):
        measure_batch_norm(learner, images(), run)
    assert (unit.training, unit.momentum, len(unit._forward_pre_hooks)) == (True, 0.1, 0)


def test_a_learner_without_normalizations_costs_nothing(monkeypatch):
    monkeypatch.setattr(Plain, "batch_norm_passes", lambda self, generator: pytest.fail("asked for passes"))
    monkeypatch.setattr(batch_norm, "difference", lambda *given: pytest.fail("compared"))
    _, run = fitted(Plain, watched=True)
    assert len(run.snapshots) == 4


def test_an_average_that_is_not_finite_is_forgotten():
    learner, run = fitted()
    unit = learner.encoder[2].train()
    unit.running_mean.fill_(math.inf)
    unit.running_var.fill_(math.nan)
    assert measure_batch_norm(learner, images(), run) == 100
    assert unit.running_mean.isfinite().all()
    assert unit.running_var.isfinite().all()


def test_one_image_has_no_statistics():
    learner, run = fitted()
    learner.encoder.train()
    before = averages(learner)
    assert measure_batch_norm(learner, images(1), run) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, averages(learner), strict=True))


def test_a_pass_of_its_own_draws_the_same_every_time():
    class Generating(Coder):
        def batch_norm_passes(self, generator):
            def generate(x):
                return self.critic(torch.rand(len(x), 36, generator=generator))

            return [*super().batch_norm_passes(generator), generate]

    (ours, _), (watched, _) = fitted(Generating), fitted(Generating, watched=True)
    assert (ours.critic.running_mean - 0.5).abs().max() < 0.15
    torch.testing.assert_close(ours.critic.running_var, torch.full((36,), 1 / 12), rtol=0.5, atol=0)
    assert torch.equal(ours.critic.running_mean, watched.critic.running_mean)


def test_the_difference_is_that_of_the_features_and_changes_nothing():
    learner, _ = fitted()
    x = images().batch(slice(0, 30))
    state = {name: tensor.clone() for name, tensor in learner.encoder.state_dict().items()}
    layer, share = difference(learner, [learner.encoder[2]], x)
    assert all(torch.equal(state[name], tensor) for name, tensor in learner.encoder.state_dict().items())
    assert not learner.encoder[2].training
    with torch.no_grad():
        running = learner.encoder(x)
        learner.encoder.train()
        batch = learner.encoder(x)
    assert layer == "code"
    assert share == pytest.approx(float((batch - running).norm() / batch.norm()), rel=1e-5)


@pytest.mark.parametrize("keep", [False, True])
def test_stale_averages_are_a_warning_of_the_run(keep):
    cls = type("Case", (Coder,), {"remeasure_batch_norm": not keep})
    _, run = fitted(cls, momentum=0.0)
    assert ["layer 'code' that differ by" in warning for warning in run.warnings] == [True] * keep


def test_a_loop_of_ones_own_is_measured_like_that_of_the_harness():
    class Standardized(Learner):
        def build(self, shape):
            self.norm = nn.BatchNorm2d(shape[0])

        def fit(self, images, run):
            train(self, images, run, lambda x, rows: {"mean": self.norm(x).mean()}, batch_size=10)
            self.norm.eval()

        def encode(self, x):
            return {"standardized": self.norm(x)}

        def training_state(self):
            return self.norm.state_dict()

        def load_training_state(self, state):
            self.norm.load_state_dict(state)

    learner, _ = fitted(Standardized)
    pixels = images().batch(slice(0, 100)).double()
    assert learner.norm.running_mean.item() == pytest.approx(pixels.mean().item(), rel=1e-5)
    assert learner.norm.running_var.item() == pytest.approx(pixels.var().item(), rel=1e-5)
