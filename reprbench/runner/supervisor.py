"""Starts one command and, when it ends or the harness does, ends all that the command has started.

Run as a file, not as a module, so that it imports only what it needs: ``python -P supervisor.py COMMAND...``. It holds
no code of plugins, which could stop it or keep it from running. Its exit status is that of the command, or the same
signal ends it. Standard input is a pipe of the harness: when that closes, however the harness ended, the command is
killed.

The command runs in a session of its own. On Linux its orphans become children of this process, also those that have
left the session; elsewhere those of its process group are found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time

import psutil

GRACE_SECONDS = 0.5
"""How long the processes that a command leaves behind may take to end by themselves, as helpers that remove shared
memory do."""

_KILL_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    """Run the command of the command line."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    harness = os.getppid()
    child = _start(sys.argv[1:])
    status = _wait(child, wake, harness)
    if status is None:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    _wait_for_others()
    _kill_all(child)
    _exit(os.waitstatus_to_exitcode(status))


def _start(command: list[str]) -> int:
    """Start the command in a session of its own; return its process id."""
    own = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if os.getppid() == own:
            os.execv(command[0], command)  # noqa: S606
    finally:
        os._exit(127)


def _wait(child: int, wake: int, harness: int) -> int | None:
    """Return the command's status when it has ended; None if the harness ended or asks for its end."""
    while True:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
        ready, _, _ = select.select([0, wake], [], [], _LOOK_SECONDS)
        if wake in ready:
            os.read(wake, 4096)
        # A process forked from the harness may keep the pipe open.
        if (0 in ready and not os.read(0, 4096)) or os.getppid() != harness:
            return None


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


def _exit(code: int) -> None:
    """End as the command did."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # the action of SIGKILL is always the default one
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
