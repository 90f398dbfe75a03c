"""``reprbench data``: lists, fetches and verifies datasets."""

from __future__ import annotations

from pathlib import Path

import click

from reprbench.cli.command import Group
from reprbench.cli.echo import echo
from reprbench.cli.options import CALLS, DATA_DIR
from reprbench.errors import UserError
from reprbench.spec import Call


@click.group(cls=Group)
def command() -> None:
    """List, fetch or verify datasets."""


@command.command("list")
@DATA_DIR
def list_(data_dir: Path | None) -> None:
    """List the datasets and whether their files are there."""
    from reprbench.cache_folder import CACHE
    from reprbench.data.catalog import BUILT_IN, dataset_files
    from reprbench.data.locate import data_dirs
    from reprbench.registry import discover

    folders = data_dirs(data_dir)
    names = {name: entry.summary() for name, entry in discover(folder=None).datasets.items()}
    for name, text in names.items():
        try:
            dataset_files(name, {}, data_dirs=folders, cache_dir=CACHE.resolve())
            there = "there" if name in BUILT_IN else "unknown"
        except UserError:
            there = "not found"
        echo(f"{name:{max(map(len, names))}}  {there:9}  {text}")
    echo(f"\nsearched: {', '.join(map(str, folders))}")


@command.command()
@click.argument("name")
@DATA_DIR
def fetch(name: str, data_dir: Path | None) -> None:
    """Fetch dataset NAME through torchvision, which checks it, into --data-dir (or the first folder searched)."""
    from reprbench.data.fetch import fetch as fetch_dataset
    from reprbench.data.locate import data_dirs

    target = data_dirs(data_dir)[0]
    fetch_dataset(name, target)
    echo(f"{name} is in {target}")


@command.command()
@click.argument("dataset", type=CALLS)
@DATA_DIR
def verify(dataset: tuple[Call, ...], data_dir: Path | None) -> int:
    """Compare the files of DATASET with the official digests; exit status 1 if one differs."""
    from reprbench.cache_folder import CACHE
    from reprbench.data.catalog import verify as verify_dataset
    from reprbench.data.locate import data_dirs

    good = True
    for call in dataset:
        for check in verify_dataset(
            call.name, call.parameters, data_dirs=data_dirs(data_dir), cache_dir=CACHE.resolve()
        ):
            good = good and check.ok
            against = (
                "official" if check.ok and check.official else "no official digest" if check.ok else "NOT OFFICIAL"
            )
            echo(f"{against:18}  {check.found}  {check.path}")
    return 0 if good else 1
