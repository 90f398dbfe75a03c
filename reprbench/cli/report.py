"""``reprbench report``: the tables of one or more stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprbench.cli.command import Command
from reprbench.cli.echo import echo, warn, write_or_echo
from reprbench.errors import UserError

if TYPE_CHECKING:
    from reprbench.report.best import Test
    from reprbench.report.table import Seeds, Table


@click.command(cls=Command)
@click.argument("stores", metavar="[STORE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    metavar="NAME|FILE",
    help="Only this benchmark; repeatable. If the file of one of your own is named, the order of its rows is known, "
    "and published rows that were not run are shown.",
)
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this method: label, name or call.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only this dataset: title, name or call.")
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="Only this protocol.")
@click.option(
    "--pivot",
    metavar="METRIC[@COORDINATE=VALUE,…]",
    help="Any measurement against the methods, a column for each value of the coordinate that varies.",
)
@click.option(
    "--relative-to",
    metavar="ROW",
    help="With --pivot: in percent of the values of this row, named by its label, and the mean over the columns.",
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
    help="How the best row is compared with others: t-test over seeds and folds, or Wilcoxon's as a second opinion.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Also show trials superseded by a later one of the same row.",
)
@click.option(
    "--sweep",
    "sweeps",
    is_flag=True,
    help="Also show the settings of sweeps that were not chosen; with --format html or --figures, also their charts.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json", "html"]),
    default="table",
    show_default=True,
    help="How to write the tables; html is one self-contained page, best written with -o.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; by default the screen."
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also draw the curves of all methods, and ranks over datasets, as PNG files in this folder.",
)
def command(
    stores: tuple[Path, ...],
    benchmarks: tuple[str, ...],
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    protocols: tuple[str, ...],
    pivot: str | None,
    relative_to: str | None,
    seeds: Seeds,
    test: Test,
    every: bool,
    sweeps: bool,
    form: str,
    output: Path | None,
    figures: Path | None,
) -> None:
    """Show the tables of all trials in each STORE (by default ./results)."""
    from reprbench.api.reports import report_tables, tables_text, wanted_rows
    from reprbench.report.table import Settings
    from reprbench.store import collector_paused

    if form == "html" and pivot:
        raise UserError("--pivot: an HTML page has no pivots; choose another --format, or leave --pivot out")
    if relative_to is not None and not pivot:
        raise UserError("--relative-to: says which row's values a --pivot is in percent of; give a --pivot, too")
    if seeds == "together" and (pivot or figures):
        raise UserError(
            "--seeds together: rows of a pivot are single trials, and figures average over seeds; leave it out"
        )
    stores = stores or (Path("results"),)
    folder = output.parent if output else Path()
    with collector_paused(kept=True):
        wanted = wanted_rows(benchmarks, methods, datasets, protocols)
        _, tables = report_tables(stores, wanted, Settings(seeds, test, every, sweeps), warn)
        write_or_echo(tables_text(tables, form, stores, folder, pivot, relative_to or ""), output)
        if figures is not None:
            _draw(figures, tables)


def _draw(folder: Path, tables: list[Table]) -> None:
    from reprbench.report.formats.figures import draw_all
    from reprbench.report.ranks import ranks_over_datasets

    written = draw_all(tables, ranks_over_datasets(tables), folder)
    for path in written:
        echo(f"wrote {path}", err=True)
    if not written:
        echo(
            "no figures: no row has curves, no sweep is shown (--sweep), and no three methods share two datasets",
            err=True,
        )
