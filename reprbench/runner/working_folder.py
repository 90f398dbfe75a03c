"""Temporary folders that the next run removes if their own run died."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "reprbench-trial-"


class WorkingFolder:
    """A temporary folder, locked for as long as this process lives. Close it in the end, which removes it."""

    def __init__(self) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            try:
                self._lock: int | None = _locked(self.path, wait=True)
            except FileNotFoundError:
                continue
            # Another run may have taken it for that of a dead one before it was locked.
            if self.path.exists():
                return
            self._unlock()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned() -> None:
    """Remove this user's folders that no living process has locked; also of hosts that share the folder, if possible.

    The lock is the kernel's: it ends with its process, however that ended, and is not mistaken when a process id is
    used again or belongs to another container.
    """
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(folder: Path) -> None:
    if folder.lstat().st_uid != os.getuid():
        return
    lock = _locked(folder, wait=False)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path, wait: bool) -> int | None:
    """Return a descriptor that holds the lock; None if another holds it, or the file system has no locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
