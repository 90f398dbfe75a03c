"""One claim: a small file that says which process makes something.

It is created as a whole, its content never changes, and its modification time is its owner's heartbeat. It is stale if
its owner is known to be dead, or if it comes from another machine and had no heartbeat for a minute.

Whoever removes a claim, also its owner, first claims the removal of exactly that claim. Otherwise two processes that
find the same stale claim could both take it over: the slower one would remove the new claim of the faster one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import eq
from pathlib import Path

import msgspec

from reprbench.files import NONBLOCK
from reprbench.owner import Owner, alive, machine, myself

SUFFIX = ".claim"
"""How the names of claims end."""

STALE_SECONDS = 60.0
"""A claim from another machine is stale after this long without a heartbeat."""

_NEW = ".new-"
_LIMIT = 10_000
"""Bytes of a claim that are read."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class Found:
    """A claim as it was read.

    Attributes
    ----------
    owner : with an empty `host` if the file is damaged.
    beat : the time of the last heartbeat, by the clock of the file system.
    """

    owner: Owner
    beat: float


def acquire(path: Path, mine: Owner) -> Owner:
    """Create the claim, after removing a stale one; return its owner: `mine`, or another."""
    owner = mine
    for _ in range(_ATTEMPTS):
        found = read(path)
        if found is None:
            if _create(path, msgspec.json.encode(mine)):
                return mine
            continue
        owner = found.owner
        if not stale(found, lambda: _now(path.parent)):
            return owner
        if (other := _remove(path, owner, partial(eq, found))) is not None:
            return other
    # Others make and remove it all the time, or a network file system shows what was there a while ago.
    return owner if owner != mine else _unknown(b"", time.time())


def release(path: Path, mine: Owner) -> None:
    """Remove the claim if it is still `mine`."""
    try:
        _remove(path, mine, lambda there: there.owner == mine)
    except OSError:
        # A full disk has no room for the claim on the removal.
        with contextlib.suppress(OSError):
            _discard(path, mine)


def read(path: Path) -> Found | None:
    """Return what is known about a claim; None if there is none. The owner of a damaged one is unknown."""
    try:
        # Without it, opening a FIFO would wait for somebody to write into it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NONBLOCK)) as file:
            content, status = file.read(_LIMIT), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    except PermissionError:
        content, status = b"", path.stat()
    try:
        owner = msgspec.json.decode(content, type=Owner)
    except (ValueError, RecursionError):
        owner = _unknown(f"{status.st_ino} {status.st_mtime_ns} ".encode() + content, status.st_mtime)
    return Found(owner, status.st_mtime)


def stale(found: Found, now: Callable[[], float]) -> bool:
    """Return whether a claim's owner is dead or has shown no sign of life; `now` is by the clock of the heartbeats."""
    living = alive(found.owner) if found.owner.machine == machine() else None
    if living is not None:
        return not living
    # A heartbeat in the future is from before the clock was set back.
    return abs(now() - found.beat) > STALE_SECONDS


def sweep(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    now = _now(folder)
    for path in list(folder.iterdir()):
        with contextlib.suppress(OSError):
            if path.name.startswith(_NEW):
                if abs(now - path.stat().st_mtime) > STALE_SECONDS:
                    path.unlink()
            elif path.suffix == SUFFIX:
                found = read(path)
                if found is not None and stale(found, lambda: now):
                    _remove(path, found.owner, partial(eq, found))


def _remove(path: Path, owner: Owner, still: Callable[[Found], bool]) -> Owner | None:
    """Remove this owner's claim if it is `still` the one that was seen; return who else is just doing so, or None."""
    guard, mine = path.with_name(f"{path.stem[:100]}.{owner.token}{SUFFIX}"), myself()
    if (holder := acquire(guard, mine)) != mine:
        return holder
    try:
        if (there := read(path)) is not None and still(there):
            path.unlink(missing_ok=True)
    finally:
        _discard(guard, mine)
    return None


def _discard(path: Path, mine: Owner) -> None:
    if (there := read(path)) is not None and there.owner == mine:
        path.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> bool:
    """Create a file; return whether it was this call that did, which can be told on network file systems too."""
    temporary = path.with_name(f"{_NEW}{uuid.uuid4().hex}")
    _write(temporary, content)
    try:
        os.link(temporary, path)
    except OSError as error:
        # If the server's answer was lost, the client asks again, and is told that its own link is in the way.
        if temporary.stat().st_nlink == 2:
            return True
        if isinstance(error, FileExistsError):
            return False
    else:
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return _create_without_links(path, content)


def _create_without_links(path: Path, content: bytes) -> bool:
    try:
        _write(path, content)
    except FileExistsError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Write a file; raise a `FileExistsError` if it is there."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _unknown(content: bytes, since: float) -> Owner:
    """Return the owner of a claim that cannot be read; its token tells the claim from others."""
    token = hashlib.sha256(content).hexdigest()[:32]
    return Owner(user="", host="", machine="", pid=0, started=0, since=since, token=token)


def _now(folder: Path) -> float:
    """Return the time by the clock that sets the heartbeats in `folder`: a file server has one of its own."""
    probe = folder / f"{_NEW}{uuid.uuid4().hex}"
    try:
        _write(probe, b"")
        try:
            os.utime(probe)
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return time.time()
