"""``reprbench report``: the tables of a store."""

from __future__ import annotations

from pathlib import Path

import click

from reprbench.errors import UserError


@click.command()
@click.argument("store", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to write the tables.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of the screen.")
def command(store: Path, form: str, output: Path | None) -> None:
    """Show the tables of all trials in STORE (by default ./results)."""
    from reprbench.files import write_text
    from reprbench.report.formats import FORMATS
    from reprbench.report.table import make_tables
    from reprbench.store import Store

    if not store.exists():
        raise UserError(f"store {store}: no such folder; `reprbench run` makes one, or name another")
    trials, problems = Store(store).read()
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
    if not trials:
        raise UserError(f"store {store}: no trials in it; expected <benchmark>/<method>/<seed>-<hash>/trial.json")
    text = FORMATS[form](make_tables(trials))
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        write_text(output, text if text.endswith("\n") else text + "\n")
        click.echo(f"wrote {output}", err=True)
