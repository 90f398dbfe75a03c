"""``reprbench report``: the tables of one or more stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprbench.errors import UserError

if TYPE_CHECKING:
    from reprbench.report.table import Table
    from reprbench.trial import Trial


@click.command()
@click.argument("stores", metavar="[STORE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--benchmark", "benchmarks", multiple=True, metavar="NAME", help="This benchmark alone; may be repeated.")
@click.option("--method", "methods", multiple=True, metavar="NAME", help="This method alone: label, name or call.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="This dataset alone: title, name or call.")
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="This protocol alone.")
@click.option(
    "--pivot",
    metavar="METRIC[@COORDINATE=VALUE,…]",
    help="Any measurement against the methods, a column for each value of the coordinate that varies.",
)
@click.option(
    "--seeds",
    type=click.Choice(["apart", "together"]),
    default="apart",
    show_default=True,
    help="A row for each seed, or the mean over folds and seeds.",
)
@click.option(
    "--test",
    type=click.Choice(["t", "wilcoxon"]),
    default="t",
    show_default=True,
    help="What tells the best row from others: the corrected resampled t-test, or Wilcoxon's, a second opinion.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json", "html"]),
    default="table",
    show_default=True,
    help="How to write the tables; html is one page that needs nothing else; give -o too.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the screen.")
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also draw the curves of all methods, and ranks over datasets, as PNG files in this folder.",
)
def command(stores: tuple[Path, ...], output: Path | None, figures: Path | None, **given: Any) -> None:
    """Show the tables of all trials in each STORE (by default ./results)."""
    from reprbench.files import write_text
    from reprbench.report.formats.all import FORMATS
    from reprbench.report.pivot import make_pivots, parse_question
    from reprbench.store import collector_paused

    stores = stores or (Path("results"),)
    if given["form"] == "html" and given["pivot"]:
        raise UserError("--pivot: an HTML page has no pivots; choose another --format, or leave --pivot out")
    if given["seeds"] == "together" and (given["pivot"] or figures):
        raise UserError(
            "--seeds together: rows of a pivot are single trials, and figures average over seeds; leave it out"
        )
    # For as long as the command takes: nearly all it makes is needed until its end.
    with collector_paused():
        tables, trials = _read(stores, given)
        shown = make_pivots(parse_question(given["pivot"]), tables, trials) if given["pivot"] else tables
        if given["form"] == "html":
            from reprbench.report.formats.html import as_html

            text = as_html(tables, stores, output.parent if output else Path())
        else:
            text = FORMATS[given["form"]](shown)
        if output is None:
            click.echo(text.rstrip("\n"))
        else:
            write_text(output, text if text.endswith("\n") else text + "\n")
            click.echo(f"wrote {output}", err=True)
        if figures is not None:
            _draw(figures, tables, trials)


def _read(stores: tuple[Path, ...], given: dict[str, Any]) -> tuple[list[Table], list[Trial]]:
    """Return the tables that are asked for, and the trials they are made of, the newest last."""
    from reprbench.report.select import Wanted, known_benchmarks, select_tables, select_trials
    from reprbench.report.table import make_tables
    from reprbench.store import Store

    found: list[Trial] = []
    for store in stores:
        if not store.exists():
            raise UserError(f"store {store}: no such folder; `reprbench run` makes one, or name another")
        trials, problems = Store(store).read()
        for problem in problems:
            click.echo(f"Warning: {problem}", err=True)
        if not trials:
            raise UserError(f"store {store}: no trials in it; expected <benchmark>/<method>/<seed>-<hash>/trial.json")
        found += trials
    wanted = Wanted(given["benchmarks"], given["methods"], given["datasets"], given["protocols"])
    chosen = sorted(select_trials(found, wanted), key=lambda trial: str(trial.provenance.get("ended", "")))
    tables = make_tables(chosen, known_benchmarks(chosen, wanted), given["seeds"], given["test"])
    return select_tables(tables, wanted), chosen


def _draw(folder: Path, tables: list[Table], trials: list[Trial]) -> None:
    from reprbench.report.formats.figures import draw_all
    from reprbench.report.ranks import ranks_over_datasets

    written = draw_all(tables, ranks_over_datasets(tables), folder)
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if not written:
        click.echo("no figures: no row has curves, and no three methods share two datasets", err=True)
