"""A process that runs the code of plugins, seen from the harness: limited, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping

import psutil

from reprbench.runner.launch import Program, launcher
from reprbench.runner.received import LineReader, Output

_END_SECONDS = 15.0


class Child:
    """A module of the harness that runs in a process of its own.

    Its last argument is the file descriptor to which it writes lines. Close it in the end.

    Parameters
    ----------
    module : run as ``python -m``.
    arguments : of its command line.
    environment : added to that of this process; None if that of any other process of the harness serves as well.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        lines, lines_end = os.pipe()
        output, output_end = os.pipe()
        try:
            self._launched = launcher.start(Program(module, arguments, environment), lines_end, output_end)
        except BaseException:
            os.close(lines)
            os.close(output)
            raise
        finally:
            os.close(lines_end)
            os.close(output_end)
        self._lines, self._output = LineReader(lines), Output(output)
        self._code: int | None = None
        started = self._launched.process
        self._supervisor = _process(started.pid if started else self._launched.supervision.pid(0))
        self._shared = self._preloaded()

    def lines(self) -> list[bytes]:
        """Return the lines that it has written since the last call."""
        return self._lines.read()

    def output(self) -> str:
        """Return the beginning and the end of its standard output and standard error."""
        return self._output.text()

    def log(self) -> str:
        """Return the same as it is kept in the store, which is more."""
        return self._output.log()

    def poll(self, seconds: float = 0) -> int | None:
        """Return its exit status, or the negative number of the signal that ended it; None while it runs.

        Wait for it, but not longer than these seconds.
        """
        if self._code is None:
            self._code = self._launched.supervision.code(seconds)
        if self._code is None and self._launched.supervision.ended:
            started = self._launched.process
            self._code = (started and started.wait()) or -signal.SIGKILL  # with its supervisor
        return self._code

    def memory(self) -> int:
        """Return the memory of the process and its descendants, without mapped files and what was preloaded."""
        return max(0, sum(map(_own_memory, self._family())) - self._shared)

    def end(self) -> int:
        """Kill it with all its descendants, unless it has ended; return its exit status."""
        self._launched.supervision.ask_for_end()
        if (code := self.poll(_END_SECONDS)) is None:  # a plugin stopped its supervisor
            family = self._family()
            for process in [*family, *([self._supervisor] if self._supervisor else [])]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(family, timeout=1)
            code = self.poll(_END_SECONDS)
        if self._launched.process:
            self._launched.process.wait()
        return -signal.SIGKILL if code is None else code

    def close(self) -> None:
        """End it, and close what is open for it."""
        self.end()
        self._launched.supervision.close()
        self._lines.close()

    def _preloaded(self) -> int:
        """Return the memory that it shares with the server it was forked from, as its supervisor does."""
        return _own_memory(self._supervisor) if self._launched.preloaded and self._supervisor else 0

    def _family(self) -> list[psutil.Process]:
        """Return the process and its descendants, without their supervisor."""
        if self._supervisor is None or self.poll() is not None:
            return []
        try:
            return self._supervisor.children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid else None
    except psutil.NoSuchProcess:
        return None


def _own_memory(process: psutil.Process) -> int:
    try:
        info = process.memory_info()
    except psutil.Error:
        return 0
    return int(info.rss - getattr(info, "shared", 0))
