"""Fitted learners, from the cache or fitted now; evaluation always uses a learner loaded from its saved state."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reprbench.arrays import save_arrays, unpack
from reprbench.cache import CacheFile
from reprbench.learner import Learner, SupervisedLearner, make
from reprbench.protocols.base import Snapshots
from reprbench.run_context import Run, seeded
from reprbench.runner.received import number
from reprbench.state import learner_state, load_learner_state, to_device
from reprbench.texts import warning_lines

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.data.dataset import Dataset
    from reprbench.images import Images, Indices
    from reprbench.learner import ImageShape
    from reprbench.runner.job import Job

STATE = "state.safetensors"
SNAPSHOTS = "snapshots.safetensors"
WATCHED_IMAGES = 8
"""How many of the images that a learner is fitted to are watched, evenly spread: it keeps their reconstructions."""


class Fits:
    """The fits of one trial: one, or for a supervised learner one per set of training rows.

    Parameters
    ----------
    job : the trial.
    cls : the learner's class.
    dataset : the data, already limited.
    progress : called with the current task, the share of it that is done and the latest values.
    provenance : of this process, recorded with every fit made here.
    """

    def __init__(
        self,
        job: Job,
        cls: type[Learner],
        dataset: Dataset,
        progress: Callable[[str, float, Any], None],
        provenance: dict[str, Any],
    ) -> None:
        self.notes: dict[str, dict[str, Any]] = {}
        self.resumed = False
        self.seconds_here = 0.0
        """Seconds of fitting in this process, without fits from the cache and the time before a resume."""
        self._provenance = provenance
        self._job, self._cls, self._dataset, self._progress = job, cls, dataset, progress
        self._loaded: tuple[str, Learner] | None = None
        self._first: Indices | None = None
        self._running: Run | None = None

    def key(self, rows: Indices | None) -> str:
        """Return the name of the fit on `rows` of the training split (None: on the unlabeled images)."""
        return fit_key(rows)

    def learner(self, rows: Indices | None) -> Learner:
        """Return the fitted learner on the job's device; only the last one is kept in memory."""
        key = self.key(rows)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            self._loaded = (key, self._load(self.ensure(rows)))
        return self._loaded[1]

    def ensure(self, rows: Indices | None) -> dict[str, Any]:
        """Fit unless the cache has the fit; return its state, and keep the note about it in `notes`."""
        key = self.key(rows)
        if not self.notes:
            self._first = rows
        state, self.notes[key] = self._file(key, STATE).get(unpack, lambda: self._fit(rows, key))
        return state

    def snapshots(self, rows: Indices | None) -> Snapshots | None:
        """Return the snapshots that the fit kept of its watched images; None if it kept none."""
        self.ensure(rows)
        key = self.key(rows)
        if not self.notes[key]["snapshots"]:
            return None
        arrays, epochs = self._file(key, SNAPSHOTS).get(unpack, lambda: self._fit(rows, key))
        return Snapshots(epochs, arrays["originals"].numpy(), arrays["reconstructions"].numpy())

    def history(self) -> list[dict[str, float]]:
        """Return the logged rows of all fits; if there are several, the first column is the number of the fit."""
        fits = [note["history"] for note in self.notes.values()]
        fits += [list(self._running.history)] if self._running else []
        if len(fits) == 1:
            return list(fits[0])
        return [{"fit": n, **row} for n, history in enumerate(fits) for row in history]

    def provenance(self) -> dict[str, Any]:
        """Return the provenance of the first fit, which may be an old one."""
        found: dict[str, Any] = next(iter(self.notes.values()))["provenance"] if self.notes else self._provenance
        return found

    def total(self, name: str) -> float:
        """Return the sum of one number over the notes of all fits."""
        return float(sum(note[name] for note in self.notes.values()))

    def last(self) -> Learner:
        """Return the learner that was used last; load that of the first fit if there is none."""
        return self.learner(self._first) if self._loaded is None else self._loaded[1]

    def _file(self, key: str, name: str) -> CacheFile:
        return _file(self._job.cache, self._job.hash, key, name)

    def _load(self, state: dict[str, Any]) -> Learner:
        job, shape = self._job, self._dataset.train.shape
        return load_fit(self._cls, job.parameters, shape, job.seed, state, job.device)

    def _make(self) -> Learner:
        return _make(self._cls, self._job.parameters, self._dataset.train.shape, self._job.seed)

    def _fit(self, rows: Indices | None, key: str) -> None:
        started = time.monotonic()
        state = self._file(key, STATE)
        images = self._dataset.unlabeled if rows is None else self._dataset.train.take(rows)
        run = self._run(images, state.path.parent)
        learner = self._make()
        self._running = run
        try:
            with seeded(self._job.seed, "fit"):
                self._learn(learner, images, rows, run)
        finally:
            self._running = None
            self.resumed = self.resumed or run.resumed
        note = {
            "history": run.history,
            "seconds": run.elapsed,
            "images_seen": _images_seen(run),
            **run.work.state(),
            "warnings": _warnings(learner, run),
            "provenance": self._provenance,
            "snapshots": run.watched is not None and bool(run.snapshots),
        }
        if run.watched is not None and run.snapshots:
            epochs, reconstructions = zip(*run.snapshots, strict=True)
            arrays = {"originals": run.watched, "reconstructions": torch.stack(reconstructions)}
            save_arrays(self._file(key, SNAPSHOTS), arrays, epochs)
        # Last, so that a fit with a state has its snapshots too.
        save_arrays(state, learner_state(learner), note)
        run.discard_checkpoint()
        self.seconds_here += time.monotonic() - started

    def _learn(self, learner: Learner, images: Images, rows: Indices | None, run: Run) -> None:
        if not isinstance(learner, SupervisedLearner):
            learner.fit(images, run)
            return
        if rows is None:
            raise ValueError("a supervised learner is fitted on labeled rows; the protocol named none")
        learner.fit_labeled(images, self._dataset.train_labels[rows], run)

    def _run(self, images: Images, folder: Path) -> Run:
        watched = np.unique(np.linspace(0, len(images) - 1, WATCHED_IMAGES).round().astype(np.int64))
        return Run(
            self._job.seed,
            self._job.budget,
            self._job.device,
            folder,
            self._progress,
            images.batch(watched, self._job.device),
            self._job.precision,
        )


def fit_key(rows: Indices | None) -> str:
    """Return the name of a fit on `rows` of the training split (None: on the unlabeled images)."""
    return "unlabeled" if rows is None else f"rows-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}"


def state_file(cache: Path, fit: str, rows: Indices | None) -> CacheFile:
    """Return the file of the state of a trial's learner; `fit` is the trial's hash."""
    return _file(cache, fit, fit_key(rows), STATE)


def load_fit(
    cls: type[Learner],
    parameters: Mapping[str, Any],
    shape: ImageShape,
    seed: int,
    state: Mapping[str, Tensor],
    device: str,
) -> Learner:
    """Return a learner made anew, with the state of one that was fitted, on `device`."""
    learner = _make(cls, parameters, shape, seed)
    load_learner_state(learner, state)
    to_device(learner, device)
    return learner


def _make(cls: type[Learner], parameters: Mapping[str, Any], shape: ImageShape, seed: int) -> Learner:
    with seeded(seed, "weights"):
        return make(cls, parameters, shape)


def _file(cache: Path, fit: str, key: str, name: str) -> CacheFile:
    return CacheFile(cache / "fits", f"{fit}/{key}/{name}")


def _images_seen(run: Run) -> int:
    """Return what the learner counted, which may be a number of NumPy or torch; raise a `TypeError` if it is none."""
    count = number(run.images_seen)
    if count is None or not 0 <= count < 2**63:
        raise TypeError("run.images_seen must be the number of images that were drawn; the learner counts them")
    return int(run.images_seen)


def _warnings(learner: Learner, run: Run) -> list[str]:
    found: Any = learner.warnings(run.history)
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise TypeError(f"{type(learner).__name__}.warnings must return a list of texts")
    return warning_lines([*run.warnings, *found])
