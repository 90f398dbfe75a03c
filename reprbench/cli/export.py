"""``reprbench export``: a trial's fitted learner as a folder of its own."""

from __future__ import annotations

from pathlib import Path

import click

from reprbench.cli.command import Command
from reprbench.cli.echo import echo
from reprbench.cli.options import PLUGIN, STORE


@click.command(cls=Command)
@click.argument("trial")
@click.argument("folder", type=click.Path(path_type=Path))
@STORE
@PLUGIN
def command(trial: str, folder: Path, store: Path, plugins: tuple[Path, ...]) -> None:
    """Write the fitted learner of TRIAL into FOLDER: its state, parameters, and a model card.

    TRIAL is a folder of the store (quick/ae), a label, a path, or the beginning of a hash. In Python,
    reprbench.load_learner("FOLDER") loads it.
    """
    from reprbench.api.stores import LoadedStore

    LoadedStore(store, plugins=plugins).trial(trial).export(folder)
    echo(f"wrote {folder}", err=True)
