"""``reprbench compare``: whether a store, or the same store at another revision, got worse."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from reprbench.cli import github
from reprbench.cli.command import Command
from reprbench.cli.echo import echo, warn, write_or_echo
from reprbench.errors import UserError

if TYPE_CHECKING:
    from reprbench.compare.comparison import StoreComparison
    from reprbench.compare.judge import CompareSettings


class Tolerance(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """How much worse the mean of a metric may be: ``accuracy=0.5``."""

    name = "METRIC=VALUE"

    def convert(
        self, value: str | tuple[str, float], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the metric and its tolerance."""
        if isinstance(value, tuple):
            return value
        metric, _, number = value.rpartition("=")
        try:
            tolerance = float(number)
        except ValueError:
            tolerance = math.nan
        if not metric.strip() or not 0 <= tolerance < math.inf:
            raise UserError(f"--tolerance {value!r}: expected METRIC=VALUE, the value at least 0, like accuracy=0.5")
        return metric.strip(), tolerance


@dataclass(frozen=True)
class ComparedStore:
    """A store as it is on disk, or as it is committed at a revision of git."""

    folder: Path
    revision: str | None

    def open(self) -> AbstractContextManager[Path]:
        """Return a context manager for a folder with the store's trials; that of a revision is removed at the end.

        Raises
        ------
        UserError
            If there is no such folder, or no such revision of it.
        """
        from reprbench.cli.revisions import store_at
        from reprbench.store import check_exists

        if self.revision is not None:
            return store_at(self.folder, self.revision)
        check_exists(self.folder)
        return nullcontext(self.folder)

    def __str__(self) -> str:
        return str(self.folder) if self.revision is None else f"{self.folder} at {self.revision}"


@click.command(cls=Command)
@click.argument("base", type=click.Path(path_type=Path), default=Path("results"))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option("--base-rev", metavar="REV", help="Read BASE as committed at this revision of git.")
@click.option("--new-rev", metavar="REV", help="Read NEW as committed at this revision; by default, as on disk.")
@click.option(
    "--tolerance",
    "tolerances",
    type=Tolerance(),
    multiple=True,
    help="How much worse a metric's mean may be, in its unit; repeatable. 0 by default.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Compare this metric; repeatable.")
@click.option("--all", "every", is_flag=True, help="Compare every metric that has a direction.")
@click.option("--ignore-seeds", is_flag=True, help="Match rows over all of their seeds, not seed by seed.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
    help="How to write the comparison.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; by default the screen."
)
@click.option("--github", "on_github", is_flag=True, help="On GitHub: also write the job's summary and annotations.")
def command(
    base: Path,
    new: Path | None,
    base_rev: str | None,
    new_rev: str | None,
    tolerances: tuple[tuple[str, float], ...],
    metrics: tuple[str, ...],
    every: bool,
    ignore_seeds: bool,
    form: Literal["table", "markdown", "json"],
    output: Path | None,
    on_github: bool,
) -> int:
    """Report whether NEW is worse than BASE: two stores, or with --base-rev two revisions of one (NEW is BASE then).

    Rows are matched by benchmark, label, dataset digest, budget, precision and seed, whatever the code and parameters
    behind the label, and within a row by protocol. If a store has several trials of a row, the newest counts. Each
    protocol's headline metrics are compared, or what --metric or --all select.

    A row is WORSE if its mean over the shared folds is worse by more than the tolerance, and the difference is
    significant: the paired test's p value (corrected resampled t-test), adjusted by Holm's method for all that are
    compared, is below 0.05. Where there is only one value to compare, no test is possible and the tolerance alone
    decides. What was measured in BASE and is missing in NEW (a failure, a protocol or a metric) is worse as well. Rows
    that only one store has are listed, and are not worse.

    With equal seeds the test asks whether these two fits differ. --ignore-seeds asks whether the methods do: a
    difference must exceed what seeds and folds explain, paired over the folds and unpaired over the seeds. With one
    seed on each side the spread of the seeds is unknown, and is assumed to be that of the folds; two single values of
    different seeds are judged only if a tolerance is given.

    A trial of BASE or NEW that cannot be read, or was changed by hand, is named, and the comparison does not pass.

    \b
    Exit status: 0 no worse; 1 worse, or a trial that is damaged or changed by hand; 2 a mistake in the command line;
    3 nothing to compare.
    """  # noqa: D301 - click reads \b, not backslash-b
    from reprbench.compare.judge import CompareSettings
    from reprbench.compare.match import Selection
    from reprbench.compare.text import FORMATS
    from reprbench.store import collector_paused

    if metrics and every:
        raise UserError("--metric and --all: give one of them")
    if new is None and base_rev is None and new_rev is None:
        raise UserError(
            "nothing to compare with: give two stores (reprbench compare BASE NEW), or one and a revision "
            "(reprbench compare results --base-rev main)"
        )
    if twice := [metric for metric, count in Counter(metric for metric, _ in tolerances).items() if count > 1]:
        raise UserError(f"--tolerance: {twice[0]} is given twice; give one tolerance for each metric")
    settings = CompareSettings(Selection(metrics, every), dict(tolerances), ignore_seeds)
    with collector_paused(kept=True):
        stores, problems = _compare(ComparedStore(base, base_rev), ComparedStore(new or base, new_rev), settings)
        text = FORMATS[form](stores)
    for problem in problems:
        warn(problem)
    write_or_echo(text, output)
    if on_github:
        _report_on_github(stores, problems)
    return stores.status


def _compare(base: ComparedStore, new: ComparedStore, settings: CompareSettings) -> tuple[StoreComparison, list[str]]:
    """Return the comparison, and a line for each trial that cannot be relied upon."""
    from reprbench.compare.judge import compare
    from reprbench.store import Store

    problems: list[str] = []
    with base.open() as base_folder, new.open() as new_folder:
        stores = compare(Store(base_folder, str(base)), Store(new_folder, str(new)), settings, problems)
    return stores, problems


def _report_on_github(stores: StoreComparison, problems: list[str]) -> None:
    """Write the job's summary and annotations, or say that this is not a job."""
    from reprbench.compare.text import as_markdown, summary, worse_sentences

    if not github.running():
        echo(f"not running in GitHub Actions ({github.SUMMARY} is not set): no summary, no annotations", err=True)
        return
    github.append_summary(as_markdown(stores))
    github.annotate("error", "reprbench: worse", worse_sentences(stores))
    github.annotate("error", "reprbench: not to be relied upon", problems)
    github.annotate("warning", "reprbench", [summary(stores)] if stores.empty else [])
