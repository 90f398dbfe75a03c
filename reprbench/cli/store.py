"""``reprbench store``: the removal of trials that later ones supersede."""

from __future__ import annotations

from pathlib import Path

import click

from reprbench.cli.command import Group
from reprbench.cli.echo import echo, warn
from reprbench.cli.options import STORE, YES, confirmed
from reprbench.errors import UserError


@click.group(cls=Group)
def command() -> None:
    """Tend a store of trials."""


@command.command()
@click.option("--superseded", "only_superseded", is_flag=True, help="Those that a later trial of their row supersedes.")
@STORE
@YES
def prune(only_superseded: bool, store: Path, yes: bool) -> None:
    """Remove trials from --store, except for those that a run is making."""
    from reprbench.api.pruning import remove_superseded, superseded
    from reprbench.store import Store

    if not only_superseded:
        raise UserError("say which trials to remove: --superseded")
    if not store.is_dir():
        raise UserError(f"store {store}: no such folder")
    trials = Store(store)
    found = superseded(trials)
    if not found:
        echo("nothing to remove")
        return
    for trial in found:
        echo(f"{trial.folder}  {trial.label}, seed {trial.seed}, {trial.status}, ended {trial.ended or 'unknown'}")
    if confirmed(f"remove these {len(found)} trials?", yes):
        removed = remove_superseded(trials, {trial.folder for trial in found}, warn)
        echo(f"removed {len(removed)} trial{'' if len(removed) == 1 else 's'}")
