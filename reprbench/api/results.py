"""What a run returns: its tables, to be printed, shown in a notebook, drawn, or computed with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reprbench.errors import UserError, did_you_mean
from reprbench.frames import measurements_frame

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from reprbench.api.trials import StoredTrial
    from reprbench.report.table import Table
    from reprbench.trial import Trial


class Results:
    """The results of a run. ``print`` shows its tables as the command line does, and a notebook shows them as HTML.

    Attributes
    ----------
    failed : whether a trial that ran now failed; its row says why.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        tables: Sequence[Table],
        failed: bool,
        store: Path,
        cache: Path,
        plugins: Sequence[Path] = (),
    ) -> None:
        self.failed = failed
        self._trials, self._tables = tuple(trials), tuple(tables)
        self._store, self._cache, self._plugins = store, cache, tuple(plugins)

    def __str__(self) -> str:
        from reprbench.report.formats import as_terminal

        return as_terminal(self._tables).rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from reprbench.report.formats.html.fragment import as_fragment

        return as_fragment(self._tables)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the measurements as a tidy table, one per row; see `LoadedStore.to_dataframe`."""
        from reprbench.report.choice import chosen_trials

        return measurements_frame(self._trials, chosen_trials(self._trials))

    def trials(self) -> list[StoredTrial]:
        """Return the trials, of every row and seed."""
        from reprbench.api.trials import StoredTrial

        return [StoredTrial(one, self._store, self._cache, self._plugins) for one in self._trials]

    def plot(self, metric: str | None = None) -> Figure:
        """Return a figure of the tables: a point for each row, with the spread over its folds.

        Parameters
        ----------
        metric : a metric that protocols measure along a coordinate, such as the accuracy at several numbers of labels:
            then the curves of all methods are drawn.

        Raises
        ------
        UserError
            If no row has such curves, or nothing was measured.
        """
        if metric is None:
            from reprbench.report.formats.points import draw_points

            return draw_points(self._tables)
        from reprbench.report.formats.figures import draw_curves, panels_of

        found = {key: panels for table in self._tables for key, panels in panels_of(table).items()}
        chosen = next((panels for (name, _), panels in found.items() if name == metric), None)
        if chosen is None:
            names = list(dict.fromkeys(name for name, _ in found))
            near = did_you_mean(metric, names)
            raise UserError(f"no curves of {metric!r}.{near} There are curves of: {', '.join(names) or 'nothing'}")
        return draw_curves(chosen)
