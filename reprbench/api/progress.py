"""Shows a run: a live bar for each running trial in a terminal, plain lines elsewhere. Both on standard error."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Display
from rich.text import Text

from reprbench.owner import Owner
from reprbench.printable import cell, printable
from reprbench.report.text import rough_text, seconds_text
from reprbench.runner.estimate import Remaining
from reprbench.runner.plan import Planned
from reprbench.runner.received import Progress
from reprbench.runner.schedule import Listener
from reprbench.store import last_lines
from reprbench.trial import Evaluation, Trial

if TYPE_CHECKING:
    from reprbench.api.running import PreparedRun

PLAIN_SECONDS = 10.0
"""How often a plain line shows the progress of a trial."""

SHOWN_REASON = 200
"""Characters of the reason for a failure, and of a line of its log, that are shown while a run goes on."""

SHOWN_LINES = 3
"""The last lines of a log that are shown then."""


@contextmanager
def listener(run: PreparedRun, say: Callable[[str], None]) -> Iterator[Listener]:
    """Yield the listener that suits standard error, or the notebook; the live display ends with the block.

    Parameters
    ----------
    run : what will run.
    say : shows a line where nothing can move.
    """
    total, store, remaining = len(run.to_run), run.store.root, run.remaining()
    if run.debug:
        yield DebugListener(total, None, say, remaining)
        return
    console = Console(stderr=True)
    if not _moves(console):
        yield PlainListener(total, store, say, remaining)
        return
    with Display(*columns(), console=console, transient=True) as progress:
        yield LiveListener(progress, total, store, remaining)


def _moves(console: Console) -> bool:
    """Return whether a display can change there: a terminal, or a notebook with widgets."""
    return importlib.util.find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


def columns() -> list[ProgressColumn]:
    """Return the columns of the live display; names and values appear literally."""
    description, text = (TextColumn(form, markup=False) for form in ("{task.description}", "{task.fields[text]}"))
    return [description, BarColumn(), text, TimeElapsedColumn(), TrialRemainingColumn()]


class TrialRemainingColumn(TimeRemainingColumn):
    """The time that a trial still takes; that of all trials, which do not take the same, is a text."""

    def render(self, task: Task) -> Text:
        """Return the column of a row."""
        return Text("") if task.fields.get("whole") else super().render(task)


def name_of(planned: Planned) -> str:
    """Return the name of a trial while it runs."""
    return f"{cell(planned.spec.label)} (seed {planned.spec.seed})"


def ending(planned: Planned, trial: Trial) -> str:
    """Return in a few words how a trial ended, as far as this run asked for it."""
    if failed := trial.failure(planned.hashes):
        where = f"{failed.call}: " if isinstance(failed, Evaluation) else ""
        # In full it stands in the table.
        return f"{where}{failed.status}: {printable(failed.reason, SHOWN_REASON)}"
    if not planned.runs:
        # Another run has finished it meanwhile.
        return f"done ({planned.reason})"
    fit, evaluation = trial.cost.fit_seconds, trial.cost.evaluation_seconds
    resumed = ", resumed from its checkpoint" if trial.provenance.get("resumed") else ""
    return f"done (fit {seconds_text(fit)}, evaluation {seconds_text(evaluation)}{resumed})"


def log_lines(planned: Planned, trial: Trial, store: Path | None) -> list[str]:
    """Return what a trial that failed printed last, to be shown below its ending; of no `store` nothing."""
    if store is None or not trial.failure(planned.hashes):
        return []
    return [f"    {printable(line, SHOWN_REASON)}" for line in last_lines(store / trial.folder, SHOWN_LINES)]


def state_text(message: Progress) -> str:
    """Return what a trial reports about itself in one line."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in message.values.items())
    return f"{message.what} {message.share:.0%}{f' ({values})' if values else ''}"


def waiting_text(planned: Planned, owner: Owner) -> str:
    """Return the line about a trial that waits for another run."""
    return f"{name_of(planned)}: running on {owner}; waiting"


def left_text(remaining: Remaining) -> str:
    """Return how long the rest of the run takes; an empty string if that is not known, or less than a minute."""
    seconds = remaining.seconds()
    return f"{rough_text(seconds)} left" if seconds and seconds >= 60 else ""


class PlainListener:
    """One line when a trial begins and ends, and every few seconds in between.

    Parameters
    ----------
    store : where the logs of trials are; None if they have none.
    """

    def __init__(self, total: int, store: Path | None, say: Callable[[str], None], remaining: Remaining) -> None:
        self._total, self._number, self._store, self._show = total, 0, store, say
        self._remaining = remaining
        self._said: dict[int, float] = {}

    def started(self, planned: Planned) -> None:
        """Say that a trial begins."""
        self._said[id(planned)] = time.monotonic()
        self._remaining.started(planned)
        self._say(f"{name_of(planned)}: started ({planned.reason})")

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Say how far it is, if the last line was long ago."""
        if time.monotonic() - self._said[id(planned)] >= PLAIN_SECONDS:
            self._said[id(planned)] = time.monotonic()
            self._say(f"{name_of(planned)}: {state_text(message)}{self._left()}")

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Say how it ended."""
        self._number += 1
        self._remaining.finished(planned, trial)
        self._say(f"[{self._number}/{self._total}] {name_of(planned)}: {ending(planned, trial)}{self._left()}")
        for line in log_lines(planned, trial, self._store):
            self._say(line)

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Say who is running it."""
        self._say(waiting_text(planned, owner))

    def warned(self, line: str) -> None:
        """Show the warning."""
        self._say(line)

    def _left(self) -> str:
        left = left_text(self._remaining)
        return f"; in all, {left}" if left else ""

    def _say(self, line: str) -> None:
        self._show(printable(line))


class DebugListener(PlainListener):
    """Shows the traceback of a failure, too."""

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Say how it ended, and where."""
        super().finished(planned, trial)
        if failed := trial.failure(planned.hashes):
            for line in failed.traceback.splitlines():
                self._say(line)


class LiveListener:
    """A bar for each running trial, and one for all."""

    def __init__(self, progress: Display, total: int, store: Path, remaining: Remaining) -> None:
        self._progress, self._store, self._remaining = progress, store, remaining
        self._tasks: dict[int, TaskID] = {}
        self._all = progress.add_task("all trials", total=total, text=left_text(remaining), whole=True)

    def started(self, planned: Planned) -> None:
        """Add the trial's bar."""
        self._remaining.started(planned)
        self._tasks[id(planned)] = self._progress.add_task(name_of(planned), total=1.0, text="starting")

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Move the trial's bar."""
        text = cell(state_text(message))
        self._progress.update(self._tasks[id(planned)], completed=message.share, text=text)
        self._progress.update(self._all, text=left_text(self._remaining))

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Replace the trial's bar with a line."""
        if (task := self._tasks.pop(id(planned), None)) is not None:
            self._progress.remove_task(task)
        self._remaining.finished(planned, trial)
        self._progress.update(self._all, advance=1, text=left_text(self._remaining))
        self._print(f"{name_of(planned)}: {ending(planned, trial)}")
        for line in log_lines(planned, trial, self._store):
            self._print(line)

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Print who is running it."""
        self._print(waiting_text(planned, owner))

    def warned(self, line: str) -> None:
        """Print the warning."""
        self._print(line)

    def _print(self, line: str) -> None:
        self._progress.console.print(printable(line), highlight=False, markup=False, emoji=False)


class SilentListener:
    """Shows nothing."""

    def started(self, planned: Planned) -> None:
        """Show nothing."""

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Show nothing."""

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Show nothing."""

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Show nothing."""

    def warned(self, line: str) -> None:
        """Show nothing."""
