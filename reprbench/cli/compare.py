"""``reprbench compare``: whether a store, or the same store at another revision, got worse."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprbench.cli import github
from reprbench.errors import UserError

if TYPE_CHECKING:
    from reprbench.compare.judge import Report


class Tolerance(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """How much worse the mean of a metric may be: ``accuracy=0.5``."""

    name = "METRIC=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """Return the metric and its tolerance."""
        if isinstance(value, tuple):
            return value
        metric, _, number = value.rpartition("=")
        try:
            tolerance = float(number)
        except ValueError:
            tolerance = math.nan
        if not metric.strip() or not 0 <= tolerance < math.inf:
            raise UserError(f"--tolerance {value!r}: expected METRIC=VALUE with a value from 0, like accuracy=0.5")
        return metric.strip(), tolerance


@click.command()
@click.argument("base", type=click.Path(path_type=Path), default=Path("results"))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option("--base-rev", metavar="REV", help="Read BASE as it is committed at this revision of git.")
@click.option("--new-rev", metavar="REV", help="Read NEW so; by default the files as they are.")
@click.option(
    "--tolerance",
    "tolerances",
    type=Tolerance(),
    multiple=True,
    help="How much worse a metric's mean may be, in its unit; repeatable. 0 by default.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Compare this metric; repeatable.")
@click.option("--all", "every", is_flag=True, help="Compare every metric that has a direction.")
@click.option("--ignore-seeds", is_flag=True, help="Match rows over their seeds, not seed by seed.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
    help="How to write the comparison.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the screen.")
@click.option("--github", "on_github", is_flag=True, help="On GitHub: also write the job's summary and annotations.")
def command(**given: Any) -> int:
    """Tell whether NEW is worse than BASE: two stores, or with --base-rev two revisions of one (NEW is BASE then).

    Rows are matched by benchmark, label, method with its parameters, budget, dataset digest, seed and protocol; a row
    whose label was kept while its parameters changed is matched by its label. Compared is each protocol's headline,
    or what --metric or --all say.

    A row is WORSE if its mean over the shared folds is worse by more than the tolerance, and the difference is
    significant: the paired test's p value (corrected resampled t-test), adjusted by Holm's method for all that are
    compared, is below 0.05. Where there is only one value to compare, no test is possible and the tolerance alone
    decides. What was measured in BASE and is not in NEW (a failure, a protocol or a metric that is missing) is worse
    as well. Rows that only one store has are told, and are not worse.

    With equal seeds the test asks whether these two fits differ. --ignore-seeds asks whether the methods do: a
    difference must exceed what seeds and folds explain, paired over the folds and unpaired over the seeds. With one
    seed on each side the spread of the seeds is unknown, and is taken to be that of the folds; two single values of
    different seeds are judged only if a tolerance is given.

    \b
    Exit status: 0 no worse, 1 worse, 2 a mistake in what was asked, 3 nothing that compares.
    """  # noqa: D301 - click reads \b, not backslash-b
    from reprbench.compare.text import FORMATS
    from reprbench.files import write_text
    from reprbench.store import collector_paused

    with collector_paused():
        report, problems = _compare(given)
        text = FORMATS[given["form"]](report)
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
    if (output := given["output"]) is None:
        click.echo(text.rstrip("\n"))
    else:
        write_text(output, text if text.endswith("\n") else text + "\n")
        click.echo(f"wrote {output}", err=True)
    if given["on_github"]:
        _tell_github(report, problems)
    return report.status


def _compare(given: dict[str, Any]) -> tuple[Report, list[str]]:
    """Return the comparison, and a line for each file that could not be read."""
    from reprbench.compare.judge import Settings, compare
    from reprbench.compare.match import Selection
    from reprbench.store import Store

    if given["metrics"] and given["every"]:
        raise UserError("--metric and --all: give one of them")
    settings = Settings(Selection(given["metrics"], given["every"]), dict(given["tolerances"]), given["ignore_seeds"])
    problems: list[str] = []
    with ExitStack() as stack:
        base, new = _folders(given, stack)
        report = compare(Store(base), Store(new), settings, problems)
        # A file of a revision is named by the store and the revision, not by the temporary folder.
        for folder, store, revision in (
            (base, given["base"], given["base_rev"]),
            (new, given["new"] or given["base"], given["new_rev"]),
        ):
            if revision is not None:
                problems = [problem.replace(str(folder), f"{store} at {revision}", 1) for problem in problems]
    return report, problems


def _folders(given: dict[str, Any], stack: ExitStack) -> tuple[Path, Path]:
    """Return the two folders that are meant; those of revisions are there until the stack is closed."""
    from reprbench.cli.revisions import store_at

    base, new, base_rev, new_rev = (given[name] for name in ("base", "new", "base_rev", "new_rev"))
    if new is None and base_rev is None and new_rev is None:
        raise UserError(
            "nothing to compare with: give two stores (reprbench compare BASE NEW), or one and a revision "
            "(reprbench compare results --base-rev main)"
        )
    folders = []
    for store, revision in ((base, base_rev), (new or base, new_rev)):
        if revision is None and not store.exists():
            raise UserError(f"store {store}: no such folder; `reprbench run` makes one, or name another")
        folders.append(store if revision is None else stack.enter_context(store_at(store, revision)))
    return folders[0], folders[1]


def _tell_github(report: Report, problems: list[str]) -> None:
    """Write the job's summary and annotations, or say that this is no job."""
    from reprbench.compare.text import as_markdown, sentence, summary

    if not github.running():
        click.echo(f"not running in GitHub Actions ({github.SUMMARY} is not set): no summary, no annotations", err=True)
        return
    github.append_summary(as_markdown(report))
    worse = [sentence(comparison) for comparison in report.comparisons if comparison.verdict == "worse"]
    github.annotate("error", "reprbench: worse", worse)
    github.annotate("warning", "reprbench", [*problems, *([summary(report)] if report.status == 3 else [])])
