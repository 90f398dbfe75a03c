"""The folder of the cache: made, checked for writing, cleaned of what killed processes left."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from reprbench.cache import cannot_write
from reprbench.errors import UserError
from reprbench.files import make_ignored

CACHE = Path(".reprbench")
"""Where fitted learners, checkpoints, features and decoded images are kept, below the working directory."""

FOLDERS = ("fits", "features", "decoded", "unzipped", "programs")
"""The folders of a cache whose content can be made anew."""

STALE_SECONDS = 24 * 3600
"""A temporary file that nobody wrote to for this long was left by a process that was killed."""


def prepare(root: Path) -> None:
    """Make the folder of a cache, see `make`, and remove what killed processes left there."""
    make(root)
    _remove_stale(root)


def make(root: Path) -> None:
    """Make the folder of a cache, which git ignores; raise a `UserError` if nothing can be written there."""
    for folder in (root, *(root / name for name in FOLDERS if (root / name).exists())):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"cache {folder}: is a file; expected a folder; remove it")
        try:
            make_ignored(root)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise cannot_write(folder, error) from None


def _remove_stale(root: Path) -> None:
    """Remove temporary files (`replacing`) that killed processes left."""
    old = time.time() - STALE_SECONDS
    for folder in FOLDERS:
        for path in (root / folder).rglob(".*.*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < old:
                    path.unlink()
