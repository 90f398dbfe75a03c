"""Writes docs/results.md from the trials in this folder and the text in page.md.j2: ``python results/page.py``.

The text asks for its numbers: ``{{ mean("quick", "ae") }}``, ``{{ difference("quick", "ameae", "ae") }}``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from scipy import stats

import reprbench
from reprbench.report.significance import holm
from reprbench.report.statistics import summarize

RESULTS = Path(__file__).parent
PAGE = RESULTS.parent / "docs" / "results.md"


class Numbers:
    """The measurements of a store, for the text.

    A row is asked for by its benchmark and label. `metric` and `protocol` say what of it, and further words where it
    was measured, like ``level=0.4``: that must be one number for each fold and seed.
    """

    def __init__(self, store: Path) -> None:
        self._store = reprbench.load(store)
        self._frame = self._store.to_dataframe()

    def mean(self, benchmark: str, label: str, digits: int = 1, **which: Any) -> str:
        """Return the mean over seeds and folds."""
        return f"{self._per_seed(benchmark, label, **which).mean():.{digits}f}"

    def ratio(self, benchmark: str, label: str, other: str, digits: int = 1, **which: Any) -> str:
        """Return the mean of a row divided by that of another."""
        one, two = (self._per_seed(benchmark, row, **which).mean() for row in (label, other))
        return f"{one / two:.{digits}f}"

    def seeds(self, benchmark: str, label: str, **which: Any) -> str:
        """Return the number of seeds."""
        return str(len(self._per_seed(benchmark, label, **which)))

    def difference(self, benchmark: str, label: str, other: str, digits: int = 1, **which: Any) -> str:
        """Return the mean difference of two rows, paired by seed, with its 95 % interval over several seeds."""
        apart = summarize(self._apart(benchmark, label, other, **which))
        interval = "" if apart.half_width is None else f" ± {apart.half_width:.{digits}f}"
        return f"{apart.mean:+.{digits}f}".replace("-", "−") + interval

    def adjusted(self, benchmark: str, pairs: list[tuple[str, str]], **which: Any) -> list[str]:
        """Return the p values of the differences of some pairs over seeds, adjusted by Holm's method."""
        found = [float(stats.ttest_1samp(self._apart(benchmark, *pair, **which), 0).pvalue) for pair in pairs]
        return [f"{p:.2g}" for p in holm(found)]

    def at_the_end(self, benchmark: str, label: str, column: str, digits: int = 1) -> str:
        """Return the last value of a column of the history, the mean over seeds."""
        frame = self._frame
        trials = frame[(frame.benchmark == benchmark) & (frame.label == label)].trial.unique()
        ends = [self._store.trial(self._store.root / trial).history()[column].iloc[-1] for trial in trials]
        return f"{sum(ends) / len(ends):.{digits}f}"

    def _apart(self, benchmark: str, label: str, other: str, **which: Any) -> pd.Series:
        """Return the differences of the seeds that both rows have."""
        one, two = (self._per_seed(benchmark, row, **which) for row in (label, other))
        return (one - two).dropna()

    def _per_seed(
        self, benchmark: str, label: str, *, metric: str = "accuracy", protocol: str, **at: object
    ) -> pd.Series:
        """Return the mean over folds for each seed."""
        frame = self._frame
        wanted = (frame.benchmark == benchmark) & (frame.label == label)
        wanted &= (frame.metric == metric) & (frame.protocol == protocol)
        for name, value in at.items():
            wanted &= frame[f"at.{name}"] == value
        rows = frame[wanted]
        if rows.empty:
            raise LookupError(f"{benchmark}: no {metric} of {label!r} under {protocol} {at or ''}")
        if rows.groupby(["seed", "at.fold"], dropna=False).size().max() > 1:
            raise LookupError(f"{benchmark}: several values of {metric} of {label!r} under {protocol}; say where")
        found: pd.Series = rows.groupby("seed").value.mean()
        return found


def page(store: Path, text: str) -> str:
    """Return the text with its numbers from a store."""
    numbers = Numbers(store)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - the page is Markdown.
    )
    words = ("mean", "ratio", "seeds", "difference", "adjusted", "at_the_end")
    return environment.from_string(text).render({word: getattr(numbers, word) for word in words})


if __name__ == "__main__":
    PAGE.write_text(page(RESULTS, (RESULTS / "page.md.j2").read_text(encoding="utf-8")), encoding="utf-8")
