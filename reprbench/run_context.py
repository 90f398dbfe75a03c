"""What a learner is given for one fit: named generators, device, budget, log, progress and checkpoints."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from reprbench.arrays import flatten, save_arrays, unflatten, unpack
from reprbench.cache import CacheFile
from reprbench.errors import Diverged, UserError
from reprbench.spec import Budget
from reprbench.work import Work

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

CHECKPOINT = "checkpoint.safetensors"

CHECKPOINT_SHARE = 100
"""A checkpoint that takes one second is followed by at least this many seconds without one, however slow the disk."""

CHECKPOINT_SECONDS = 10.0
"""The shortest time between two checkpoints; ``REPRBENCH_CHECKPOINT_SECONDS`` overrides it."""

Precision = Literal["float32", "bf16"]
"""The precision of forward passes: float32 throughout, or bfloat16 where torch's autocast uses it."""

Progress = Callable[[str, float, Mapping[str, float]], None]
"""Receives a description of the current task, the share of it that is done (0 to 1), and the latest values."""


def derive_seed(seed: int, name: str) -> int:
    """Return the seed, in 0 … 2⁶³ - 1, of the generator called `name` in a trial with `seed`."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


class Run:
    """The context of one fit.

    Parameters
    ----------
    seed : the trial's seed; every generator is derived from it and a name.
    budget : how long the fit may take.
    device : "cpu" or a CUDA device.
    folder : where the checkpoint is kept; None keeps none.
    progress : called now and then with the current task.
    watched : some of the images that the learner is fitted to, float32 (N, C, H, W), on the device; their
        reconstructions in the course of the fit are kept in `snapshots`.
    precision : of forward passes, see `autocast`.

    Attributes
    ----------
    device : torch.device
    history : the logged rows, each with ``step``, ``seconds`` and the logged values.
    images_seen : how many images were drawn so far, repetitions included; the learner counts them.
    work : the steps made so far and their FLOPs; the shared loop counts them: ``with run.work.step(): …``.
    share : how much of the budget is used, 0 to 1. The shared loop sets it for each step, counted to the middle of the
        step. It depends on the position alone, except with a budget of nothing but seconds.
    resumed : whether the fit goes on from a checkpoint.

    Raises
    ------
    UserError
        If the device cannot compute in `precision`.

    Examples
    --------
    >>> import torch
    >>> from reprbench import Budget, Run
    >>> run = Run(seed=0, budget=Budget(epochs=2))
    >>> noise = torch.rand(3, generator=run.generator("noise"))
    >>> torch.equal(noise, torch.rand(3, generator=Run(seed=0, budget=Budget(epochs=2)).generator("noise")))
    True
    >>> run.log(step=1, loss=0.25)
    >>> run.history[0]["loss"]
    0.25
    """

    def __init__(
        self,
        seed: int,
        budget: Budget,
        device: str = "cpu",
        folder: Path | None = None,
        progress: Progress | None = None,
        watched: Tensor | None = None,
        precision: Precision = "float32",
    ) -> None:
        import torch

        self.seed = seed
        self.budget = budget
        self.device = torch.device(device)
        self.precision = _possible(precision, self.device)
        self.history: list[dict[str, float]] = []
        self.images_seen = 0
        self.work = Work()
        self.share = 0.0
        self.resumed = False
        self.watched = watched
        self.snapshots: list[tuple[float, Tensor]] = []
        """Numbers of epochs, possibly fractional, and the reconstructions of the watched images then, on the CPU."""
        self.warnings: list[str] = []
        """What the reader of the fit's row has to know, besides the learner's own warnings."""
        self._checkpoint = None if folder is None else _checkpoint_in(folder)
        self._progress = progress or (lambda what, share, values: None)
        self._generators: dict[str, torch.Generator] = {}
        self._started = time.monotonic()
        self._next_checkpoint = self._started + checkpoint_seconds()

    # -- randomness ---------------------------------------------------------------------------------------------

    def generator(self, name: str) -> torch.Generator:
        """Return the torch generator called `name`, on the run's device; later calls return the same, advanced one."""
        import torch

        if name not in self._generators:
            self._generators[name] = torch.Generator(self.device).manual_seed(derive_seed(self.seed, name))
        return self._generators[name]

    def numpy_generator(self, name: str) -> np.random.Generator:
        """Return a new NumPy generator derived from the seed and `name`."""
        import numpy as np

        return np.random.default_rng(derive_seed(self.seed, name))

    # -- precision ----------------------------------------------------------------------------------------------

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for forward passes: torch's autocast to bfloat16 if the precision is "bf16".

        With "float32" it changes nothing. `TorchLearner.loss` is already called inside it.
        """
        import torch

        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    # -- log and progress ---------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds of fitting so far, those before a resume included."""
        return time.monotonic() - self._started

    def log(self, step: int, **values: float) -> None:
        """Add a row to ``history.csv``.

        Raises
        ------
        Diverged
            If a value, or `step`, is not finite.
        TypeError
            If one of them is not a number.
        """
        row = {name: _number(name, value) for name, value in values.items()}
        number = _number("step", step)
        bad = [f"{name} = {value}" for name, value in {"step": number, **row}.items() if not math.isfinite(value)]
        if bad:
            raise Diverged(f"at step {step}: {', '.join(bad)}")
        # A number of NumPy or torch could not be stored.
        plain = step if isinstance(step, int | float) else int(number) if number.is_integer() else number
        self.history.append({"step": plain, "seconds": round(self.elapsed, 3), **row})

    def progress(self, share: float, **values: float) -> None:
        """Report that `share` (0 to 1) of the fit is done, with the latest `values`.

        A report is only shown and never ends a fit: values that are no finite numbers are left out, and a share that
        is none counts as 0. `log`, whose rows are stored, refuses them.
        """
        self._progress("fit", share, values)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def checkpoint_due(self) -> bool:
        """Return whether it is time for `save_checkpoint`."""
        return self._checkpoint is not None and time.monotonic() >= self._next_checkpoint

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Save `state` (nested dicts and lists of tensors and plain values), with all generators and the history."""
        import torch

        if self._checkpoint is None:
            return
        before = time.monotonic()
        own = {
            "device": self.device.type,
            "elapsed": self.elapsed,
            "images_seen": self.images_seen,
            "work": self.work.state(),
            "history": self.history,
            "snapshots": self.snapshots,
            "generators": {name: generator.get_state() for name, generator in self._generators.items()},
            "global": torch.random.get_rng_state(),
        }
        if self.device.type == "cuda":
            own["global_cuda"] = torch.cuda.get_rng_state(self.device)
        save_arrays(self._checkpoint, *flatten({"run": own, "state": state}))
        after = time.monotonic()
        self._next_checkpoint = after + max(checkpoint_seconds(), (after - before) * CHECKPOINT_SHARE)

    def restore_checkpoint(self) -> dict[str, Any] | None:
        """Return the state of the last checkpoint, if any, and restore generators, clock and history from it.

        Without a checkpoint, with a damaged one or with one of another device, the fit starts from the beginning.
        """
        import torch

        found = None if self._checkpoint is None else self._checkpoint.read(unpack)
        saved = None if found is None else unflatten(*found)
        if saved is None or saved["run"]["device"] != self.device.type:
            return None
        own = saved["run"]
        self.resumed = True
        self._started = time.monotonic() - own["elapsed"]
        self.images_seen = own["images_seen"]
        self.work.restore(own["work"])
        self.history = own["history"]
        self.snapshots = [(epoch, images) for epoch, images in own["snapshots"]]
        for name, generator_state in own["generators"].items():
            self.generator(name).set_state(generator_state)
        torch.random.set_rng_state(own["global"])
        if "global_cuda" in own and self.device.type == "cuda":
            torch.cuda.set_rng_state(own["global_cuda"], self.device)
        state: dict[str, Any] = saved["state"]
        return state

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint, if there is one."""
        if self._checkpoint is not None:
            self._checkpoint.discard()


def _checkpoint_in(folder: Path) -> CacheFile:
    """Return the checkpoint of a fit, bound to the last two folders, which name the fit."""
    fit = folder.absolute()
    return CacheFile(fit.parent.parent, f"{fit.parent.name}/{fit.name}/{CHECKPOINT}")


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, str | bytes | bytearray):
            return float(value)
    except (TypeError, ValueError, RuntimeError):  # as torch raises for several elements
        pass
    raise TypeError(f"run.log takes numbers; {name} is of type {type(value).__name__}")


def _possible(precision: Precision, device: torch.device) -> Precision:
    """Return `precision` if forward passes on `device` support it."""
    import torch

    if precision not in get_args(Precision):
        raise UserError(f"unknown precision {precision!r}; expected one of {', '.join(get_args(Precision))}")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UserError(f"the device {device} has no bfloat16; use the precision float32")
    return precision


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Seed torch's global random state from `seed` and `name` for the block, and restore it afterwards.

    On CUDA it is that of the current device.
    """
    import torch

    # A trial on the CPU must not take memory of a device by asking for its state.
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, name))
        yield


def checkpoint_seconds() -> float:
    """Return the shortest time between two checkpoints; raise a `UserError` if the environment has no such number."""
    given = os.environ.get("REPRBENCH_CHECKPOINT_SECONDS")
    if given is None:
        return CHECKPOINT_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UserError(f"REPRBENCH_CHECKPOINT_SECONDS={given!r}: expected a number of seconds from 0, like 10")
    return seconds
