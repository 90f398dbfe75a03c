"""One trial's process, seen from the parent: starts it, reads its messages, enforces limits, reads its outcome."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from reprbench.files import write_json
from reprbench.runner.job import FIGURES, HISTORY, JOB, LOG, PROVENANCE, RESULT, Job, TrialResult, read_result
from reprbench.trial import Status, to_json


class TrialProcess:
    """A running trial. Close it when it has ended, which removes its working folder."""

    def __init__(self, job: Job, timeout: float | None, memory: int | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="reprbench-trial-")
        self.path = Path(self._folder.name)
        self._timeout, self._memory = timeout, memory
        self._peak = 0
        self._ended_by_us: tuple[Status, str] | None = None
        self._buffer = b""
        write_json(self.path / JOB, to_json(job))
        self._pipe, child_end = os.pipe()
        os.set_blocking(self._pipe, False)
        with (self.path / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reprbench.runner.execute", str(self.path), str(child_end)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[child_end],
                env=_environment(job.threads),
            )
        os.close(child_end)
        self.started = time.monotonic()

    def messages(self) -> list[dict[str, Any]]:
        """Return the progress reports received since the last call."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 65536):
                self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def ended(self) -> bool:
        """End the process if it is past a limit; return whether it has ended."""
        if self._process.poll() is not None:
            return True
        if self._timeout is not None and time.monotonic() - self.started > self._timeout:
            self.end("timeout", f"took longer than --timeout {self._timeout:g} s")
        elif self._memory is not None and self._measure() > self._memory:
            limit = f"{self._memory / 2**20:.0f} MB"
            self.end("out-of-memory", f"used more memory than --memory allows ({limit})")
        return self._process.poll() is not None

    def end(self, status: Status, reason: str) -> None:
        """Kill the process and all its descendants; `status` and `reason` say why."""
        self._ended_by_us = (status, reason)
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def result(self) -> tuple[TrialResult, str | None]:
        """Return the trial's result and, if a signal ended it, the signal's name."""
        code = self._process.wait()
        name = signal.Signals(-code).name if code < 0 else None
        if self._ended_by_us is not None:
            status, reason = self._ended_by_us
            result = TrialResult(status=status, reason=reason)
        else:
            result = self._answer(code, name)
        if not result.provenance and (self.path / PROVENANCE).exists():
            result.provenance = json.loads((self.path / PROVENANCE).read_text(encoding="utf-8"))
        if result.cost.peak_memory is None and self._peak:
            result.cost.peak_memory = self._peak
        return result, name

    def files(self) -> dict[str, Path]:
        """Return the files that belong in the trial's folder in the store."""
        paths = [self.path / HISTORY, *sorted(self.path.glob(f"{FIGURES}/*.png"))]
        return {str(path.relative_to(self.path)): path for path in paths if path.exists()}

    def close(self) -> None:
        """Close the pipe and remove the working folder."""
        os.close(self._pipe)
        if self._process.stdin:
            self._process.stdin.close()
        self._folder.cleanup()

    def _answer(self, code: int, signal_name: str | None) -> TrialResult:
        try:
            return read_result(self.path / RESULT)
        except (OSError, ValueError):
            output = (self.path / LOG).read_text(encoding="utf-8", errors="replace")[-4000:]
        if signal_name == "SIGKILL":
            reason = "killed by SIGKILL, not by reprbench: the system may have run out of memory"
        elif signal_name:
            reason = f"killed by {signal_name}"
        else:
            reason = f"the process exited with status {code} before it had a result"
        return TrialResult(status="failed", reason=reason, traceback=output)

    def _measure(self) -> int:
        """Return the memory of the process and its descendants, without mapped files."""
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                info = process.memory_info()
                total += info.rss - getattr(info, "shared", 0)
        self._peak = max(self._peak, total)
        return total

    def _family(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a trial: its share of the threads, set before any library starts its own."""
    count = str(threads)
    return {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count),
        # glibc otherwise frees large feature maps after every use, and every page of the next one faults.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONUNBUFFERED": "1",
    }
