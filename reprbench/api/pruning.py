"""What is in a cache, what of a cache or store is no longer needed, and its removal.

A part is removed as a whole: it is renamed first, so that nobody sees half of it. What a living run has claimed stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reprbench.api.captured import FOLDER as PLUGINS
from reprbench.cache_folder import FOLDERS
from reprbench.claims import Claims, owner_of
from reprbench.errors import UserError
from reprbench.runner.waiting import claims_folder, fit_claim, trial_claim
from reprbench.store import Store
from reprbench.store_writer import locked
from reprbench.trial import Trial, newest_of_each_row

OF_FITS = ("fits", "features")
"""The folders of a cache whose parts are named by the hash of a fit."""
_REMOVED = ".removed-"
DAY = 24 * 3600.0
PLANNING = 3600.0
"""Seconds that the file of a class stays after a run asked for it: by then the run has claimed a trial."""


@dataclass(frozen=True)
class CachePart:
    """What a cache has of one fit, or of one dataset, in one of its folders.

    Attributes
    ----------
    kind : the folder, such as ``fits``.
    name : in the folder: of ``fits`` and ``features`` the hash of the trial.
    size : in bytes.
    made : when something was last written there, in seconds since 1970.
    """

    path: Path
    kind: str
    name: str
    size: int
    made: float


def cache_parts(cache: Path) -> list[CachePart]:
    """Return everything in a cache; raise a `UserError` if there is no such folder."""
    if not cache.is_dir():
        raise UserError(f"cache {cache}: no such folder; `reprbench run` makes it in the folder where it is started")
    return [_part(kind, path) for kind in (*FOLDERS, PLUGINS) for path in _entries(cache / kind)]


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if not path.name.startswith(".")) if folder.is_dir() else []


def _part(kind: str, path: Path) -> CachePart:
    found = [status for file in _files(path) if (status := _status(file))]
    made = max((status.st_mtime for status in found), default=0.0)
    return CachePart(path, kind, path.name, sum(status.st_size for status in found), made)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # removed meanwhile
        return None


def unneeded(
    parts: Sequence[CachePart], days: float | None, fits: Collection[str] | None, now: float
) -> list[CachePart]:
    """Return the parts of a cache that nothing asks to be kept.

    Parameters
    ----------
    days : what was made within as many days is kept; a fit as long as its features, and the other way round. Files of
        classes count from when a run last asked for them, and are kept for an hour at least.
    fits : the hashes of fits that are kept; decoded data and files of classes are kept, too. None says nothing about
        fits.
    now : in seconds since 1970.
    """
    made = {part.name: max(one.made for one in parts if one.name == part.name) for part in parts}
    found = list(parts)
    if days is not None:
        least = {PLUGINS: PLANNING}
        found = [part for part in found if made[part.name] < now - max(days * DAY, least.get(part.kind, 0))]
    if fits is not None:
        found = [part for part in found if part.kind in OF_FITS and part.name not in fits]
    return found


def remove_parts(parts: Iterable[CachePart], cache: Path, warn: Callable[[str], None]) -> list[CachePart]:
    """Remove parts of a cache, except for what a run is making or may be reading; return those that were removed."""
    removed = []
    with Claims(warn) as claims:
        for part in parts:
            if part.kind in OF_FITS:
                owner = claims.take(claim := fit_claim(cache, part.name))
                if owner is not None and not owner.here:
                    warn(f"{part.kind}/{part.name[:8]} stays: {owner} is running it")
                    continue
                _remove(part.path)
                claims.release(claim)
            elif _is_used(cache):
                warn(f"{part.kind}/{part.name} stays: a run uses the cache")
                continue
            else:
                _remove(part.path)
            removed.append(part)
    return removed


def _is_used(cache: Path) -> bool:
    """Return whether a living run has claimed a fit."""
    return any(owner_of(path) is not None for path in claims_folder(cache).glob("*"))


def superseded(store: Store) -> list[Trial]:
    """Return the trials of a store that a later one of the same row supersedes."""
    trials = store.read()[0]
    newest = {id(trial) for trial in newest_of_each_row(trials)}
    return [trial for trial in trials if id(trial) not in newest]


def remove_superseded(store: Store, asked: Collection[str], warn: Callable[[str], None]) -> list[Trial]:
    """Remove superseded trials of a store, except for those that a run is making; return those that were removed.

    Parameters
    ----------
    asked : the folders inside the store of those that may be removed: others may have become superseded meanwhile, and
        some of these may count again.
    """
    removed = []
    with locked(store.root), Claims(warn) as claims:
        for trial in [one for one in superseded(store) if one.folder in asked]:
            owner = claims.take(trial_claim(store, trial.folder))
            if owner is not None:
                warn(f"{trial.folder} stays: {owner} is running it")
                continue
            folder = Path(trial.path).parent
            _remove(folder)
            with contextlib.suppress(OSError):  # it has other trials
                folder.parent.rmdir()
            removed.append(trial)
    return removed


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{_REMOVED}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    if path.is_dir() and not path.is_symlink():
        aside = path.with_name(f"{_REMOVED}{uuid.uuid4().hex[:8]}")
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def days_text(made: float, now: float | None = None) -> str:
    """Return how long ago something was made.

    >>> days_text(0, 3 * DAY), days_text(0, DAY), days_text(0, 10)
    ('3 days ago', '1 day ago', 'today')
    """
    days = int(((time.time() if now is None else now) - made) // DAY)
    return "today" if days < 1 else f"{days} day{'s' if days > 1 else ''} ago"
