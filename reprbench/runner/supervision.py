"""The harness's end of the socket that joins it to the supervisor of a process, see `supervisor`."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from reprbench.runner.supervisor import readable


class Supervision:
    """What a supervisor says.

    Attributes
    ----------
    other_end : the supervisor's end, to be closed here when the supervisor has it.
    """

    def __init__(self) -> None:
        self._own, self.other_end = socket.socketpair()
        self._said = b""
        self._closed = False

    def pid(self, seconds: float) -> int | None:
        """Return the supervisor's process id; wait for it, but not longer than this."""
        self._wait(lambda: b"\n" in self._said, seconds)
        return self._number(0)

    def code(self, seconds: float = 0) -> int | None:
        """Return the exit status of the process once all that it started has ended; wait for it, but not longer."""
        self._wait(lambda: self._said.count(b"\n") > 1, seconds)
        return self._number(1)

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended, as far as was read: there will be no exit status any more."""
        return self._closed

    def ask_for_end(self) -> None:
        """Let the supervisor kill the process."""
        with contextlib.suppress(OSError):
            self._own.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        self._own.close()

    def _number(self, position: int) -> int | None:
        lines = self._said.split(b"\n")[:-1]
        return int(lines[position]) if len(lines) > position else None

    def _wait(self, complete: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not (complete() or self._closed):
            if not readable([self._own.fileno()], max(0.0, end - time.monotonic())):
                return
            self._read()

    def _read(self) -> None:
        try:
            said = self._own.recv(4096)
        except ConnectionError:
            said = b""
        self._said += said
        self._closed = not said
