"""The training loop that torch learners share: batches, logging, checkpoints, exact resume, budget, divergence."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reprbench.batch_norm import learning, measure_batch_norm, restored, warning_if_stale
from reprbench.capabilities import Reconstructs, Resumes
from reprbench.errors import Diverged
from reprbench.images import Images, Indices
from reprbench.run_context import Run
from reprbench.state import evaluating

REPORT_SECONDS = 0.5
"""How often the loop reads the values of its steps, which on CUDA waits for the device."""

SNAPSHOT_EPOCHS = frozenset(digit * 10**power for power in range(6) for digit in (1, 2, 5))
"""The numbers of epochs after which a fit keeps reconstructions of the watched images; also at the start and end."""

SNAPSHOT_IMAGES = 1000
"""The most images on which the averages of batch normalizations are measured for a snapshot within a fit."""

Values = Mapping[str, Tensor]
"""0-d tensors by name; their means over an epoch are a row of the history."""

Step = Callable[[Tensor, Indices], Values]
"""Learns from a batch (float32 in [0, 1], on the run's device) and its row numbers; returns values to log."""


def train(learner: Resumes, images: Images, run: Run, step: Step, batch_size: int) -> None:
    """Call `step` with random batches of `images` until the run's budget is used up.

    Every epoch is a new permutation, drawn from the generator "order/<epoch>"; rows that do not fill a batch wait for
    another epoch. The means of the returned values over each epoch become a row of the history. The loop waits for the
    device at most twice a second, apart from checkpoints and snapshots. Training resumes from the run's checkpoint, bit
    for bit. `run.share` tells a step how much of the budget is used. If the learner reconstructs, snapshots of the
    run's watched images are kept after 0, 1, 2, 5, 10, 20, … epochs and at the end.

    At the end, and for each snapshot, the running averages of batch normalizations are measured anew (see
    `measure_batch_norm`), as those that training leaves lag behind the weights; after a snapshot they are put back, so
    that a fit does not depend on what is watched. If features by batch and by running statistics still differ much, the
    run gets a warning.

    `TorchLearner` calls it; a learner without networks may call it in its `fit`.

    Parameters
    ----------
    learner : changed by `step`; its state goes into the checkpoints.
    step : called with float32 images (batch_size, C, H, W) in [0, 1] on the run's device and their row numbers, int64
        (batch_size,); returns 0-d tensors to log, by name.
    batch_size : images in a batch; all of them if there are fewer.

    Raises
    ------
    Diverged
        If a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from reprbench import Budget, Images, Learner, Run, train
    >>> class RunningMean(Learner):
    ...     def build(self, shape):
    ...         self.mean = torch.zeros(shape)
    ...
    ...     def fit(self, images, run):
    ...         train(self, images, run, self.step, batch_size=5)
    ...
    ...     def step(self, x, rows):
    ...         change = x.mean(0) - self.mean
    ...         self.mean = self.mean + 0.1 * change
    ...         return {"change": change.abs().mean()}
    ...
    ...     def encode(self, x):
    ...         return {"centered": x - self.mean}
    ...
    ...     def training_state(self):
    ...         return {"mean": self.mean}
    ...
    ...     def load_training_state(self, state):
    ...         self.mean = state["mean"]
    >>> images = Images(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    >>> learner, run = RunningMean(), Run(seed=0, budget=Budget(epochs=3))
    >>> learner.build(images.shape)
    >>> learner.fit(images, run)
    >>> run.images_seen, [row["step"] for row in run.history]
    (60, [4, 8, 12])
    """
    batch_size = min(batch_size, len(images))
    epoch_steps = len(images) // batch_size
    total = run.budget.steps(len(images), batch_size)
    done, means = _begin(learner, images, run)
    ended, looked = _EndedEpochs(run, epoch_steps), time.monotonic()
    for rows in _batches(run, len(images), batch_size, done, total):
        run.share = _share(run, done + 0.5, total)
        with ended.logged_if_it_fails(done, means), run.work.step():
            means.add(step(images.batch(rows, run.device), rows))
        run.images_seen += batch_size
        done += 1
        epochs, left_over = divmod(done, epoch_steps)
        ends_epoch = left_over == 0 or done >= total
        if ends_epoch:
            means = ended.add(done, means)
            if left_over == 0 and epochs in SNAPSHOT_EPOCHS and done < total:
                _snapshot(learner, images, run, float(epochs))
        if time.monotonic() - looked > REPORT_SECONDS or done >= total or (ends_epoch and run.checkpoint_due()):
            looked = time.monotonic()
            _progress(run, done, total, ended.log(done, means))
            if run.checkpoint_due():
                run.save_checkpoint({"learner": learner.training_state(), "step": done, "means": means.state()})
        elif ends_epoch:
            _progress(run, done, total, {})
    ended.log(done, ended.add(done, means) if means.count else means)
    _end(learner, images, run, done / epoch_steps)


def cosine_with_warmup(share: float, warmup: float = 0.0) -> float:
    """Return the factor, 0 to 1, of a learning rate when `share` of the budget is used.

    It rises linearly from 0 to 1 while the first `warmup` of the budget is used, and falls to 0 by half a cosine wave
    (I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5, without restarts).

    Parameters
    ----------
    share, warmup : parts of the budget, 0 to 1.

    Examples
    --------
    >>> from reprbench import cosine_with_warmup
    >>> [round(cosine_with_warmup(share, warmup=0.2), 3) for share in (0, 0.1, 0.2, 0.6, 1)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if share < warmup:
        return share / warmup
    left = (1 - share) / (1 - warmup) if warmup < 1 else 1.0
    return (1 - math.cos(math.pi * left)) / 2


def _share(run: Run, done: float, total: float) -> float:
    """Return how much of the budget `done` of `total` steps use; by the clock if only seconds limit it."""
    if math.isfinite(total):
        return min(1.0, done / total)
    return min(1.0, run.elapsed / run.budget.seconds) if run.budget.seconds else 0.0


def _begin(learner: Resumes, images: Images, run: Run) -> tuple[int, Means]:
    """Restore the learner from a checkpoint, if any; return its number of steps, and the means of the epoch so far."""
    if (state := run.restore_checkpoint()) is not None:
        learner.load_training_state(state["learner"])
        return state["step"], Means.of(state["means"])
    _snapshot(learner, images, run, 0.0)
    return 0, Means()


def _end(learner: Any, images: Images, run: Run, epochs: float) -> None:
    """Measure the averages of batch normalizations, compare them with a batch, and keep the last snapshot."""
    if learning(learner):
        if learner.remeasure_batch_norm:
            measure_batch_norm(learner, images, run)
        run.warnings += warning_if_stale(learner, images, run)
    # The budget's seconds may have ended with an epoch whose snapshot was taken with averages of fewer images.
    run.snapshots = [snapshot for snapshot in run.snapshots if snapshot[0] < epochs]
    _keep_snapshot(learner, run, epochs)


def _batches(run: Run, count: int, batch_size: int, done: int, total: float) -> Iterator[Indices]:
    """Yield the rows of the batches after the first `done`, until the budget's steps or seconds are used up."""
    seconds = math.inf if run.budget.seconds is None else run.budget.seconds
    order = None
    for position in itertools.count(done):
        if position >= total or run.elapsed >= seconds:
            return
        epoch, index = divmod(position, count // batch_size)
        if order is None or index == 0:
            order = run_order(run, epoch, count)
        yield order[index * batch_size : (index + 1) * batch_size]


def _snapshot(learner: Any, images: Images, run: Run, epoch: float) -> None:
    """Keep a snapshot within the fit, which does not depend on it."""
    if _shown(learner, run):
        units = learning(learner)
        with restored(units):
            if units and learner.remeasure_batch_norm:
                measure_batch_norm(learner, images, run, SNAPSHOT_IMAGES)
            _keep_snapshot(learner, run, epoch)


def _keep_snapshot(learner: Any, run: Run, epoch: float) -> None:
    """Keep the reconstructions of the watched images, if there are any and the learner reconstructs."""
    if _shown(learner, run):
        with evaluating(learner):
            run.snapshots.append((epoch, learner.reconstruct(run.watched).float().cpu()))


def _shown(learner: object, run: Run) -> bool:
    return run.watched is not None and isinstance(learner, Reconstructs)


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
        """Return the means saved by `state`."""
        means = cls()
        means.sums, means.count = dict(state["sums"]), state["count"]
        return means

    def state(self) -> dict[str, Any]:
        """Return what `of` needs to restore the means."""
        return {"sums": self.sums, "count": self.count}

    def add(self, values: Values) -> None:
        """Add one step's values."""
        for name, value in values.items():
            value = value.detach().to(torch.float64)
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.count += 1


def read_means(several: Sequence[Means]) -> list[dict[str, float]]:
    """Return the means so far of each; waits for the device once."""
    sums = [value for means in several for value in means.sums.values()]
    device = next((value.device for value in sums if value.device.type != "cpu"), torch.device("cpu"))
    numbers = iter(torch.stack([value.to(device).reshape(()) for value in sums]).tolist() if sums else ())
    return [{name: next(numbers) / means.count for name in means.sums} for means in several]


class _EndedEpochs:
    """Epochs whose means are still on the device: they are logged when it is time to wait for it."""

    def __init__(self, run: Run, epoch_steps: int) -> None:
        self._run, self._epoch_steps = run, epoch_steps
        self._rows: list[tuple[int, float, Means]] = []

    def add(self, step: int, means: Means) -> Means:
        """Add the epoch that ended with this step; return the means of the next, which are none yet."""
        self._rows.append((step, self._run.elapsed, means))
        return Means()

    def log(self, step: int, current: Means) -> dict[str, float]:
        """Log them; return the means of the epoch that goes on. Raises `Diverged` if a value is not finite."""
        rows, self._rows = self._rows, []
        *found, now = read_means([*(means for _, _, means in rows), current])
        for (end, seconds, _), values in zip(rows, found, strict=True):
            self._run.log(end, epoch=-(-end // self._epoch_steps), **{"seconds": round(seconds, 3), **values})
        bad = [f"{name} = {value}" for name, value in now.items() if not math.isfinite(value)]
        if bad:
            raise Diverged(f"at step {step}: {', '.join(bad)}")
        return now

    @contextmanager
    def logged_if_it_fails(self, step: int, current: Means) -> Iterator[None]:
        """If the block raises, log first: a value that was not finite before may be the cause."""
        try:
            yield
        except Exception:
            self.log(step, current)
            raise


def _progress(run: Run, step: int, total: float, values: Mapping[str, float]) -> None:
    by_time = run.elapsed / run.budget.seconds if run.budget.seconds else 0.0
    run.progress(min(1.0, max(step / total, by_time)), **(values or _latest(run)))


def _latest(run: Run) -> dict[str, float]:
    return {k: v for k, v in run.history[-1].items() if k not in {"step", "seconds", "epoch"}} if run.history else {}
