"""Logs runs to one CSV file, which spreadsheets and pandas read while the run goes on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd

COLUMNS = ("trial", "label", "seed", "step", "name", "value")
HEADER = ",".join(COLUMNS).encode()


class CSVTracker(Tracker):
    """Adds a line for each value to a file, without a step if it is one of the whole trial.

    Parameters
    ----------
    where : the file.
    """

    def __init__(self, where: str = "log.csv") -> None:
        self._path = Path(where)
        self._check()

    def on_log(self, trial: TrackedTrial, step: float, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._add(trial, ((step, name, value) for name, value in values.items()))

    def on_end(self, trial: TrackedTrial, end: TrialEnd) -> None:
        """Add what was measured."""
        self._add(trial, (("", name, value) for name, value in end.measurements.items()))

    def _check(self) -> None:
        """Raise a `UserError` if there is a file already that is not such a log: nothing is added to it."""
        try:
            with open_regular(self._path) as file:
                first = file.readline(len(HEADER) + 1)
        except OSError:  # none yet; what cannot be written is told when it is
            return
        if first and first.rstrip(b"\n") != HEADER:
            raise UserError(f"--log-to csv: {self._path} is there already, and is no such log; name another file")

    def _add(self, trial: TrackedTrial, lines: Iterable[tuple[float | str, str, float]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(COLUMNS)
            writer.writerows((trial.folder, trial.label, trial.seed, *line) for line in lines)
