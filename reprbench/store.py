"""Trials on disk: one folder each, small and readable; see `reprbench.store_writer` for how they are written."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reprbench.errors import UserError, system_reason
from reprbench.frames import measurements_frame
from reprbench.store_writer import OLD, locked, write_merged
from reprbench.store_writer import read_log as read_log
from reprbench.trial import TRIAL, Trial, newest_of_each_row
from reprbench.trial_file import read_trial

if TYPE_CHECKING:
    import pandas


MOST_SHOWN = 10
"""Trials that a message lists."""


class Store:
    """A folder of finished trials.

    Parameters
    ----------
    root : the folder.
    shown_as : the name of `root` in lines about files that cannot be read; by default its path.

    Raises
    ------
    UserError
        If `root` exists and is not a folder.
    """

    def __init__(self, root: Path, shown_as: str | None = None) -> None:
        if root.exists() and not root.is_dir():
            raise UserError(f"store {root}: is a file; expected a folder (give another with --store)")
        self.root = root
        self._shown_as = str(root) if shown_as is None else shown_as

    def check_writable(self) -> None:
        """Create the folder, and raise a `UserError` if nothing can be written there."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise UserError(
                f"store {self.root}: cannot be written ({system_reason(error)}); choose another folder with --store"
            ) from None

    def write(self, trial: Trial, files: Mapping[str, Path]) -> Path:
        """Merge a trial with what the store has of it (see `reprbench.merge`), and return its folder.

        Others may read meanwhile, and a crash at any moment leaves the older record or the newer one: figures and
        history are replaced first, each at once, then ``trial.json``.

        Parameters
        ----------
        files : by name in the folder, the file to copy: the history, and figures that the evaluations name.

        Raises
        ------
        OSError
            If something cannot be written.
        """
        with locked(self.root):
            return write_merged(self.root, trial, files)

    def read(self) -> tuple[list[Trial], list[str]]:
        """Return all trials, and a line for each file that is not one: broken, foreign, or of a newer schema."""
        problems: list[str] = []
        with collector_paused():
            return list(self.each(problems)), problems

    def each(self, problems: list[str]) -> Iterator[Trial]:
        """Yield all trials, one at a time; add a line to `problems` for each file that is not a valid one."""
        for path in self._trial_files():
            try:
                yield _read(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problems.append(f"{self.shown(path)}: skipped: {error}")

    def shown(self, path: str) -> str:
        """Return what a file of the store is called in messages."""
        return f"{self._shown_as}{path.removeprefix(str(self.root))}"

    def to_dataframe(self, every: bool = False) -> pandas.DataFrame:
        """Return the measurements as a tidy table, one per row; files that cannot be read are left out.

        Parameters
        ----------
        every : whether trials that a later one of the same row supersedes are included, as by ``report --all``.

        Returns
        -------
        A data frame with the columns ``benchmark``, ``label``, ``method``, ``kind``, ``dataset``, ``budget``,
        ``precision``, ``seed``, ``digest`` (of the data, after ``--limit``), ``deviations`` (from the benchmark),
        ``setting`` (the swept parameters of a setting of a sweep), ``protocol``, ``metric``, ``value``, ``unit``,
        ``better``, ``trial`` (the folder in the store) and ``ended`` (when the trial ended, in ISO 8601); also
        ``parameter.NAME`` for each parameter of the methods and ``at.NAME`` for each coordinate, empty where a row has
        none of that name. `LoadedStore` adds ``chosen``.

        See `reprbench.load` for an example.
        """
        return measurements_frame(self.each([]) if every else newest_of_each_row(self.each([])))

    def one(self, name: str) -> tuple[Path, Trial]:
        """Return the one trial of that name with its folder; see `reprbench.LoadedStore.trial` for what is a name.

        Raises
        ------
        UserError
            If there is none, or several; it lists them. Or if it cannot be read.
        """
        if (folder := _folder_at(name)) is not None:
            return folder, read_or_refuse(folder / TRIAL)
        check_exists(self.root)
        path = Path(name)
        name = (str(path.relative_to(self.root)) if path.is_relative_to(self.root) else name).rstrip("/")
        trials, problems = self.read()
        named = [one for one in trials if _is_named(one, name)]
        # A trial may also be in another folder than its content says, as one that was changed by hand.
        found = [(self.root / one.folder, one) for one in named] or (self.find(name) if name else [])
        if len(found) > 1:
            newest = {id(one) for one in newest_of_each_row([one for _, one in found])}
            found = [(folder, one) for folder, one in found if id(one) in newest]
        if len(found) == 1:
            return found[0]
        others = [one for _, one in found] or newest_of_each_row(trials)
        raise UserError(f"trial {name!r}: {_instead(others, bool(found), problems)}")

    def find(self, prefix: str) -> list[tuple[Path, Trial]]:
        """Return the trials, with their folders, whose folder or hash begins with `prefix`.

        Raises
        ------
        UserError
            If one of them cannot be read.
        """
        found = []
        for path in map(Path, self._trial_files()):
            folder = path.parent.relative_to(self.root)
            wanted, short = prefix.rstrip("/"), folder.name.partition("-")[2]
            # A folder's name has only the first characters of the hash.
            longer = len(wanted) > len(short) > 0 and wanted.startswith(short)
            if longer or any(name.startswith(wanted) for name in (str(folder), folder.name, short)):
                with suppress(FileNotFoundError):
                    trial = read_or_refuse(path)
                    found += [(path.parent, trial)] if not longer or trial.hash.startswith(wanted) else []
        return found

    def _trial_files(self) -> Iterator[str]:
        """Yield the path of every ``trial.json``; the older one after a former version crashed between two renames.

        Strings, not `Path` objects: making those takes as long as reading the files.
        """
        root = str(self.root)
        for benchmark in _folders(root):
            for method in _folders(f"{root}/{benchmark}"):
                folder = f"{root}/{benchmark}/{method}"
                names = _folders(folder)
                for name in names:
                    if not name.startswith(OLD) or name.removeprefix(OLD) not in names:
                        yield f"{folder}/{name}/{TRIAL}"


def _is_named(trial: Trial, name: str) -> bool:
    """Return whether a name is that of a trial's folder, of one that it is in, or of its row."""
    parts = trial.folder.split("/")
    return name in (*("/".join(parts[:end]) for end in range(1, 4)), trial.label, f"{trial.benchmark}/{trial.label}")


def _instead(found: Sequence[Trial], several: bool, problems: Sequence[str]) -> str:
    shown = "; ".join(f"{one.folder} ({one.label}, seed {one.seed})" for one in found[:MOST_SHOWN])
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    unread = f"; {len(problems)} files cannot be read" if problems else ""
    if several:
        return f"{len(found)} trials have that name; say which one: {shown}{more}"
    return f"not in the store; it has: {shown or 'no trials'}{more}{unread}"


def check_exists(folder: Path) -> None:
    """Raise a `UserError` if there is no store in that folder."""
    if not folder.exists():
        raise UserError(f"store {folder}: no such folder; `reprbench run` makes one, or name another")


def _folder_at(name: str) -> Path | None:
    """Return the folder of a trial if `name` is its path, that of the file in it, or that of a folder with no other.

    None otherwise.
    """
    path = Path(name)
    folder = path.parent if path.name == TRIAL else path
    if os.path.isfile(folder / TRIAL):  # noqa: PTH113 - `Path.is_file` raises if it is too long
        return folder
    below = [found for depth in ("*", "*/*", "*/*/*") for found in folder.glob(f"{depth}/{TRIAL}")] if name else []
    return below[0].parent if len(below) == 1 else None


def read_or_refuse(path: Path) -> Trial:
    """Return the trial in that file; raise a `UserError` if it cannot be read, unless it is not there."""
    try:
        return _read(str(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def last_lines(folder: Path, count: int) -> list[str]:
    """Return the last lines of the log of the trial in that folder, without empty ones."""
    return [line for line in read_log(folder).splitlines() if line.strip()][-count:]


def _read(path: str) -> Trial:
    try:
        return read_trial(path)
    except FileNotFoundError:
        # Since the folder was listed, a writer may have given a trial that a crash had left aside its name back.
        return read_trial(path.replace(f"/{OLD}", "/"))


def _folders(folder: str) -> list[str]:
    """Return the names of the folders in `folder`, in order; of hidden ones only those of lost trials."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.startswith(".") or name.startswith(OLD))


@contextmanager
def collector_paused(*, kept: bool = False) -> Iterator[None]:
    """Keep Python's garbage collector from traversing, again and again, what is being read: none of it is garbage.

    If nearly all of it is `kept` until the process ends, it is never traversed.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if kept:
            gc.freeze()
        if enabled:
            gc.enable()
