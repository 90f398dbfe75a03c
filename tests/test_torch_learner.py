"""Learners with a loss or a step: what the harness does for them, and the state it leaves them in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reprbench import (
    Budget,
    Diverged,
    Images,
    Run,
    TorchLearner,
    TorchSupervisedLearner,
    View,
    cosine_with_warmup,
    measure_batch_norm,
)
from reprbench.arrays import pack, unpack
from reprbench.features import extract
from reprbench.learner import make
from reprbench.run_context import seeded
from reprbench.state import learner_state, load_learner_state, to_device
from reprbench.training import run_order

SHAPE = (1, 8, 8)
IMAGES = Images(np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8))
LABELS = np.arange(20) % 3


class Net(TorchLearner):
    """Batch normalization and dropout show at once in which mode a network is."""

    batch_size = 8

    def build(self, shape):
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 2))

    def optimizers(self):
        return torch.optim.Adam(self.body.parameters(), lr=0.01)

    def loss(self, x, run):
        return (self.body(x) - x.mean((2, 3))).square().mean()

    def encode(self, x):
        return {"code": self.body(x)}


class Labeled(TorchSupervisedLearner, Net):
    fit = TorchSupervisedLearner.fit
    step = TorchSupervisedLearner.step

    def loss(self, x, y, run):
        return nn.functional.cross_entropy(self.body(x), y.clamp(max=1))


def fitted(cls=Net, run=None, **attributes):
    with seeded(0, "weights"):
        learner = make(type(cls.__name__, (cls,), attributes), {}, SHAPE)
    run = run or Run(0, Budget(epochs=3))
    with seeded(0, "fit"):
        if isinstance(learner, TorchSupervisedLearner):
            learner.fit_labeled(IMAGES, LABELS, run)
        else:
            learner.fit(IMAGES, run)
    return learner, run


def weights(learner):
    return list(learner.body.state_dict().values())


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.mark.parametrize("cls", [Net, Labeled])
def test_the_harness_descends_the_loss_as_a_bare_loop_does(cls):
    learner, run = fitted(cls)
    with seeded(0, "weights"):
        other = make(cls, {}, SHAPE)
    other.body.to(memory_format=torch.channels_last).train()
    optimizer, values = other.optimizers(), []
    with seeded(0, "fit"):
        for epoch in range(3):
            order = run_order(run, epoch, 20)
            for rows in (order[:8], order[8:16]):
                optimizer.zero_grad()
                labels = [torch.from_numpy(LABELS[rows])] if cls is Labeled else []
                loss = other.loss(IMAGES.batch(rows), *labels, run)
                loss.backward()
                optimizer.step()
                values.append(loss.item())
        measure_batch_norm(other, IMAGES, run)
    assert equal(learner, other)
    assert [row["loss"] for row in run.history] == pytest.approx(np.reshape(values, (3, 2)).mean(1).tolist())


def test_of_several_values_the_loss_alone_is_minimized():
    plain, _ = fitted()
    extended, run = fitted(
        loss=lambda self, x, run: {"size": 100 * self.body[1].weight.square().sum(), "loss": Net.loss(self, x, run)}
    )
    assert equal(plain, extended)
    assert [set(row) - {"step", "seconds", "epoch"} for row in run.history] == [{"size", "loss"}] * 3


@pytest.mark.parametrize("values", [{"reconstruction": torch.ones(())}, {}])
def test_values_without_a_loss_are_reported(values):
    with pytest.raises(TypeError, match="Net.loss returned .*but no 'loss': the value under that name is minimized"):
        fitted(loss=lambda self, x, run: values)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "NoneType"),
        (3.0, "float"),
        (torch.ones(2, requires_grad=True), r"a tensor of shape \(2,\)"),
        (torch.ones(()), r"a tensor of shape \(\)"),
    ],
)
def test_a_loss_that_cannot_be_minimized_is_reported(value, what):
    for returned in (value, {"loss": value}):
        with pytest.raises(TypeError, match=f"Net.loss returned {what}; expected a 0-d tensor that depends on"):
            fitted(loss=lambda self, x, run, returned=returned: returned)


def test_values_that_are_only_logged_may_be_plain_numbers():
    _, run = fitted(loss=lambda self, x, run: {"loss": Net.loss(self, x, run), "rate": 0.25})
    assert [row["rate"] for row in run.history] == [0.25] * 3


def test_optimizers_that_are_none_are_reported():
    with pytest.raises(TypeError, match="'optimizer' is a NoneType, not an optimizer of torch"):
        fitted(optimizers=lambda self: None)


class Bare(Net):
    loss = TorchLearner.loss


class BareLabeled(Labeled):
    loss = TorchSupervisedLearner.loss


def test_a_class_with_neither_loss_nor_step_is_reported():
    with pytest.raises(TypeError, match=r"Bare defines neither loss\(x, run\) nor step\(x, optimizers, run\)"):
        fitted(Bare)
    with pytest.raises(
        TypeError, match=r"BareLabeled defines neither loss\(x, y, run\) nor step\(x, y, optimizers, run\)"
    ):
        fitted(BareLabeled)


class Scheduled(Net):
    """With two rates, a schedule, and a record of the rates of each step."""

    def optimizers(self):
        self._rates = []
        weight, *others = self.body.parameters()
        return torch.optim.SGD([{"params": [weight], "lr": 0.3}, {"params": others}], lr=0.1, momentum=0.9)

    def rate_factor(self, share):
        return cosine_with_warmup(share, warmup=0.25)

    def step(self, x, optimizers, run):
        self._rates.append([group["lr"] for group in optimizers["optimizer"].param_groups])
        return super().step(x, optimizers, run)


def test_all_rates_follow_the_schedule_of_the_budget():
    # Two batches an epoch: eight steps.
    learner, _ = fitted(Scheduled, Run(0, Budget(epochs=4)))
    shares = (np.arange(8) + 0.5) / 8
    factors = np.where(shares < 0.25, shares / 0.25, 0.5 + 0.5 * np.cos(np.pi * (shares - 0.25) / 0.75))
    np.testing.assert_allclose(learner._rates, factors[:, None] * [[0.3, 0.1]], rtol=1e-12)


@pytest.mark.parametrize("stop", [3, 5])
def test_a_resumed_fit_follows_the_schedule_bit_for_bit(tmp_path, monkeypatch, stop):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    whole, _ = fitted(Scheduled, Run(0, Budget(epochs=4)))
    with pytest.raises(KeyboardInterrupt):
        fitted(Stopped, Run(0, Budget(epochs=4), folder=tmp_path), stop=stop)
    run = Run(0, Budget(epochs=4), folder=tmp_path)
    resumed, _ = fitted(Scheduled, run)
    assert run.resumed and 0 < len(resumed._rates) < 8
    assert resumed._rates == whole._rates[-len(resumed._rates) :]
    assert equal(resumed, whole)


class Stopped(Scheduled):
    stop = 0

    def step(self, x, optimizers, run):
        if len(self._rates) == self.stop:
            raise KeyboardInterrupt
        return super().step(x, optimizers, run)


class Decaying(Scheduled):
    """Changes its rates itself, as methods without a schedule of the loop may."""

    rate_factor = Net.rate_factor

    def step(self, x, optimizers, run):
        for group in optimizers["optimizer"].param_groups:
            group["lr"] /= 2
        return super().step(x, optimizers, run)


def test_without_a_schedule_the_loop_leaves_the_rates_alone():
    learner, _ = fitted(Decaying, Run(0, Budget(epochs=2)))
    assert learner._rates == [[0.3 / 2**step, 0.1 / 2**step] for step in (1, 2, 3, 4)]


def test_a_step_is_given_the_optimizers_by_their_names():
    seen = []

    def step(self, x, optimizers, run):
        seen.append({name: type(optimizer).__name__ for name, optimizer in optimizers.items()})
        return {}

    def two(self):
        head, tail = self.body[1].parameters(), self.body[4].parameters()
        return {"head": torch.optim.Adam(head), "tail": torch.optim.SGD(tail, lr=0.1)}

    fitted(step=step)
    fitted(step=step, optimizers=two)
    fitted(step=step, optimizers=lambda self: {})
    assert seen == [{"optimizer": "Adam"}] * 6 + [{"head": "Adam", "tail": "SGD"}] * 6 + [{}] * 6


@pytest.mark.parametrize("cls", [Net, Labeled])
def test_several_optimizers_share_one_loss(cls):
    def two(self):
        parts = {"head": self.body[:4], "tail": self.body[4:]}
        return {name: torch.optim.Adam(part.parameters(), lr=0.01) for name, part in parts.items()}

    assert equal(fitted(cls)[0], fitted(cls, optimizers=two)[0])


# -- evaluation mode --------------------------------------------------------------------------------------------------


class Holding(Net):
    """Holds networks in containers, too; its last batch may be its end."""

    def build(self, shape):
        super().build(shape)
        self._more, self._seen, self._ends = [nn.Dropout(0.5)], [], None

    def loss(self, x, run):
        self._seen.append(self.body.training)
        if self._ends is not None and len(self._seen) == 3:
            raise self._ends
        return super().loss(x, run)


@pytest.mark.parametrize("cls", [Net, Labeled])
def test_a_fit_leaves_evaluation_mode(cls):
    assert not any(module.training for module in fitted(cls)[0].body.modules())


def test_networks_learn_in_training_mode_and_those_in_lists_are_left_in_evaluation_mode_too():
    learner, _ = fitted(Holding)
    assert learner._seen == [True] * 6
    assert not learner._more[0].training


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Diverged("it did")])
def test_a_fit_that_is_interrupted_leaves_evaluation_mode(error):
    learner = make(Holding, {}, SHAPE)
    learner._ends = error
    with pytest.raises(type(error)):
        learner.fit(IMAGES, Run(0, Budget(epochs=3)))
    assert learner._seen[-1]
    assert not any(module.training for module in [*learner.body.modules(), *learner._more])


@pytest.mark.parametrize("cls", [Net, Labeled])
def test_features_after_a_fit_in_python_are_those_of_the_harness(cls, tmp_path):
    learner, _ = fitted(cls)
    with torch.no_grad():
        found = learner.encode(IMAGES.batch(slice(None)))["code"]
    with seeded(1, "weights"):
        loaded = make(cls, {}, SHAPE)
    load_learner_state(loaded, unpack(pack(learner_state(learner)))[0])
    to_device(loaded, "cpu")
    ((matrix,),) = extract(loaded, IMAGES, [View()])
    np.testing.assert_array_equal(found.numpy(), matrix)


# -- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Net, Labeled])
def test_bfloat16_is_used_only_when_asked(cls):
    seen = set()

    def build(self, shape):
        cls.build(self, shape)
        # In evaluation mode, averages are measured at the end, in float32 as all evaluation.
        add = {True: seen.add, False: lambda dtype: None}
        self.body[1].register_forward_hook(lambda module, inputs, output: add[module.training](output.dtype))

    plain, _ = fitted(cls, build=build)
    assert seen == {torch.float32}
    seen.clear()
    fitted(cls, Run(0, Budget(epochs=3), precision="float32"), build=build)
    assert seen == {torch.float32}
    seen.clear()
    reduced, _ = fitted(cls, Run(0, Budget(epochs=3), precision="bf16"), build=build)
    assert seen == {torch.bfloat16}
    assert not equal(plain, reduced)
    assert all(tensor.dtype in {torch.float32, torch.int64} for tensor in weights(reduced))
    for one, other in zip(plain.body.parameters(), reduced.body.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)
