"""Runs a trial in this process, where print, breakpoint(), pdb and profilers work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reprbench.files import write_json
from reprbench.runner.execute import execute
from reprbench.runner.job import RESULT, Job, TrialResult
from reprbench.runner.limits import Limits
from reprbench.runner.process import trial_environment
from reprbench.runner.received import Progress, cleaned, read_part, stored_files
from reprbench.runner.working_folder import WorkingFolder
from reprbench.trial import Status, to_json


class DebugExecutor:
    """Runs each trial to its end when it is submitted; no limit ends it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def has_room(self) -> bool:
        """Return True: what was submitted has ended."""
        return True

    def submit(self, job: Job) -> DebugTrial:
        """Run a trial."""
        threads = self._limits.threads_each
        return DebugTrial(replace(job, device=self._limits.devices[0], threads=threads, trials_at_once=1))

    def warnings(self) -> list[str]:
        """Return none."""
        return []

    def close(self) -> None:
        """Free nothing."""


class DebugTrial:
    """A trial that has run in this process. Close it, which removes its working folder."""

    def __init__(self, job: Job) -> None:
        self._folder = WorkingFolder()
        self.path: Path = self._folder.path
        try:
            with _as_in_a_process_of_its_own(job.threads), _keyboard_interrupts() as interrupted:
                result = execute(job, self.path, lambda what, share, values: None)
            if result.status != "done" and interrupted:
                result = replace(result, status="interrupted", reason="it was interrupted with Ctrl-C")
            # Read back, it is what that of another process would be.
            write_json(self.path / RESULT, to_json(result))
            self._result = cleaned(read_part(self.path / RESULT, TrialResult))
        except BaseException:
            self._folder.close()
            raise

    def messages(self) -> list[Progress]:
        """Return none: it has ended."""
        return []

    def ended(self) -> bool:
        """Return True."""
        return True

    def end(self, status: Status, reason: str) -> None:
        """Do nothing: it has ended."""

    def result(self) -> tuple[TrialResult, str | None]:
        """Return its result."""
        return self._result, None

    def files(self) -> dict[str, Path]:
        """Return the files that belong in the trial's folder in the store; its log is what stood in the terminal."""
        return stored_files(self.path)

    def close(self) -> None:
        """Remove the working folder."""
        self._folder.close()


@contextlib.contextmanager
def _as_in_a_process_of_its_own(threads: int) -> Iterator[None]:
    """Restore, in the end, the environment and the settings of torch that a trial changes."""
    import torch

    environment = dict(os.environ)
    count = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    flags = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    os.environ.update(trial_environment(threads))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(count)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = flags


@contextlib.contextmanager
def _keyboard_interrupts() -> Iterator[list[int]]:
    """Let Ctrl-C interrupt the trial, and reach who handled it before; yield a list that then has an entry."""
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield seen
        return

    def interrupt(number: int, frame: Any) -> None:
        seen.append(number)
        before(number, frame)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
