"""Writes trials into a store, one writer at a time, merged with what is there; readers need no lock."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reprbench.evaluation import FIGURES, GRAMS, LARGEST_FIGURE, LARGEST_GRAM, Evaluation
from reprbench.files import make_ignored, open_regular, replacing, write_text
from reprbench.merge import fit_of, merged
from reprbench.texts import LOG_CHARACTERS, log_text
from reprbench.trial import HISTORY, LOG, TRIAL, Trial
from reprbench.trial_file import NewerSchema, read_trial, trial_text

OLD = ".old-"
"""How the name of a trial's folder began while a former version replaced it."""
_NEW = ".new-"
_DAMAGED = f"{TRIAL}.damaged"

_FOLDERS = {FIGURES: ".png", GRAMS: ".npy"}
"""The folders of what evaluations name, and how its files end."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What file systems without locks say."""

LOCK_SECONDS = 60.0
"""How long a writer waits for the others, which take a fraction of a second each."""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other writers out of the store; raise an `OSError` if it stays locked for too long."""
    # Importing it takes longer than reading a small store.
    from filelock import FileLock, SoftFileLock, Timeout

    folder = root / ".locks"
    make_ignored(folder)
    # The second kind is for file systems without locks, as some network file systems are: it needs none.
    for kind, name in ((FileLock, "writer.lock"), (SoftFileLock, "writer.soft-lock")):
        lock = kind(folder / name, timeout=LOCK_SECONDS)
        try:
            lock.acquire()
            break
        except Timeout:
            raise OSError(None, f"another process has kept {lock.lock_file} for {LOCK_SECONDS:g} s") from None
        except NotImplementedError:
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    try:
        yield
    finally:
        lock.release()


def write_merged(root: Path, trial: Trial, files: Mapping[str, Path]) -> Path:
    """Merge a trial into the store, which the caller has locked; see `reprbench.store.Store.write`."""
    folder = root / trial.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise OSError(None, f"{folder} is a link; expected a folder")
    _clean(folder)
    folder.mkdir(exist_ok=True)
    stored = _stored(folder, trial)
    written = merged(stored, trial) if stored else trial
    for name, largest in _own_files(stored, trial, written).items():
        if name in files and files[name].stat().st_size <= largest:
            with replacing(folder / name) as temporary:
                shutil.copyfile(files[name], temporary)
    if LOG in files:
        _add_to_log(folder, trial.requested, files[LOG])
    write_text(folder / TRIAL, trial_text(written))
    _remove_files(folder, written)
    return folder


def _stored(folder: Path, trial: Trial) -> Trial | None:
    """Return what the store has of the trial; what cannot be read is kept under another name."""
    try:
        stored = read_trial(folder / TRIAL)
    except FileNotFoundError:
        return None
    except NewerSchema as error:
        raise OSError(None, f"{folder / TRIAL} was {error}") from None
    except ValueError:
        (folder / TRIAL).rename(folder / _DAMAGED)
        return None
    return stored if stored.hash == trial.hash else None


def _own_files(stored: Trial | None, trial: Trial, written: Trial) -> dict[str, float]:
    """Return the names of the files that come with `trial`, and the most bytes that each may have.

    They are those of what is `written` of it, not of what is stored.
    """
    history = {HISTORY: math.inf} if stored is None or fit_of(stored, trial) is trial else {}
    own = [one for one in written.evaluations if any(one is other for other in trial.evaluations)]
    return {**history, **_files(own)}


def _files(evaluations: Iterable[Evaluation]) -> dict[str, float]:
    """Return the names of the files of evaluations, and the most bytes that each may have."""
    files: dict[str, float] = {}
    for one in evaluations:
        files |= {figure.file: LARGEST_FIGURE for figure in one.figures}
        files |= {gram.file: LARGEST_GRAM for gram in one.grams}
    return files


def _add_to_log(folder: Path, begun: str, path: Path) -> None:
    """Add what a process wrote to the trial's log: one that only evaluates must not replace what the fit wrote.

    Parameters
    ----------
    begun : when the process was started.
    path : of what it wrote.
    """
    before, said = read_log(folder), _text(path)
    with suppress(OSError):  # a log is not worth a trial
        if before or said:
            write_text(folder / LOG, log_text(f"{before}== process started {begun} ==\n{_ended_line(said)}"))


def read_log(folder: Path) -> str:
    """Return the log of the trial in that folder of a store; an empty string if there is none that can be read."""
    return log_text(_text(folder / LOG))


def _ended_line(said: str) -> str:
    said = said or "(no output)"
    return said if said.endswith("\n") else f"{said}\n"


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read(4 * LOG_CHARACTERS).decode(errors="replace")
    except OSError:
        return ""


def _clean(folder: Path) -> None:
    """Remove what writers that were killed have left of a trial: nobody else is writing now."""
    old = folder.with_name(OLD + folder.name)
    if old.is_dir() and not (folder / TRIAL).exists():
        shutil.rmtree(folder, ignore_errors=True)
        old.rename(folder)
    for leftover in [old, *folder.parent.glob(f"{_NEW}*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    for name in _FOLDERS:
        if (folder / name).is_symlink():
            (folder / name).unlink()
    # As `replacing` names its temporary files.
    for leftover in [
        *folder.glob(f".{TRIAL}.*"),
        *folder.glob(f".{HISTORY}.*"),
        *folder.glob(f".{LOG}.*"),
        *(path for name, suffix in _FOLDERS.items() for path in (folder / name).glob(f".*{suffix}.*")),
    ]:
        leftover.unlink(missing_ok=True)


def _remove_files(folder: Path, trial: Trial) -> None:
    """Remove the figures and Gram matrices that the trial no longer names."""
    named = _files(trial.evaluations)
    for part, suffix in _FOLDERS.items():
        with suppress(OSError):
            for path in (folder / part).glob(f"*{suffix}"):
                if f"{part}/{path.name}" not in named:
                    path.unlink(missing_ok=True)
            if (folder / part).is_dir() and not any((folder / part).iterdir()):
                (folder / part).rmdir()
