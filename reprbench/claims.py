"""The claims of a process on what it makes, so that no other process makes it at the same time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from reprbench import claim_file
from reprbench.errors import system_reason
from reprbench.files import make_ignored
from reprbench.owner import Owner, myself

HEARTBEAT_SECONDS = 10.0
"""How often a process touches its claims."""


class Claims:
    """The claims that this process holds. They are released at the end of a ``with`` block.

    Where claims cannot be written, work goes on without them, and one line says so.

    Parameters
    ----------
    warn : is called with a line for the user, also from another thread.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "x.claim")
    >>> with Claims(print) as claims:
    ...     claims.take(path) is None, path.exists()
    (True, True)
    >>> path.exists()
    False
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._held: dict[Path, Owner] = {}
        self._lock = threading.Lock()
        self._swept: set[Path] = set()
        self._unwritable: set[Path] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self.release(*self._held)

    def take(self, *paths: Path) -> Owner | None:
        """Take all these claims or none; return None, or who holds one of them (maybe this process itself)."""
        for index, path in enumerate(paths):
            if (owner := self._take(path)) is not None:
                self.release(*paths[:index])
                return owner
        return None

    def release(self, *paths: Path) -> None:
        """Remove those of these claims that this process holds."""
        for path in paths:
            with self._lock:
                mine = self._held.pop(path, None)
            if mine is not None:
                claim_file.release(path, mine)

    def beat(self) -> None:
        """Touch the claims that this process holds, and report those that it has lost; a thread does it regularly."""
        with self._lock:
            held = dict(self._held)
        for path, mine in held.items():
            # What cannot be read or touched now may be so the next time.
            with contextlib.suppress(OSError):
                found = claim_file.read(path)
                if found is not None and found.owner == mine:
                    os.utime(path)
                elif self._forget(path, mine):
                    what = f"taken over by {found.owner}" if found else "removed"
                    self._say(f"{path}: the claim of this run was {what}; the trial may run twice")

    def _take(self, path: Path) -> Owner | None:
        if path in self._held:
            return self._held[path]
        mine = myself()
        try:
            self._prepare(path.parent)
            owner = claim_file.acquire(path, mine)
        except OSError as error:
            self._say_unwritable(path.parent, error)
            return None
        if owner != mine:
            return owner
        with self._lock:
            self._held[path] = mine
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="heartbeat of claims", daemon=True)
            self._thread.start()
        return None

    def _prepare(self, folder: Path) -> None:
        make_ignored(folder)
        if folder not in self._swept:
            self._swept.add(folder)
            claim_file.sweep(folder)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self.beat()

    def _forget(self, path: Path, mine: Owner) -> bool:
        """Hold a lost claim no longer; return whether it was held: it may have been released meanwhile."""
        with self._lock:
            held = self._held.get(path) == mine
            if held:
                del self._held[path]
        return held

    def _say_unwritable(self, folder: Path, error: OSError) -> None:
        if folder not in self._unwritable:
            self._unwritable.add(folder)
            self._say(f"{folder}: cannot be written ({system_reason(error)}); other runs do not see what this one runs")

    def _say(self, line: str) -> None:
        # Neither a trial nor the heartbeat ends because nobody can read this.
        with contextlib.suppress(OSError, ValueError):
            self._warn(f"Warning: {line}")


def owner_of(path: Path) -> Owner | None:
    """Return the living owner of a claim, as far as it can be told without writing; None if there is none."""
    try:
        found = claim_file.read(path)
    except OSError:
        return None
    return found.owner if found is not None and not claim_file.stale(found, time.time) else None
