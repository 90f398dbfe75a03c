"""``reprbench list``: what can be run. Answers at once; imports an installed method only to show its parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from reprbench.cli.options import PLUGIN
from reprbench.errors import UserError

FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Also show parameters and their defaults.")


@click.group()
def command() -> None:
    """List methods, datasets, protocols or benchmarks."""


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def methods(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the methods: installed ones, those of --plugin files, and those in the folders of plugins."""
    from reprbench.registry import discover

    registry = discover(plugins)
    # Files are imported (in another process) to see whether they can be; installed methods only to show parameters.
    asked = [entry for entry in registry.methods.values() if verbose or entry.way == "file"]
    described: dict[str, Any] = {}
    if asked:
        from reprbench.runner.describe import Question, describe

        answers = describe([Question(entry) for entry in asked])
        described = {entry.name: answer for entry, answer in zip(asked, answers, strict=True)}
    records = []
    for name, entry in registry.methods.items():
        record: dict[str, Any] = {"name": name, "origin": entry.origin}
        if (description := described.get(name)) is not None:
            record["problem"] = description.problem
            if verbose and not description.problem:
                record["description"] = description.summary
                record["kind"] = _kind(description)
                record["capabilities"] = description.capabilities
                record["parameters"] = [
                    {"name": parameter, "type": text, "default": description.parameters.get(parameter)}
                    for parameter, text in description.types.items()
                ]
        records.append(record)
    records += [{"name": "", "origin": path, "problem": reason} for path, reason in registry.problems.items()]
    _show(records, form)


def _kind(description: Any) -> str:
    return str(description.kind)


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def datasets(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the datasets: installed ones, those of --plugin files, and those in the folders of plugins."""
    from reprbench.registry import discover

    registry = discover(plugins)
    records = [{"name": e.name, "description": e.summary(), "origin": e.origin} for e in registry.datasets.values()]
    records += [{"name": "", "origin": path, "problem": reason} for path, reason in registry.problems.items()]
    _show(records if verbose or form == "json" else [_short(record) for record in records], form)


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record without its origin, unless nothing else describes it."""
    return {key: value for key, value in record.items() if key != "origin" or not record.get("description")}


@command.command()
@PLUGIN
@VERBOSE
@FORMAT
def protocols(plugins: tuple[Path, ...], verbose: bool, form: str) -> None:
    """List the protocols: installed ones, those of --plugin files, and those in the folders of plugins."""
    from reprbench.registry import discover
    from reprbench.runner.describe import type_text

    registry = discover(plugins)
    records: list[dict[str, Any]] = []
    for entry in registry.protocols.values():
        record: dict[str, Any] = {"name": entry.name, "origin": entry.target}
        if verbose:
            try:
                cls = entry.load_or_refuse()
            except UserError as error:
                records.append({**record, "problem": str(error)})
                continue
            record["description"] = (cls.__doc__ or "").strip().splitlines()[0]
            record["version"] = cls.version
            record["parameters"] = [
                {"name": name, "type": type_text(info), "default": info.default}
                for name, info in cls.model_fields.items()
            ]
        records.append(record)
    records += [{"name": "", "origin": path, "problem": reason} for path, reason in registry.problems.items()]
    _show(records, form)


@command.command()
@VERBOSE
@FORMAT
def benchmarks(verbose: bool, form: str) -> None:
    """List the benchmarks that come with reprbench."""
    from reprbench.benchmark import benchmark_files, load_benchmark

    records: list[dict[str, Any]] = []
    for name, path in benchmark_files().items():
        benchmark = load_benchmark(path)
        record: dict[str, Any] = {"name": name, "description": benchmark.title}
        if verbose:
            record["dataset"] = str(benchmark.dataset)
            record["budget"] = str(benchmark.budget)
            record["protocols"] = [str(protocol) for protocol in benchmark.protocols]
            record["methods"] = [str(row.method) for row in benchmark.methods]
        records.append(record)
    _show(records, form)


def _show(records: list[dict[str, Any]], form: str) -> None:
    """Print the records: as JSON, or one line each with their lists below."""
    if form == "json":
        click.echo(json.dumps(records, indent=2, ensure_ascii=False, default=str))
        return
    width = max((len(record["name"]) for record in records), default=0)
    for record in records:
        problem = f"  cannot be used: {record['problem']}" if record.get("problem") else ""
        text = record.get("description") or record.get("origin", "")
        click.echo(f"{record['name']:{width}}  {text}{problem}")
        for key, value in record.items():
            if key in {"name", "description", "problem"} or (key == "origin" and "description" not in record):
                continue
            click.echo("".join(f"{'':{width}}    {line}\n" for line in _detail(key, value)), nl=False)


def _detail(key: str, value: Any) -> list[str]:
    from reprbench.spec import show_value

    if key == "parameters":
        return [f"{p['name']} = {show_value(p['default'])}   ({p['type']})" for p in value]
    return [f"{key}: {', '.join(value) if isinstance(value, list) else value}"] if value else []
