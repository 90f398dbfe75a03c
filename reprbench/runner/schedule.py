"""Has an executor run the planned trials, and writes each to the store as soon as it ends."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from reprbench.claims import Claims
from reprbench.errors import UserError, system_reason
from reprbench.owner import Owner
from reprbench.runner.executors.base import Executor, Submitted
from reprbench.runner.job import Job, ProtocolJob, TrialResult, evaluation_path, has_checkpoint, now
from reprbench.runner.plan import Planned, TrialSpec, digest, requested_anew
from reprbench.runner.received import Progress
from reprbench.runner.record import Finished, protocol_jobs, read_finished, record, so_far
from reprbench.runner.waiting import Waiting
from reprbench.runner.working_folder import remove_abandoned
from reprbench.store import Store
from reprbench.texts import described, traceback_of
from reprbench.trial import TRIAL, Trial
from reprbench.trial_file import read_trial

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Folders:
    """Where datasets are searched, and where fitted learners and features are kept."""

    data: Sequence[Path]
    cache: Path


class Listener(Protocol):
    """Shows what happens in a run."""

    def started(self, planned: Planned) -> None:
        """Called when a trial begins."""

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Called when a trial reports progress."""

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Called when a trial has ended."""

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Called once when a trial waits because another process is running it or making its fit."""

    def warned(self, line: str) -> None:
        """Called with a warning that concerns the run; also from another thread."""


@dataclass
class Running:
    """A trial that is running."""

    planned: Planned
    submitted: Submitted
    begun: str
    asked: list[ProtocolJob]
    stored: int = 0
    """How many of its evaluations are in the store."""


class Schedule:
    """Has an executor run each planned trial and writes it to the store as soon as it ends.

    Parameters
    ----------
    claim_fits : whether this process claims the fits; otherwise who makes them does.

    Attributes
    ----------
    interrupted : whether a signal asked for the end of the last run.
    """

    def __init__(
        self, store: Store, folders: Folders, executor: Executor, listener: Listener, claim_fits: bool = True
    ) -> None:
        self.interrupted, self._claim_fits = False, claim_fits
        self._store, self._folders, self._executor, self._listener = store, folders, executor, listener

    def run(self, work: Sequence[Planned]) -> list[Trial]:
        """Record and run all trials that are not kept; return them in the order in which they ended.

        On Ctrl-C, SIGTERM or SIGHUP the running trials are stopped and recorded as interrupted, with their checkpoints
        kept; those that had not started are missing from the list. Trials that another run has finished meanwhile are
        in it. Whatever goes wrong with one trial costs that trial.
        """
        remove_abandoned()
        running: list[Running] = []
        ended = [self._record_anew(one.spec, one.stored) for one in work if one.action == "record" and one.stored]
        with _interruptible() as interrupted, Claims(partial(self._tell, self._listener.warned)) as claims:
            to_run = [planned for planned in work if planned.runs]
            waits = partial(self._tell, self._listener.waits)
            waiting = Waiting(to_run, self._store, self._folders.cache, claims, waits, self._claim_fits)
            while (waiting or running) and not interrupted():
                while self._executor.has_room() and not interrupted() and (planned := waiting.next()):
                    begun = self._start(planned)
                    if isinstance(begun, Running):
                        running.append(begun)
                    else:
                        ended.append(begun)
                        waiting.release(planned)
                for one in [one for one in running if self._look(one)]:
                    running.remove(one)
                    ended.append(self._close(one))
                    waiting.release(one.planned)
                if running or waiting:
                    time.sleep(POLL_SECONDS)
            ended += [self._interrupt(one) for one in running]
        self.interrupted = interrupted()
        return ended

    def _start(self, planned: Planned) -> Running | Trial:
        """Start a trial; return its record if it cannot be started, or another run has finished it meanwhile."""
        begun = now()
        if planned.spec.problem:
            return self._fail(planned, planned.spec.problem, planned.spec.traceback, begun)
        if not planned.runs and planned.stored is not None:
            return self._finished_elsewhere(planned, planned.stored)
        self._tell(self._listener.started, planned)
        try:
            job = _job(planned, self._folders)
            submitted = self._executor.submit(job)
            for line in self._executor.warnings():
                self._tell(self._listener.warned, line)
        except OSError as error:
            place = f"{error.filename}; free space there, or set TMPDIR" if error.filename else "try again"
            return self._fail(planned, f"could not be started: {system_reason(error)}: {place}", "", begun)
        except UserError as error:
            return self._fail(planned, f"could not be started: {error}", "", begun)
        except Exception as error:
            return self._fail(planned, _own_failure(error), traceback_of(error), begun)
        return Running(planned, submitted, begun, job.protocols)

    def _finished_elsewhere(self, planned: Planned, stored: Trial) -> Trial:
        trial = self._record_anew(planned.spec, stored) if planned.action == "record" else stored
        self._tell(self._listener.finished, planned, trial)
        return trial

    def _look(self, one: Running) -> bool:
        """Pass a trial's reports on to the listener, store what it has finished; return whether it has ended."""
        try:
            ended = one.submitted.ended()
            for message in one.submitted.messages():
                self._tell(self._listener.progressed, one.planned, message)
            if not ended:
                self._store_finished(one)
        except Exception as error:
            one.submitted.end("failed", _own_failure(error))
            return True
        return ended

    def _store_finished(self, one: Running) -> None:
        """Store the evaluations that a running trial has finished since the last look."""
        left = one.asked[one.stored :]
        if not left or not evaluation_path(one.submitted.path, left[0]).exists():
            return
        finished = read_finished(one.submitted.path, one.asked)
        one.stored = len(finished.evaluations)
        # What cannot be written now is written again, or reported, when the trial has ended.
        with contextlib.suppress(Exception):
            self._store.write(so_far(one.planned, finished, one.begun), one.submitted.files())

    def _interrupt(self, one: Running) -> Trial:
        # What cannot be ended now is tried again when it is closed.
        with contextlib.suppress(Exception):
            one.submitted.end("interrupted", _interruption(one.planned, self._folders))
        return self._close(one)

    def _close(self, one: Running) -> Trial:
        try:
            result, signal_name = one.submitted.result()
            finished = read_finished(one.submitted.path, one.asked)
            trial = record(one.planned, result, signal_name, finished, one.begun)
            return self._keep(one.planned, trial, one.submitted.files())
        except Exception as error:
            return self._fail(one.planned, _own_failure(error), traceback_of(error), one.begun)
        finally:
            one.submitted.close()

    def _fail(self, planned: Planned, reason: str, traceback: str, begun: str) -> Trial:
        """Record a trial that never ran, or that this process cannot handle."""
        result = TrialResult(status="failed", reason=reason, traceback=traceback)
        return self._keep(planned, record(planned, result, None, Finished(), begun), {})

    def _record_anew(self, spec: TrialSpec, stored: Trial) -> Trial:
        """Write a stored trial again with what is requested now; the listener only hears of trials that run."""
        return self._write(requested_anew(spec, stored, now()), {})

    def _keep(self, planned: Planned, trial: Trial, files: dict[str, Path]) -> Trial:
        trial = self._write(trial, files)
        self._tell(self._listener.finished, planned, trial)
        return trial

    def _tell(self, what: Callable[..., None], *about: Any) -> None:
        """Call the listener; if it cannot show something, that costs nothing else."""
        with contextlib.suppress(Exception):
            what(*about)

    def _write(self, trial: Trial, files: dict[str, Path]) -> Trial:
        """Store a trial; return what the store has of it now, which may be more: others write there, too."""
        try:
            return read_trial(self._store.write(trial, files) / TRIAL)
        except Exception as error:
            # If the disk is full, this trial's record is lost, but not the run; its fit stays in the cache.
            why = system_reason(error) if isinstance(error, OSError) and error.strerror else described(error)
            reason = f"could not be written to {self._store.root}: {why}; run the same command again"
            return msgspec.structs.replace(trial, status="failed", reason=reason, warnings=[*trial.warnings, reason])


def _own_failure(error: Exception) -> str:
    return f"reprbench could not handle this trial: {described(error)}"


def _interruption(planned: Planned, folders: Folders) -> str:
    goes_on = "goes on from the checkpoint" if has_checkpoint(folders.cache, planned.spec.hash) else "runs it again"
    return f"the run was interrupted; the same command {goes_on}"


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether a signal asked for the end, instead of being interrupted by it.

    A signal that is ignored, as by ``nohup``, stays ignored. Only the main thread of a program can be asked.
    """
    seen: list[int] = []
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    main = threading.current_thread() is threading.main_thread()
    signals = [number for number in every if main and signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, lambda number, frame: seen.append(number)) for number in signals]
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _job(planned: Planned, folders: Folders) -> Job:
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
        key=digest([spec.hash, sorted(planned.hashes)]),
        label=spec.label,
    )
