"""Tells trackers what happens in a run, from a thread of its own: one that is slow or fails costs no trial anything."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reprbench.evaluation import FINISHED
from reprbench.history_file import read_history
from reprbench.owner import Owner
from reprbench.report.measured import by_fold, matching
from reprbench.report.text import place_text
from reprbench.runner.executors.base import Executor, Submitted
from reprbench.runner.job import HISTORY, Job, TrialResult
from reprbench.runner.plan import Planned
from reprbench.runner.received import Progress
from reprbench.runner.schedule import Listener
from reprbench.texts import described
from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd
from reprbench.trial import Status, Trial

CLOSE_SECONDS = 60.0
"""How long a run waits in the end for what trackers have not yet written or sent."""

LOOK_SECONDS = 1.0
"""How often to look whether a trial has logged something."""


@contextmanager
def tracked(
    trackers: Sequence[tuple[str, Tracker]], root: Path, executor: Executor, listener: Listener
) -> Iterator[tuple[Executor, Listener]]:
    """Yield an executor and a listener that tell the trackers, too, what happens.

    Parameters
    ----------
    trackers : with their names in messages.
    root : the folder of trials.
    """
    if not trackers:
        yield executor, listener
        return
    tracking = Tracking(trackers, root, listener.warned)
    try:
        yield TrackedExecutor(executor, tracking), TrackedListener(listener, tracking)
    finally:
        tracking.close()


# -- what trackers are told -------------------------------------------------------------------------------------------


@dataclass
class _Open:
    trial: TrackedTrial
    rows: int = 0
    """How many of the history were logged."""


class Tracking:
    """A queue of calls of trackers, and the thread that makes them. Close it in the end.

    Parameters
    ----------
    warn : called with a line, from that thread, too.
    """

    def __init__(self, trackers: Sequence[tuple[str, Tracker]], root: Path, warn: Callable[[str], None]) -> None:
        self._trackers, self._root, self._warn = list(trackers), root, warn
        self._open: dict[str, _Open] = {}
        self._calls: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._thread.start()

    def started(self, planned: Planned) -> None:
        """Begin a trial."""
        trial = _tracked(planned)
        self._open[planned.spec.hash] = _Open(trial)
        self._calls.put(lambda tracker: tracker.on_start(trial))

    def logged(self, fit: str, path: Path) -> None:
        """Log the new rows of a history; `fit` is the hash of the trial."""
        one = self._open[fit]
        for row in read_history(path)[one.rows :]:
            one.rows += 1
            self._log(one.trial, row)

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Log what is left of the history, and end a trial; one that never began is begun."""
        fit = planned.spec.hash
        if fit not in self._open:
            self.started(planned)
        if trial.status in FINISHED:
            self.logged(fit, self._root / trial.folder / HISTORY)
        one, end = self._open.pop(fit).trial, _end(planned, trial)
        for name, path in _figures(planned, trial, self._root):
            self._image(one, name, path)
        self._calls.put(lambda tracker: tracker.on_end(one, end))

    def close(self) -> None:
        """Wait until everything is delivered, but not too long."""
        self._calls.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            names = ", ".join(name for name, _ in self._trackers)
            self._warn(f"--log-to {names}: still busy after {CLOSE_SECONDS:g} s; what is left is lost")

    def _log(self, trial: TrackedTrial, row: dict[str, float]) -> None:
        step, number = row.pop("step"), row.pop("fit", None)
        values = row if number is None else {f"fit {number:g}/{name}": value for name, value in row.items()}
        self._calls.put(lambda tracker: tracker.on_log(trial, step, values))

    def _image(self, trial: TrackedTrial, name: str, path: Path) -> None:
        # Another run may have replaced it by the time the call is made.
        self._calls.put(lambda tracker: tracker.on_image(trial, name, path) if path.is_file() else None)

    def _deliver(self) -> None:
        while (call := self._calls.get()) is not None:
            for named in list(self._trackers):
                try:
                    call(named[1])
                except (Exception, SystemExit) as error:  # whatever the library or the user's own class raises
                    self._trackers.remove(named)
                    with contextlib.suppress(Exception):
                        self._warn(f"--log-to {named[0]}: {described(error)}; nothing more is logged there")


def _tracked(planned: Planned) -> TrackedTrial:
    spec = planned.spec
    return TrackedTrial(
        benchmark=spec.benchmark,
        label=spec.label,
        method=str(spec.method.call),
        dataset=str(spec.dataset.call),
        parameters=spec.method.parameters,
        budget=str(spec.budget),
        seed=spec.seed,
        folder=spec.folder,
    )


def _end(planned: Planned, trial: Trial) -> TrialEnd:
    failed = trial.failure(planned.hashes) or trial
    cost = {"fit seconds": trial.cost.fit_seconds, "evaluation seconds": trial.cost.evaluation_seconds}
    values = {name: value for name, value in cost.items() if value is not None}
    for evaluation in trial.evaluations:
        for headline in evaluation.headlines if evaluation.hash in planned.hashes else ():
            found = by_fold(matching(evaluation, headline.metric, headline.at)).values()
            place = place_text(headline.at.items())
            name = f"{evaluation.call}/{headline.metric}{f' {place}' if place else ''}"
            values |= {name: sum(found) / len(found)} if found else {}
    return TrialEnd(failed.status, failed.reason, values)


def _figures(planned: Planned, trial: Trial, root: Path) -> Iterator[tuple[str, Path]]:
    for evaluation in trial.evaluations:
        for figure in evaluation.figures if evaluation.hash in planned.hashes else ():
            yield f"{evaluation.call}/{figure.name}", root / trial.folder / figure.file


# -- where it is heard ------------------------------------------------------------------------------------------------


class TrackedListener:
    """Tells another listener everything, and trackers what concerns them."""

    def __init__(self, listener: Listener, tracking: Tracking) -> None:
        self._listener, self._tracking = listener, tracking

    def started(self, planned: Planned) -> None:
        """Begin a trial."""
        self._listener.started(planned)
        self._tracking.started(planned)

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Tell the other listener alone."""
        self._listener.progressed(planned, message)

    def finished(self, planned: Planned, trial: Trial) -> None:
        """End a trial."""
        self._listener.finished(planned, trial)
        self._tracking.finished(planned, trial)

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Tell the other listener alone."""
        self._listener.waits(planned, owner)

    def warned(self, line: str) -> None:
        """Tell the other listener alone."""
        self._listener.warned(line)


class TrackedExecutor:
    """An executor of whose trials the new rows of their histories are logged."""

    def __init__(self, executor: Executor, tracking: Tracking) -> None:
        self._executor, self._tracking = executor, tracking

    def has_room(self) -> bool:
        """Return whether it takes another trial now."""
        return self._executor.has_room()

    def warnings(self) -> list[str]:
        """Return what there is to be warned of, once."""
        return self._executor.warnings()

    def close(self) -> None:
        """Free what it holds."""
        self._executor.close()

    def submit(self, job: Job) -> Submitted:
        """Take a trial."""
        return TrackedSubmission(self._executor.submit(job), job.hash, self._tracking)


class TrackedSubmission:
    """A trial of which the new rows of its history are logged."""

    def __init__(self, submitted: Submitted, fit: str, tracking: Tracking) -> None:
        self._submitted, self._fit, self._tracking = submitted, fit, tracking
        self._next, self._seen = 0.0, 0

    @property
    def path(self) -> Path:
        """The folder in which what it has finished appears."""
        return self._submitted.path

    def messages(self) -> list[Progress]:
        """Return its progress reports, and log what is new."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_SECONDS
            self._look()
        return self._submitted.messages()

    def ended(self) -> bool:
        """Return whether it has ended."""
        return self._submitted.ended()

    def end(self, status: Status, reason: str) -> None:
        """End it."""
        self._submitted.end(status, reason)

    def result(self) -> tuple[TrialResult, str | None]:
        """Return its result."""
        return self._submitted.result()

    def files(self) -> dict[str, Path]:
        """Return its files, and log what is new."""
        self._look()
        return self._submitted.files()

    def close(self) -> None:
        """Close it."""
        self._submitted.close()

    def _look(self) -> None:
        path = self._submitted.path / HISTORY
        with contextlib.suppress(Exception):  # what only trackers see costs the trial nothing
            if self._seen != (written := path.stat().st_mtime_ns):
                self._seen = written
                self._tracking.logged(self._fit, path)
