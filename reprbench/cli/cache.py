"""``reprbench cache``: what the cache has, how large it is, and the removal of what is not needed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprbench.cli.command import Group
from reprbench.cli.echo import echo, warn
from reprbench.cli.options import STORE, YES, confirmed
from reprbench.errors import UserError

if TYPE_CHECKING:
    from reprbench.api.pruning import CachePart


@click.group(cls=Group)
def command() -> None:
    """List, measure or prune the cache: fitted learners, checkpoints, features and decoded images in .reprbench."""


@command.command("list")
@STORE
def list_(store: Path) -> None:
    """List the fits in the cache, with the trials of --store that they belong to."""
    from tabulate import tabulate

    from reprbench.api.pruning import OF_FITS, cache_parts, days_text
    from reprbench.cache_folder import CACHE

    parts = cache_parts(CACHE)
    trials = _trials(store)
    # What an earlier version wrote beside these folders belongs to nobody knows which fit.
    names = dict.fromkeys(part.name for part in parts if part.kind in OF_FITS and part.path.is_dir())
    lines = []
    for name in names:
        own = {part.kind: part for part in parts if part.name == name}
        sizes = [own[kind].size if kind in own else 0 for kind in OF_FITS]
        made = days_text(max(part.made for part in own.values()))
        lines.append([name[:8], made, *map(_size, sizes), ", ".join(trials.get(name, ["in no trial of the store"]))])
    echo(tabulate(lines, ["fit", "made", "size", "features", "trial"], disable_numparse=True))


@command.command()
def size() -> None:
    """Show how large the parts of the cache are."""
    from tabulate import tabulate

    from reprbench.api.pruning import cache_parts
    from reprbench.cache_folder import CACHE

    parts = cache_parts(CACHE)
    kinds = dict.fromkeys(part.kind for part in parts)
    lines = [[kind, *_total([part for part in parts if part.kind == kind])] for kind in kinds]
    echo(tabulate([*lines, ["all", *_total(parts)]], ["what", "parts", "size"], disable_numparse=True))


@command.command()
@click.option(
    "--keep", "days", type=click.FloatRange(0), metavar="DAYS", help="Keep what was made in the last DAYS days."
)
@click.option(
    "--keep-store",
    "stores",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="STORE",
    help="Keep the fits of the trials in this store, decoded images and classes; repeatable.",
)
@YES
def prune(days: float | None, stores: tuple[Path, ...], yes: bool) -> None:
    """Remove the fits, features, images and files of classes that are not needed, except for what a run is using.

    What is removed is made again when a run needs it.
    """
    from reprbench.api.pruning import cache_parts, remove_parts, unneeded
    from reprbench.cache_folder import CACHE

    if days is None and not stores:
        raise UserError("say what to keep: --keep DAYS, or --keep-store STORE")
    for store in stores:
        if not store.is_dir():
            raise UserError(f"--keep-store {store}: no such folder")
    fits = {fit for store in stores for fit in _trials(store)} if stores else None
    found = unneeded(cache_parts(CACHE), days, fits, time.time())
    if not found:
        echo("nothing to remove")
        return
    for part in found:
        echo(f"{part.kind}/{part.name[:16]}  {_size(part.size)}")
    if confirmed(f"remove these {len(found)} parts, {_size(sum(part.size for part in found))}?", yes):
        removed = remove_parts(found, CACHE.resolve(), warn)
        echo(f"removed {len(removed)} parts, {_size(sum(part.size for part in removed))}")


def _trials(store: Path) -> dict[str, list[str]]:
    """Return the names of the trials of a store by the hashes of their fits; what cannot be read is warned of."""
    from reprbench.store import Store

    trials, problems = Store(store).read()
    for problem in problems:
        warn(problem)
    names: dict[str, list[str]] = {}
    for trial in trials:
        names.setdefault(trial.hash, []).append(f"{trial.benchmark}: {trial.label} (seed {trial.seed})")
    return names


def _total(parts: list[CachePart]) -> tuple[int, str]:
    return len(parts), _size(sum(part.size for part in parts))


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{-(-count // 2**10)} kB"
