"""A process that runs the code of plugins, seen from the harness: limited, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from reprbench.runner import supervisor
from reprbench.runner.received import LineReader, Output

_END_SECONDS = 15.0


class Child:
    """A module of the harness that runs in a process of its own.

    Its last argument is the file descriptor to which it writes lines. Close it in the end.

    Parameters
    ----------
    module : run as ``python -m``.
    arguments : of its command line.
    environment : added to that of this process.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        lines, lines_end = os.pipe()
        output, output_end = os.pipe()
        try:
            command = [sys.executable, "-m", module, *arguments, str(lines_end)]
            self._process = _start(command, lines_end, output_end, {**os.environ, **(environment or {})})
        except BaseException:
            os.close(lines)
            os.close(output)
            raise
        finally:
            os.close(lines_end)
            os.close(output_end)
        self._lines, self._output = LineReader(lines), Output(output)

    def lines(self) -> list[bytes]:
        """Return the lines that it has written since the last call."""
        return self._lines.read()

    def output(self) -> str:
        """Return the beginning and the end of its standard output and standard error."""
        return self._output.text()

    def poll(self) -> int | None:
        """Return its exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._process.poll()

    def memory(self) -> int:
        """Return the memory of the process and its descendants, without mapped files."""
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                info = process.memory_info()
                total += info.rss - getattr(info, "shared", 0)
        return total

    def end(self) -> int:
        """Kill it with all its descendants, unless it has ended; return its exit status."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # a plugin stopped its supervisor
            family = [*self._family(), psutil.Process(self._process.pid)]
            for process in family:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            code = self._process.wait()
            psutil.wait_procs(family, timeout=1)
            return code

    def close(self) -> None:
        """End it, and close what is open for it."""
        self.end()
        self._lines.close()

    def _family(self) -> list[psutil.Process]:
        """Return the process and its descendants, without their supervisor."""
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _start(command: list[str], lines: int, output: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command below a supervisor; it ends when the pipe to its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-P", str(Path(supervisor.__file__)), *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        pass_fds=[lines],
        env=environment,
        start_new_session=True,
    )
