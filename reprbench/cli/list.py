"""``reprbench list``: what can be run. Where classes must be imported, another process does that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprbench.cli.command import Group
from reprbench.cli.echo import echo
from reprbench.cli.options import PLUGIN

if TYPE_CHECKING:
    from reprbench.registry import Entry, EntryKind
    from reprbench.runner.describe import Description

FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Also show parameters and their defaults.")


@click.group(cls=Group)
def command() -> None:
    """List methods, datasets, protocols or benchmarks."""


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def methods(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the methods: installed ones, those of --plugin files, and those in the folders of plugins."""
    _list("method", plugins, verbose, form)


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def datasets(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the datasets: installed ones, those of --plugin files, and those in the folders of plugins."""
    _list("dataset", plugins, verbose, form)


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def protocols(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the protocols: installed ones, those of --plugin files, and those in the folders of plugins."""
    _list("protocol", plugins, verbose, form)


def _list(kind: EntryKind, plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    from reprbench.registry import discover

    registry = discover(plugins)
    entries = registry.of_kind(kind)
    described = {} if kind == "dataset" else _described(list(entries.values()), verbose)
    records: list[dict[str, Any]] = []
    for name, entry in entries.items():
        record: dict[str, Any] = {"name": name, "description": entry.summary(), "origin": entry.origin}
        missing = entry.lacking()
        if (description := described.get(name)) is not None:
            record["problem"] = missing or description.problem
            if verbose and not description.problem:
                record |= _details(kind, description)
        elif missing:
            record["problem"] = missing
        records.append(record)
    records += [{"name": "", "origin": path, "problem": reason} for path, reason in registry.problems.items()]
    _show(records if verbose or form == "json" else [_short(record) for record in records], form)


def _described(entries: Sequence[Entry], verbose: bool) -> dict[str, Description]:
    """Import files, in another process, to see whether they can be; installed classes only to show parameters."""
    asked = [entry for entry in entries if verbose or entry.way == "file"]
    if not asked:
        return {}
    from reprbench.runner.describe import Question
    from reprbench.runner.descriptions import describe

    answers = describe([Question(entry) for entry in asked])
    return {entry.name: answer for entry, answer in zip(asked, answers, strict=True)}


def _details(kind: EntryKind, found: Description) -> dict[str, Any]:
    """Return what ``-v`` shows of a method or protocol besides its summary."""
    about: dict[str, Any] = (
        {"version": found.code.version, "needs": found.capabilities}
        if kind == "protocol"
        else {"kind": found.kind, "capabilities": found.capabilities}
    )
    parameters = [
        {"name": name, "type": text, "required": name not in found.defaults, "default": found.defaults.get(name)}
        for name, text in found.types.items()
    ]
    return {**about, "parameters": parameters}


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record without its origin, unless nothing else describes it."""
    return {key: value for key, value in record.items() if key != "origin" or not record.get("description")}


@command.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@VERBOSE
@FORMAT
def benchmarks(files: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the benchmarks in each FILE, by default those that come with reprbench."""
    from reprbench.benchmark import benchmark_files, load_benchmark

    records: list[dict[str, Any]] = []
    for path in files or benchmark_files().values():
        benchmark = load_benchmark(path)
        record: dict[str, Any] = {"name": benchmark.name, "description": benchmark.title}
        if verbose:
            record["dataset"] = str(benchmark.dataset)
            record["budget"] = str(benchmark.budget)
            record["protocols"] = [str(protocol) for protocol in benchmark.protocols]
            record["methods"] = [str(row.swept) for row in benchmark.methods]
        records.append(record)
    _show(records, form)


def _show(records: list[dict[str, Any]], form: str) -> None:
    """Print the records: as JSON, or one line each with their lists below."""
    if form == "json":
        from reprbench.report.text import json_text

        echo(json_text(records, default=str).rstrip("\n"))
        return
    width = max((len(record["name"]) for record in records), default=0)
    for record in records:
        problem = f"  cannot be used: {record['problem']}" if record.get("problem") else ""
        text = record.get("description") or record.get("origin", "")
        echo(f"{record['name']:{width}}  {text}{problem}")
        for key, value in record.items():
            if key in {"name", "description", "problem"} or (key == "origin" and not record.get("description")):
                continue
            echo("".join(f"{'':{width}}    {line}\n" for line in _detail(key, value)), nl=False)


def _detail(key: str, value: Any) -> list[str]:
    from reprbench.spec import show_value

    if key == "parameters":
        return [
            f"{p['name']}   ({p['type']}, required)"
            if p["required"]
            else f"{p['name']} = {show_value(p['default'])}   ({p['type']})"
            for p in value
        ]
    return [f"{key}: {', '.join(value) if isinstance(value, list) else value}"] if value else []
