from __future__ import annotations

import numpy as np
import pytest
import torch
from common import noise
from torch import nn

from reprbench.errors import Diverged
from reprbench.run_context import Run, derive_seed, seeded
from reprbench.spec import Budget
from reprbench.torch_learner import TorchLearner
from reprbench.training import cosine_with_warmup, run_order, train


class Tiny(TorchLearner):
    """One layer with noise from a named generator, dropout from the global state, and momentum: all must resume."""

    batch_size = 8

    def build(self, shape):
        self.body = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 4), nn.BatchNorm1d(4))
        self._stop_at = self._broken_at = None
        self._steps = 0

    def optimizers(self):
        return torch.optim.Adam(self.body.parameters(), lr=0.01)

    def loss(self, x, run):
        self._steps += 1
        if self._steps == self._stop_at:
            raise KeyboardInterrupt
        noise = torch.randn(x.shape, generator=run.generator("noise"))
        loss = self.body(x + 0.1 * noise).square().mean()
        if self._steps == self._broken_at:
            loss = loss * float("nan")
        return loss

    def encode(self, x):
        return {"code": self.body(x)}


def learner() -> Tiny:
    with seeded(0, "weights"):
        made = Tiny()
        made.build((1, 8, 8))
    return made


def fit(tiny: Tiny, run: Run) -> None:
    with seeded(0, "fit"):
        tiny.fit(noise(42), run)


def weights(tiny: Tiny) -> list[torch.Tensor]:
    return list(tiny.body.state_dict().values())


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    one, two, other = learner(), learner(), learner()
    fit(one, Run(0, Budget(epochs=2)))
    fit(two, Run(0, Budget(epochs=2)))
    fit(other, Run(1, Budget(epochs=2)))
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))
    assert not torch.equal(weights(one)[0], weights(other)[0])


@pytest.mark.parametrize("stop", [2, 5, 6, 7, 14])
def test_a_resumed_fit_equals_an_undisturbed_one_bit_for_bit(tmp_path, monkeypatch, stop):
    whole, whole_run = learner(), Run(0, Budget(epochs=3))
    fit(whole, whole_run)
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.training.REPORT_SECONDS", 0.0)
    monkeypatch.setattr("reprbench.run_context.CHECKPOINT_SHARE", 0)
    broken = learner()
    broken._stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        fit(broken, Run(0, Budget(epochs=3), folder=tmp_path))
    again, run = learner(), Run(0, Budget(epochs=3), folder=tmp_path)
    fit(again, run)
    assert again._steps == 15 - (stop - 1)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))
    drop = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]
    assert drop == [{k: v for k, v in row.items() if k != "seconds"} for row in whole_run.history]
    assert run.images_seen == whole_run.images_seen == 3 * 40


class Showing(Tiny):
    """Reconstructs, if badly; the dropout would draw if it were not in evaluation mode."""

    def reconstruct(self, x, layer=None):
        return self.body(x).mean(1).view(-1, 1, 1, 1).expand_as(x)


def showing() -> Showing:
    with seeded(0, "weights"):
        made = Showing()
        made.build((1, 8, 8))
    return made


WATCHED = noise(3).batch(slice(0, 3))


def test_snapshots_are_kept_as_it_learns_and_change_nothing():
    plain, watched = learner(), showing()
    fit(plain, Run(0, Budget(epochs=6)))
    run = Run(0, Budget(epochs=6), watched=WATCHED)
    fit(watched, run)
    assert [epoch for epoch, _ in run.snapshots] == [0, 1, 2, 5, 6]
    assert all(images.shape == WATCHED.shape for _, images in run.snapshots)
    assert not torch.equal(run.snapshots[0][1], run.snapshots[-1][1])
    watched.body.eval()
    with torch.no_grad():
        assert torch.equal(watched.reconstruct(WATCHED), run.snapshots[-1][1])
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(watched), strict=True))


def test_a_fit_that_ends_within_an_epoch_keeps_a_snapshot_of_its_end():
    run = Run(0, Budget(images=56), watched=WATCHED)
    fit(showing(), run)
    assert [epoch for epoch, _ in run.snapshots] == [0, 1, 7 / 5]


def test_a_learner_that_does_not_reconstruct_leaves_no_snapshots():
    run = Run(0, Budget(epochs=1), watched=WATCHED)
    fit(learner(), run)
    assert run.snapshots == []


@pytest.mark.parametrize("stop", [3, 6, 12])
def test_a_resumed_fit_has_the_snapshots_of_an_undisturbed_one(tmp_path, monkeypatch, stop):
    whole = Run(0, Budget(epochs=3), watched=WATCHED)
    fit(showing(), whole)
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.training.REPORT_SECONDS", 0.0)
    broken = showing()
    broken._stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        fit(broken, Run(0, Budget(epochs=3), folder=tmp_path, watched=WATCHED))
    run = Run(0, Budget(epochs=3), folder=tmp_path, watched=WATCHED)
    fit(showing(), run)
    assert [epoch for epoch, _ in run.snapshots] == [epoch for epoch, _ in whole.snapshots] == [0, 1, 2, 3]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(run.snapshots, whole.snapshots, strict=True))


def test_a_checkpoint_that_cannot_be_read_is_ignored(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    run = Run(0, Budget(epochs=1), folder=tmp_path)
    fit(learner(), run)
    assert run.images_seen == 40
    assert not run.resumed


def test_a_loss_that_is_not_finite_ends_the_fit():
    tiny = learner()
    tiny._broken_at = 3
    with pytest.raises(Diverged, match="loss = nan"):
        fit(tiny, Run(0, Budget(epochs=2)))


@pytest.mark.parametrize(("budget", "steps"), [(Budget(epochs=2), 10), (Budget(images=50), 7), (Budget(images=8), 1)])
def test_the_budget_is_kept(budget, steps):
    tiny, run = learner(), Run(0, budget)
    fit(tiny, run)
    assert tiny._steps == steps
    assert run.images_seen == 8 * steps
    assert [row["epoch"] for row in run.history] == list(range(1, len(run.history) + 1))


def test_a_budget_of_seconds_ends_in_time():
    run = Run(0, Budget(seconds=0.3))
    fit(learner(), run)
    assert 0.3 <= run.elapsed < 5
    assert run.history


@pytest.mark.parametrize(
    ("budget", "shares"),
    [(Budget(epochs=1), [1 / 8, 3 / 8, 5 / 8, 7 / 8]), (Budget(images=30, seconds=600), [1 / 6, 3 / 6, 5 / 6])],
)
def test_a_step_knows_how_much_of_the_budget_is_used(budget, shares):
    run, seen = Run(0, budget), []
    tiny = learner()
    train(tiny, noise(42), run, lambda x, rows: seen.append(run.share) or {}, 10)
    assert seen == pytest.approx(shares, rel=1e-12)


def test_a_budget_of_seconds_is_used_by_the_clock():
    run, seen = Run(0, Budget(seconds=0.2)), []
    train(learner(), noise(42), run, lambda x, rows: seen.append(run.share) or {}, 10)
    assert seen == sorted(seen) and 0 <= seen[0] < seen[-1] <= 1


def test_a_warm_up_of_everything_or_nothing_is_a_line_or_half_a_wave():
    shares = np.linspace(0, 1, 11)
    np.testing.assert_allclose([cosine_with_warmup(share, 1.0) for share in shares], shares)
    np.testing.assert_allclose(
        [cosine_with_warmup(share) for share in shares], (1 + np.cos(np.pi * shares)) / 2, atol=1e-15
    )


def test_progress_is_a_growing_share(monkeypatch):
    monkeypatch.setattr("reprbench.training.REPORT_SECONDS", 1000.0)
    shares = []
    fit(learner(), Run(0, Budget(epochs=4), progress=lambda what, share, values: shares.append(share)))
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_fewer_images_than_a_batch_are_one_batch():
    tiny = learner()
    with seeded(0, "fit"):
        tiny.fit(noise(5), Run(0, Budget(epochs=3)))
    assert tiny._steps == 3


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own():
    run = Run(0, Budget(epochs=1))
    orders = [run_order(run, epoch, 100) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert not np.array_equal(*orders)


def test_an_order_is_drawn_once_per_epoch(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "reprbench.training.run_order", lambda run, epoch, count: drawn.append(epoch) or run_order(run, epoch, count)
    )
    fit(learner(), Run(0, Budget(epochs=3)))
    assert drawn == [0, 1, 2]


def test_generators_are_named_derived_and_go_on():
    run = Run(3, Budget(epochs=1))
    first = torch.rand(2, generator=run.generator("a"))
    assert not torch.equal(first, torch.rand(2, generator=run.generator("a")))
    assert torch.equal(first, torch.rand(2, generator=Run(3, Budget(epochs=1)).generator("a")))
    assert not torch.equal(first, torch.rand(2, generator=run.generator("b")))
    assert derive_seed(3, "a") != derive_seed(4, "a")


def test_seeding_a_block_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    with seeded(1, "x"):
        torch.rand(3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_seeding_a_block_asks_for_no_device_that_nothing_runs_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: pytest.fail("started CUDA"))
    with seeded(1, "x"):
        torch.rand(3)
