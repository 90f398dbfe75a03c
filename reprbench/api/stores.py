"""`reprbench.load`: a store whose trials lead to their fitted learners."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reprbench.api.paths import asked_path, asked_paths
from reprbench.api.trials import StoredTrial
from reprbench.cache_folder import CACHE
from reprbench.errors import UserError
from reprbench.grammar import brief
from reprbench.store import Store, read_or_refuse, trial_folder
from reprbench.trial import TRIAL, Trial, newest_of_each_row

MOST_SHOWN = 10
"""Trials that a message lists."""


def load(
    folder: str | Path = "results", *, cache: str | Path = CACHE, plugins: Sequence[str | Path] = ()
) -> LoadedStore:
    """Return the store of finished trials in a folder.

    Parameters
    ----------
    folder : of the store.
    cache : the folder of fitted learners.
    plugins : files that define methods of its trials, where these are not installed or found otherwise.

    Raises
    ------
    UserError
        If there is no such folder.

    Examples
    --------
    >>> import reprbench
    >>> store = reprbench.load("results")  # doctest: +SKIP
    >>> frame = store.to_dataframe()  # doctest: +SKIP
    >>> frame[frame.metric == "accuracy"].groupby("label").value.mean()  # doctest: +SKIP
    >>> learner = store.trial("quick/ae").learner()  # doctest: +SKIP
    """
    path = asked_path(folder, "store")
    if not path.exists():
        raise UserError(f"store {path}: no such folder; `reprbench run` makes one, or name another")
    return LoadedStore(path, asked_path(cache, "cache"), asked_paths(plugins, "plugins"))


class LoadedStore(Store):
    """A store whose trials lead to their fitted learners."""

    def __init__(self, root: Path, cache: Path = CACHE, plugins: Sequence[Path] = ()) -> None:
        super().__init__(root)
        self._cache, self._plugins = cache, plugins

    def trial(self, name: str | Path) -> StoredTrial:
        """Return the one trial of that name.

        Parameters
        ----------
        name : a folder of the store, such as ``quick``, ``quick/ae`` or ``quick/ae/0-1a2b3c4d``; a label; or the
            beginning of a folder or of a hash. Of trials that are meant by one name, those that a later one of the same
            row supersedes do not count. The path of a trial's folder may also lead into another store.

        Raises
        ------
        UserError
            If there is none, or several; it lists them.
        """
        if not isinstance(name, str | os.PathLike):
            raise UserError(f"trial {brief(name)}: expected a name, such as 'quick/ae'")
        name = os.fspath(name)
        if (folder := trial_folder(name)) is not None:
            root = folder.absolute().parents[2]
            return StoredTrial(read_or_refuse(folder / TRIAL), root, self._cache, self._plugins)
        trials, problems = self.read()
        name = name.rstrip("/")
        named = [one for one in trials if _is_named(one, name)]
        found = named or [one for one in trials if _begins(one, name)]
        if len(found) > 1:
            found = newest_of_each_row(found)
        if len(found) == 1:
            return StoredTrial(found[0], self.root, self._cache, self._plugins)
        raise UserError(f"trial {name!r}: {_instead(found or newest_of_each_row(trials), bool(found), problems)}")


def _is_named(trial: Trial, name: str) -> bool:
    """Return whether a name is that of a trial's folder, of one that it is in, or of its row."""
    parts = trial.folder.split("/")
    return name in (*("/".join(parts[:end]) for end in range(1, 4)), trial.label, f"{trial.benchmark}/{trial.label}")


def _begins(trial: Trial, name: str) -> bool:
    return bool(name) and (trial.folder.startswith(name) or trial.hash.startswith(name))


def _instead(found: Sequence[Trial], several: bool, problems: Sequence[str]) -> str:
    shown = "; ".join(f"{one.folder} ({one.label}, seed {one.seed})" for one in found[:MOST_SHOWN])
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    unread = f"; {len(problems)} files cannot be read" if problems else ""
    if several:
        return f"{len(found)} trials have that name; say which one: {shown}{more}"
    return f"not in the store; it has: {shown or 'no trials'}{more}{unread}"
