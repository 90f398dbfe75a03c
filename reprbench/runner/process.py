"""One trial's process, seen from the parent: starts it, reads its messages, enforces limits, reads its outcome."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reprbench.runner.child import Child
from reprbench.runner.job import JOB, PROVENANCE, RESULT, Job, TrialResult, write_job
from reprbench.runner.oom import oom_kills
from reprbench.runner.received import Progress, cleaned, progress, read_part, stored_files
from reprbench.runner.working_folder import WorkingFolder
from reprbench.texts import reason
from reprbench.trial import Status

LINGER_SECONDS = 10.0
"""How long a process may go on after it has written its result."""


class TrialProcess:
    """A running trial. Close it when it has ended, which removes its working folder.

    Parameters
    ----------
    timeout, memory : the most seconds and bytes that it may take.
    closed : called when it is closed.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(
        self, job: Job, timeout: float | None, memory: int | None, closed: Callable[[], None] = lambda: None
    ) -> None:
        self._closed = closed
        self._folder = WorkingFolder()
        self.path = self._folder.path
        self._timeout, self._memory = timeout, memory
        self._peak = 0
        self._ended_by_us: tuple[Status, str] | None = None
        self._answered: float | None = None
        self._problem = ""
        self._oom_kills = oom_kills()
        try:
            write_job(self.path / JOB, job)
            environment = trial_environment(job.threads)
            self._child = Child("reprbench.runner.execute", str(self.path), environment=environment)
        except BaseException:
            self._folder.close()
            raise
        self.started = time.monotonic()

    def messages(self) -> list[Progress]:
        """Return the progress reports received since the last call."""
        found = progress(self._child.lines())
        self._problem = next((message.problem for message in found if message.problem), self._problem)
        return [message for message in found if not message.problem]

    def ended(self) -> bool:
        """End the process if it is past a limit; return whether it has ended."""
        if self._child.poll() is not None:
            return True
        now = time.monotonic()
        if self._answered is None and (self.path / RESULT).exists():
            self._answered = now
        if self._answered is not None:
            if now - self._answered > LINGER_SECONDS:
                self._child.end()
        elif self._timeout is not None and now - self.started > self._timeout:
            self.end("timeout", f"took longer than --timeout {self._timeout:g} s")
        elif self._memory is not None and self._measure() > self._memory:
            limit = f"{self._memory / 2**20:.0f} MB"
            self.end("out-of-memory", f"used more memory than --memory allows ({limit})")
        return self._child.poll() is not None

    def end(self, status: Status, reason: str) -> None:
        """Kill the process and all its descendants; `status` and `reason` say why."""
        self._ended_by_us = (status, reason)
        self._child.end()

    def result(self) -> tuple[TrialResult, str | None]:
        """Return the trial's result and, if a signal ended it before it had one, the signal's name.

        A result that is written stands, whatever happened to the process then.
        """
        code = self._child.end()
        self.messages()
        try:
            result, name = cleaned(read_part(self.path / RESULT, TrialResult)), None
        except (OSError, ValueError) as error:
            name = signal.Signals(-code).name if code < 0 else None
            result = self._without_result(code, name, error)
        if not result.provenance:
            with contextlib.suppress(OSError, ValueError):
                result.provenance = read_part(self.path / PROVENANCE, dict[str, Any])
        if result.cost.peak_memory is None and self._peak:
            result.cost.peak_memory = self._peak
        return result, name

    def files(self) -> dict[str, Path]:
        """Return the files that belong in the trial's folder in the store."""
        return stored_files(self.path)

    def close(self) -> None:
        """End the process, and remove the working folder."""
        try:
            self._child.close()
            self._folder.close()
        finally:
            self._closed()

    def _without_result(self, code: int, signal_name: str | None, error: Exception) -> TrialResult:
        if self._ended_by_us is not None:
            status, why = self._ended_by_us
            return TrialResult(status=status, reason=why)
        if signal_name == "SIGKILL" and oom_kills() > self._oom_kills:
            return TrialResult(status="out-of-memory", reason="the system killed it, since memory ran out")
        if signal_name == "SIGKILL":
            why = "killed by SIGKILL, not by reprbench: the system may have run out of memory"
        elif signal_name:
            why = f"killed by {signal_name}"
        elif self._problem:
            why = self._problem
        elif isinstance(error, FileNotFoundError):
            why = f"the process exited with status {code} before it had a result"
        else:
            why = f"its result cannot be read: {reason(error)}"
        return TrialResult(status="failed", reason=why, traceback=self._child.output())

    def _measure(self) -> int:
        self._peak = max(self._peak, total := self._child.memory())
        return total


def trial_environment(threads: int) -> dict[str, str]:
    """Return the environment of a trial: its share of the threads, set before any library starts its own."""
    count = str(threads)
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count),
        # glibc otherwise frees large feature maps after every use, and every page of the next one faults.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
    }
