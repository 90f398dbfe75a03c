"""What the schedule asks of an executor."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from reprbench.runner.job import Job, TrialResult
from reprbench.runner.received import Progress
from reprbench.trial import Status


class Submitted(Protocol):
    """A trial that an executor runs, or will run. Close it in the end."""

    @property
    def path(self) -> Path:
        """The folder in which what it has finished appears: ``fit.json`` and its evaluations."""

    def messages(self) -> list[Progress]:
        """Return the progress reports received since the last call."""

    def ended(self) -> bool:
        """Return whether it has ended; end it if it is past a limit."""

    def end(self, status: Status, reason: str) -> None:
        """End it; `status` and `reason` say why."""

    def result(self) -> tuple[TrialResult, str | None]:
        """Return its result and, if a signal ended it before it had one, the signal's name."""

    def files(self) -> dict[str, Path]:
        """Return the files so far that belong in the trial's folder in the store, by their paths there."""

    def close(self) -> None:
        """End it, if it has not ended, and free what it holds."""


class Executor(Protocol):
    """Runs trials, each in a process of its own, here or elsewhere. Close it in the end."""

    def has_room(self) -> bool:
        """Return whether it takes another trial now."""

    def submit(self, job: Job) -> Submitted:
        """Take a trial, and return at once.

        Raises
        ------
        OSError, UserError
            If it cannot be started.
        """

    def warnings(self) -> list[str]:
        """Return what there is to be warned of, once."""

    def close(self) -> None:
        """Free what it holds; the trials have been closed."""
