"""Runs the planned trials, several at a time, and writes each to the store as soon as it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from reprbench.runner.job import Job, ProtocolJob, TrialResult, evaluation_path, now
from reprbench.runner.plan import Planned, TrialSpec
from reprbench.runner.process import TrialProcess
from reprbench.runner.record import Finished, protocol_jobs, read_finished, record, requested_anew, so_far
from reprbench.store import Store
from reprbench.trial import TRIAL, Trial
from reprbench.trial_file import read_trial

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """The limits of a run."""

    jobs: int = 1
    timeout: float | None = None
    """Seconds a trial may take."""
    memory: int | None = None
    """Bytes a trial may use, without mapped files."""
    device: str = "cpu"
    threads: int | None = None
    """CPU threads of a trial; by default the number of cores, or OMP_NUM_THREADS, divided by the jobs."""

    @property
    def threads_each(self) -> int:
        """CPU threads of one trial."""
        allowed = os.environ.get("OMP_NUM_THREADS", "")
        cores = int(allowed) if allowed.isdecimal() else os.cpu_count() or 1
        return self.threads or max(1, cores // self.jobs)


@dataclass(frozen=True)
class Folders:
    """Where datasets are searched, and where fitted learners and features are kept."""

    data: Sequence[Path]
    cache: Path


class Listener(Protocol):
    """Shows what happens in a run."""

    def started(self, planned: Planned) -> None:
        """Called when a trial begins."""

    def progressed(self, planned: Planned, message: dict[str, Any]) -> None:
        """Called when a trial reports progress."""

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Called when a trial has ended."""


@dataclass
class Running:
    """A trial that is running."""

    planned: Planned
    process: TrialProcess
    begun: str
    asked: list[ProtocolJob]
    stored: int = 0
    """How many of its evaluations are in the store."""


class Schedule:
    """Runs each planned trial in a process of its own and writes it to the store as soon as it ends."""

    def __init__(self, store: Store, folders: Folders, limits: Limits, listener: Listener) -> None:
        self._store, self._folders, self._limits, self._listener = store, folders, limits, listener

    def run(self, work: Sequence[Planned]) -> list[Trial]:
        """Record and run all trials that are not kept; return them in the order in which they ended.

        On Ctrl-C or SIGTERM the running trials are stopped and recorded as interrupted, with their checkpoints kept;
        those that had not started are missing from the list.
        """
        waiting = [planned for planned in work if planned.runs]
        running: list[Running] = []
        ended = [self._record_anew(one.spec, one.stored) for one in work if one.action == "record" and one.stored]
        with _interruptible() as interrupted:
            while (waiting or running) and not interrupted():
                while waiting and len(running) < self._limits.jobs:
                    planned = waiting.pop(0)
                    if planned.spec.problem:
                        ended.append(self._refuse(planned))
                    else:
                        running.append(self._start(planned))
                for one in [one for one in running if self._look(one)]:
                    running.remove(one)
                    ended.append(self._close(one))
                if running:
                    time.sleep(POLL_SECONDS)
            for one in running:
                one.process.end("interrupted", "the run was interrupted; the same command goes on from the checkpoint")
                ended.append(self._close(one))
        return ended

    def _start(self, planned: Planned) -> Running:
        self._listener.started(planned)
        job = _job(planned, self._folders, self._limits)
        return Running(planned, TrialProcess(job, self._limits.timeout, self._limits.memory), now(), job.protocols)

    def _look(self, one: Running) -> bool:
        """Pass a trial's reports on to the listener, store what it has finished; return whether it has ended."""
        ended = one.process.ended()
        for message in one.process.messages():
            self._listener.progressed(one.planned, message)
        if not ended and evaluation_path(one.process.path, one.stored).exists():
            finished = read_finished(one.process.path, one.asked)
            one.stored = len(finished.evaluations)
            # What cannot be written now is written again, or reported, when the trial has ended.
            with suppress(OSError, ValueError, TypeError):
                self._store.write(so_far(one.planned, finished, one.begun), one.process.files())
        return ended

    def _close(self, one: Running) -> Trial:
        result, signal_name = one.process.result()
        finished = read_finished(one.process.path, one.asked)
        trial = record(one.planned, result, signal_name, finished, one.begun)
        trial = self._keep(one.planned, trial, one.process.files())
        one.process.close()
        return trial

    def _refuse(self, planned: Planned) -> Trial:
        """Record a trial whose method cannot be imported."""
        result = TrialResult(status="failed", reason=planned.spec.problem, traceback=planned.spec.traceback)
        return self._keep(planned, record(planned, result, None, Finished(), now()), {})

    def _record_anew(self, spec: TrialSpec, stored: Trial) -> Trial:
        """Write a stored trial again with what is requested now; the listener only hears of trials that run."""
        return self._write(requested_anew(spec, stored), {})

    def _keep(self, planned: Planned, trial: Trial, files: dict[str, Path]) -> Trial:
        trial = self._write(trial, files)
        self._listener.finished(planned, trial)
        return trial

    def _write(self, trial: Trial, files: dict[str, Path]) -> Trial:
        """Store a trial; return what the store has of it now, which may be more: others write there, too."""
        try:
            return read_trial(self._store.write(trial, files) / TRIAL)
        except (OSError, ValueError, TypeError) as error:
            # If the disk is full, this trial's record is lost, but not the run; its fit stays in the cache.
            reason = f"could not be written to {self._store.root}: {_text(error)}; run the same command again"
            return msgspec.structs.replace(trial, status="failed", reason=reason, warnings=[*trial.warnings, reason])


def _text(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C or SIGTERM came, instead of being interrupted by them."""
    seen: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, frame: seen.append(number)) for number in signals]
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _job(planned: Planned, folders: Folders, limits: Limits) -> Job:
    spec = planned.spec
    return Job(
        entry=spec.entry,
        parameters=spec.method.parameters,
        dataset=spec.dataset.call,
        dataset_entry=spec.dataset_entry,
        limit=spec.dataset.limit,
        data_digest=spec.dataset.digest,
        data_dirs=list(folders.data),
        cache=folders.cache,
        budget=spec.budget,
        precision=spec.precision,
        seed=spec.seed,
        hash=spec.hash,
        identity=spec.identity(),
        protocols=protocol_jobs(planned),
        packages=list(spec.packages),
        device=limits.device,
        threads=limits.threads_each,
    )
