"""`reprbench.load`: a store whose trials lead to their fitted learners."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reprbench.api.paths import asked_path, asked_paths
from reprbench.api.reports import Names, report_tables, several, wanted_rows
from reprbench.api.results import Results
from reprbench.api.trials import StoredTrial
from reprbench.cache_folder import CACHE
from reprbench.errors import UserError
from reprbench.frames import measurements_frame
from reprbench.grammar import brief
from reprbench.store import Store, check_exists
from reprbench.trial import newest_of_each_row

if TYPE_CHECKING:
    import pandas

    from reprbench.api.comparing import Comparison
    from reprbench.report.best import Test
    from reprbench.report.table import Seeds


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
    check_exists(path)
    return LoadedStore(path, asked_path(cache, "cache"), asked_paths(plugins, "plugins"))


class LoadedStore(Store):
    """A store whose trials lead to their fitted learners."""

    def __init__(self, root: Path, cache: Path = CACHE, plugins: Sequence[Path] = ()) -> None:
        super().__init__(root)
        self._cache, self._plugins = cache, plugins

    def to_dataframe(self, every: bool = False) -> pandas.DataFrame:
        """Return what `Store.to_dataframe` does, with a column ``chosen``.

        It says of each setting of a sweep whether the sweep's row shows it, and is empty for other trials: a mean over
        the rows where it is not False is one over the rows of tables.
        """
        from reprbench.report.choice import chosen_trials

        trials = list(self.each([]))
        newest = list(newest_of_each_row(trials))
        return measurements_frame(trials if every else newest, chosen_trials(newest))

    def report(
        self,
        *,
        benchmarks: Names = (),
        methods: Names = (),
        datasets: Names = (),
        protocols: Names = (),
        seeds: Seeds = "apart",
        test: Test = "t",
        every: bool = False,
        sweeps: bool = False,
    ) -> Results:
        """Return the tables: ``reprbench report`` as a function.

        Parameters
        ----------
        benchmarks : only these, by name, or by the YAML file of one's own.
        methods : only these, by label, name or call.
        datasets : only these, by title, name or call.
        protocols : only these.
        seeds : "apart" for a row for each seed, "together" for the mean over folds and seeds.
        test : how the best row is compared with others: "t" or "wilcoxon".
        every : whether trials that a later one of the same row supersedes are rows, too.
        sweeps : whether the settings of sweeps that were not chosen are rows, too.

        Raises
        ------
        UserError
            If there is nothing in the store that is asked for.

        Examples
        --------
        >>> import reprbench as rb
        >>> tables = rb.load("results").report(benchmarks="quick", seeds="together")  # doctest: +SKIP
        >>> print(tables.text("markdown"))  # doctest: +SKIP
        """
        from reprbench.report.table import Settings

        wanted = wanted_rows(*map(several, (benchmarks, methods, datasets, protocols)))
        settings = Settings(seeds, test, every, sweeps)
        trials, tables = report_tables([self.root], wanted, settings, lambda problem: None)
        return Results(trials, tables, False, self.root, self._cache, self._plugins)

    def compare(
        self,
        base: str | Path,
        *,
        metrics: Names = (),
        every: bool = False,
        tolerances: Mapping[str, float] | None = None,
        ignore_seeds: bool = False,
    ) -> Comparison:
        """Return whether this store is worse than another: ``reprbench compare BASE NEW`` as a function.

        Parameters
        ----------
        base : the folder of the other store.
        metrics : compare these; by default the headlines of each protocol.
        every : whether to compare all that have a direction.
        tolerances : how much worse the mean of a metric may be, in its unit.
        ignore_seeds : whether rows are matched over all their seeds, not seed by seed.

        Raises
        ------
        UserError
            If there is no such store.

        Examples
        --------
        >>> import reprbench as rb
        >>> found = rb.load("results").compare("baseline", tolerances={"accuracy": 0.5})  # doctest: +SKIP
        >>> assert not found.worse, found  # doctest: +SKIP
        """
        from reprbench.api.comparing import Comparison
        from reprbench.compare.judge import CompareSettings, compare
        from reprbench.compare.match import Selection

        problems: list[str] = []
        settings = CompareSettings(Selection(several(metrics), every), dict(tolerances or {}), ignore_seeds)
        return Comparison(compare(load(base), self, settings, problems), problems)

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
        folder, trial = self.one(os.fspath(name))
        root = self.root if folder.is_relative_to(self.root) else folder.absolute().parents[2]
        return StoredTrial(trial, root, self._cache, self._plugins)
