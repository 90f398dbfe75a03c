"""A process as the owner of what it makes, and whether it is alive."""

from __future__ import annotations

import datetime
import functools
import getpass
import os
import platform
import sys
import time
import uuid
from pathlib import Path
from typing import Annotated

import msgspec
import psutil

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Owner(msgspec.Struct, frozen=True):
    """The process that holds a claim.

    Attributes
    ----------
    machine : equal for two processes only if they see each other's process ids.
    started : when the process started, in seconds; setting the clock does not change it.
    since : when it made the claim, in seconds since 1970.
    token : differs for every claim ever made.
    """

    user: _Text
    host: _Text
    machine: _Text
    pid: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    started: float
    since: Annotated[float, msgspec.Meta(ge=0, lt=2**33)]
    token: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]

    def __post_init__(self) -> None:
        if not (self.user + self.host).isprintable():
            raise ValueError("expected printable texts")

    def __str__(self) -> str:
        """Return ``HOST (USER, pid N) since 14:02``."""
        since = datetime.datetime.fromtimestamp(self.since).astimezone()
        today = since.date() == datetime.datetime.now().astimezone().date()
        when = since.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
        who = f"{self.host} ({self.user}, pid {self.pid})" if self.host else "an unknown machine"
        return f"{who} since {when}"

    @property
    def here(self) -> bool:
        """Whether it is this process."""
        return (self.machine, self.pid) == (machine(), os.getpid())


def myself() -> Owner:
    """Return this process as the owner of a new claim."""
    return Owner(
        user=_user(),
        host=_printable(platform.node()),
        machine=machine(),
        pid=os.getpid(),
        started=_started(psutil.Process()),
        since=time.time(),
        token=uuid.uuid4().hex,
    )


def alive(owner: Owner) -> bool | None:
    """Return whether a process of this machine is alive; None if that cannot be told."""
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # With another start, it is a later process that was given the same id.
        return abs(_started(process) - owner.started) < 2
    except psutil.ZombieProcess:
        return False
    except psutil.Error:
        # It has just ended, or belongs to another user whose processes are hidden.
        return None


@functools.cache
def machine() -> str:
    """Return what only processes share that see each other's process ids: containers may share the host's name."""
    if sys.platform == "linux":
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            key = f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no path
        except OSError:
            # Nobody else has this key: only heartbeats count then.
            key = uuid.uuid4().hex
    else:
        key = f"{uuid.getnode():x}"
    return _printable(f"{platform.node()} {key}")


def _started(process: psutil.Process) -> float:
    # On Linux, psutil adds the time of the boot, which changes when the clock is set.
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0)


def _user() -> str:
    try:
        return _printable(getpass.getuser())
    except (OSError, KeyError):
        # A container may run as a user without a name.
        return str(os.getuid())


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[-200:] or "unknown"
