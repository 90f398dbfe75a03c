"""The training loop that torch learners share: batches, logging, checkpoints, exact resume, budget, divergence."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench.capabilities import Reconstructs, Resumes
from reprbench.errors import Diverged
from reprbench.images import Images, Indices, Labels
from reprbench.learner import Learner, SupervisedLearner
from reprbench.run import Run
from reprbench.state import evaluating

if TYPE_CHECKING:
    from torch.optim import Optimizer

REPORT_SECONDS = 0.5
"""How often the loop looks at the values of its steps, which on CUDA waits for the device."""

SNAPSHOT_EPOCHS = frozenset(digit * 10**power for power in range(6) for digit in (1, 2, 5))
"""After how many epochs (and before the first, and after the last) a fit keeps what it makes of the watched images."""

Step = Callable[[Tensor, Indices], Mapping[str, Tensor]]
"""Learns from a batch (float32 in [0, 1], on the run's device) and its row numbers; returns 0-d values to log."""


class TorchNetworks(Learner):
    """A learner with networks, made in `build` as attributes, and optimizers of its own, that can go on training."""

    batch_size: PositiveInt = 128

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """Return the optimizers, fresh; called once a fit, when the networks are on their device."""

    def prepare(self, run: Run) -> None:
        """Move the networks to the run's device, in training mode, and make the optimizers."""
        for network in self._networks().values():
            network.to(run.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._optimizers = self.optimizers()

    def training_state(self) -> dict[str, Any]:
        """Return the states of the networks and the optimizers."""
        return {
            "networks": {name: network.state_dict() for name, network in self._networks().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()},
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Put networks and optimizers back into a state that `training_state` returned."""
        for name, network in self._networks().items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    def _networks(self) -> dict[str, nn.Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}


class TorchLearner(TorchNetworks):
    """A learner that the shared loop trains.

    A subclass defines `build`, `optimizers`, `step` and `encode`; the shared loop does the rest, resume included.
    """

    @abstractmethod
    def step(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Learn from one batch of float32 images in [0, 1]; return 0-d values to log.

        The learner runs its own backward passes and steps its own optimizers (``self._optimizers[name]``).
        """

    def fit(self, images: Images, run: Run) -> None:
        """Learn with the shared loop until the budget is used up."""
        self.prepare(run)
        train(self, images, run, lambda x, rows: self.step(x, run), self.batch_size)


class TorchSupervisedLearner(SupervisedLearner, TorchNetworks):
    """A supervised learner that the shared loop trains: the same as `TorchLearner`, with labels."""

    @abstractmethod
    def step(self, x: Tensor, y: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Learn from one batch of images and their int64 labels (N,); see `TorchLearner.step`."""

    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Learn with the shared loop until the budget is used up."""
        self.prepare(run)
        targets = torch.from_numpy(labels.astype(np.int64)).to(run.device)
        train(self, images, run, lambda x, rows: self.step(x, targets[rows], run), self.batch_size)


def train(learner: Resumes, images: Images, run: Run, step: Step, batch_size: int) -> None:
    """Call `step` with random batches of `images` until the run's budget is used up.

    Every epoch is a new permutation, drawn from the generator "order/<epoch>"; rows that do not fill a batch wait for
    another epoch. The means of the returned values over each epoch become a row of the history. Nothing inside the
    loop waits for the device but twice a second. A learner goes on from the run's checkpoint, bit for bit. One that
    reconstructs leaves snapshots of the run's watched images after 0, 1, 2, 5, 10, 20, … epochs and at the end.

    Raises
    ------
    Diverged
        If a value is not finite.
    """
    batch_size = min(batch_size, len(images))
    epoch_steps = len(images) // batch_size
    total = run.budget.steps(len(images), batch_size)
    done, means = 0, Means()
    if (state := run.restore_checkpoint()) is not None:
        learner.load_training_state(state["learner"])
        done, means = state["step"], Means.of(state["means"])
    else:
        _snapshot(learner, run, 0.0)
    looked = time.monotonic()
    for position in _positions(done, total, run):
        epoch, index = divmod(position, epoch_steps)
        if index == 0 or position == done:
            order = run_order(run, epoch, len(images))
        rows = order[index * batch_size : (index + 1) * batch_size]
        means.add(step(images.batch(rows, run.device), rows))
        run.images_seen += batch_size
        ends_epoch = index == epoch_steps - 1 or position + 1 >= total
        if ends_epoch:
            run.log(position + 1, epoch=epoch + 1, **means.take())
            if index == epoch_steps - 1 and epoch + 1 in SNAPSHOT_EPOCHS:
                _snapshot(learner, run, float(epoch + 1))
        if ends_epoch or time.monotonic() - looked > REPORT_SECONDS:
            looked = time.monotonic()
            _report(run, position + 1, total, means)
            if run.checkpoint_due():
                state = {"learner": learner.training_state(), "step": position + 1, "means": means.state()}
                run.save_checkpoint(state)
        done = position + 1
    if means.count:
        run.log(done, epoch=-(-done // epoch_steps), **means.take())
    if run.snapshots and run.snapshots[-1][0] < done / epoch_steps:
        _snapshot(learner, run, done / epoch_steps)


def _snapshot(learner: Any, run: Run, epoch: float) -> None:
    """Keep what a learner that reconstructs makes of the watched images; nothing of the fit depends on it."""
    if run.watched is not None and isinstance(learner, Reconstructs):
        with evaluating(learner):
            run.snapshots.append((epoch, learner.reconstruct(run.watched).float().cpu()))


def run_order(run: Run, epoch: int, count: int) -> Indices:
    """Return the permutation of `count` rows for one epoch; it depends on the seed and the epoch alone."""
    return run.numpy_generator(f"order/{epoch}").permutation(count).astype(np.int64)


class Means:
    """Running means of named 0-d tensors, kept on their device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Means:
        """Return the means that `state` wrote down."""
        means = cls()
        means.sums, means.count = dict(state["sums"]), state["count"]
        return means

    def state(self) -> dict[str, Any]:
        """Return what `of` needs to go on."""
        return {"sums": self.sums, "count": self.count}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Count one step's values in."""
        for name, value in values.items():
            value = value.detach().to(torch.float64)
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.count += 1

    def read(self) -> dict[str, float]:
        """Return the means so far; waits for the device."""
        return {name: float(value) / self.count for name, value in self.sums.items()} if self.count else {}

    def take(self) -> dict[str, float]:
        """Return the means so far and start anew."""
        values = self.read()
        self.sums, self.count = {}, 0
        return values


def _positions(done: int, total: float, run: Run) -> Iterator[int]:
    """Yield the numbers of the steps to take, until the steps or the seconds of the budget are used up."""
    seconds = math.inf if run.budget.seconds is None else run.budget.seconds
    while done < total and run.elapsed < seconds:
        yield done
        done += 1


def _report(run: Run, step: int, total: float, means: Means) -> None:
    values = means.read()
    bad = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise Diverged(f"at step {step}: {', '.join(bad)}")
    by_time = run.elapsed / run.budget.seconds if run.budget.seconds else 0.0
    run.progress(min(1.0, max(step / total, by_time)), **(values or _latest(run)))


def _latest(run: Run) -> dict[str, float]:
    return {k: v for k, v in run.history[-1].items() if k not in {"step", "seconds", "epoch"}} if run.history else {}
