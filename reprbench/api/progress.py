"""Shows a run: a live bar for each running trial in a terminal, plain lines elsewhere. Both on standard error."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Display

from reprbench.owner import Owner
from reprbench.printable import cell, printable
from reprbench.report.text import seconds_text
from reprbench.runner.plan import NEW, Planned
from reprbench.runner.received import Progress
from reprbench.runner.schedule import Listener
from reprbench.trial import Evaluation, Trial

PLAIN_SECONDS = 10.0
"""How often a plain line shows the progress of a trial."""

SHOWN_REASON = 200
"""Characters of the reason for a failure that are shown while a run goes on."""


@contextmanager
def listener(work: Sequence[Planned], say: Callable[[str], None]) -> Iterator[Listener]:
    """Yield the listener that suits standard error, or the notebook; the live display ends with the block.

    Parameters
    ----------
    work : the trials that will run.
    say : shows a line where nothing can move.
    """
    console = Console(stderr=True)
    if not _moves(console):
        yield PlainListener(len(work), say)
        return
    with Display(*columns(), console=console, transient=True) as progress:
        yield LiveListener(progress, len(work))


def _moves(console: Console) -> bool:
    """Return whether a display can change there: a terminal, or a notebook with widgets."""
    return importlib.util.find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


def columns() -> list[ProgressColumn]:
    """Return the columns of the live display; names and values appear literally."""
    description, text = (TextColumn(form, markup=False) for form in ("{task.description}", "{task.fields[text]}"))
    return [description, BarColumn(), text, TimeElapsedColumn(), TimeRemainingColumn()]


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


def state_text(message: Progress) -> str:
    """Return what a trial reports about itself in one line."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in message.values.items())
    return f"{message.what} {message.share:.0%}{f' ({values})' if values else ''}"


def waiting_text(planned: Planned, owner: Owner) -> str:
    """Return the line about a trial that waits for another run."""
    return f"{name_of(planned)}: running on {owner}; waiting"


class PlainListener:
    """One line when a trial begins and ends, and every few seconds in between."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._number, self._show = total, 0, say
        self._said: dict[int, float] = {}

    def started(self, planned: Planned) -> None:
        """Say that a trial begins."""
        self._said[id(planned)] = time.monotonic()
        why = "" if planned.reason == NEW else f" ({planned.reason})"
        self._say(f"{name_of(planned)}: started{why}")

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Say how far it is, if the last line was long ago."""
        if time.monotonic() - self._said[id(planned)] >= PLAIN_SECONDS:
            self._said[id(planned)] = time.monotonic()
            self._say(f"{name_of(planned)}: {state_text(message)}")

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Say how it ended."""
        self._number += 1
        self._say(f"[{self._number}/{self._total}] {name_of(planned)}: {ending(planned, trial)}")

    def waits(self, planned: Planned, owner: Owner) -> None:
        """Say who is running it."""
        self._say(waiting_text(planned, owner))

    def warned(self, line: str) -> None:
        """Show the warning."""
        self._say(line)

    def _say(self, line: str) -> None:
        self._show(printable(line))


class LiveListener:
    """A bar for each running trial, and one for all."""

    def __init__(self, progress: Display, total: int) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}
        self._all = progress.add_task("all trials", total=total, text="")

    def started(self, planned: Planned) -> None:
        """Add the trial's bar."""
        self._tasks[id(planned)] = self._progress.add_task(name_of(planned), total=1.0, text="starting")

    def progressed(self, planned: Planned, message: Progress) -> None:
        """Move the trial's bar."""
        text = cell(state_text(message))
        self._progress.update(self._tasks[id(planned)], completed=message.share, text=text)

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Replace the trial's bar with a line."""
        if (task := self._tasks.pop(id(planned), None)) is not None:
            self._progress.remove_task(task)
        self._progress.advance(self._all)
        self._print(f"{name_of(planned)}: {ending(planned, trial)}")

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
