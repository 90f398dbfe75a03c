"""Ends a process of the harness, and all that it has started, when it ends or the harness does.

It holds no code of plugins, which could stop it or keep it from running. A socket joins it to the harness: it says its
process id and, when everything has ended, the exit status of the process, or the negative number of the signal that
ended it. When the socket closes, however the harness ended, the process is killed.

Run as a file, not as a module, it starts a command, and imports only what it needs: ``python -P supervisor.py SOCKET
COMMAND...``. The server that forks the processes calls `supervise` instead.

The process runs in a session of its own. On Linux its orphans become children of the supervisor, also those that have
left the session; elsewhere those of its process group are found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

import psutil

GRACE_SECONDS = 0.5
"""How long the processes that a command leaves behind may take to end by themselves, as helpers that remove shared
memory do."""

_KILL_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    """Supervise the command of the command line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    supervise(control, psutil.Process(os.getppid()))
    command = sys.argv[2:]
    try:
        os.execv(command[0], command)  # noqa: S606
    finally:
        os._exit(127)


def supervise(control: socket.socket, harness: psutil.Process) -> None:
    """Fork, and return in the child; the process that called this supervises the child and never returns."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    own = os.getpid()
    child = os.fork()
    if not child:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        os.close(wake)
        os.close(woken)
        _begin(own)
        return
    try:
        _tell(control, own)
        code = _wait_for_all(child, control, wake, harness)
        _tell(control, code)
    finally:
        os._exit(0)


def alive(process: psutil.Process) -> bool:
    """Return whether a process is still running."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def readable(descriptors: Sequence[int], seconds: float) -> set[int]:
    """Return which of the descriptors can be read, also those above 1023; wait for the first, but not longer."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(1000 * seconds)}


def _begin(supervisor: int) -> None:
    """Begin a session; this process is killed when its supervisor is."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(127)


def _tell(control: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the harness may have ended
        control.sendall(b"%d\n" % number)


def _wait_for_all(child: int, control: socket.socket, wake: int, harness: psutil.Process) -> int:
    """Return the child's exit status when nothing is left of all that it has started."""
    status = _wait(child, control, wake, harness)
    if status is None:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    _wait_for_others()
    _kill_all(child)
    return os.waitstatus_to_exitcode(status)


def _wait(child: int, control: socket.socket, wake: int, harness: psutil.Process) -> int | None:
    """Return the child's status when it has ended; None if the harness ended or asks for its end."""
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
        ready = readable([control.fileno(), wake], _LOOK_SECONDS)
        if wake in ready:
            os.read(wake, 4096)
        # A process forked from the harness may keep the socket open.
        if (control.fileno() in ready and _closed(control)) or not alive(harness):
            return None


def _closed(control: socket.socket) -> bool:
    try:
        return not control.recv(4096)
    except ConnectionError:
        return True


def _wait_for_others() -> None:
    end = time.monotonic() + GRACE_SECONDS
    while _reap() and time.monotonic() < end:
        time.sleep(0.01)


def _kill_all(session: int) -> None:
    """Kill all descendants; again, until there are none, since they may start others meanwhile."""
    end = time.monotonic() + _KILL_SECONDS
    while True:
        if sys.platform != "linux":
            with contextlib.suppress(OSError):
                os.killpg(session, signal.SIGKILL)
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not _reap() or time.monotonic() > end:
            return
        time.sleep(0.005)


def _reap() -> bool:
    """Collect the children that have ended; return whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
