"""``reprbench run``: from a request to a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprbench.benchmark import Benchmark, Row
from reprbench.cli.options import CACHE, DATA_DIR, PLUGIN, STORE, Calls, Device, Memory, Seeds, parse_settings
from reprbench.errors import UserError
from reprbench.spec import Budget, Call

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.registry import Registry
    from reprbench.runner.plan import Planned
    from reprbench.runner.request import Overrides, Request
    from reprbench.store import Store

DEFAULT_EPOCHS = 10

NOTHING_ASKED = """nothing to run: name methods or a benchmark, for example
  reprbench run --methods ameae,dae,sparse-ae          (on the embedded digits)
  reprbench run --benchmark quick
`reprbench list methods` and `reprbench list benchmarks` show what there is."""


@click.command()
@click.option("--methods", type=Calls(), default="", help="The methods to compare: ae,dae[noise=0.3],…")
@click.option("--benchmark", metavar="NAME|FILE", help="A benchmark: dataset, methods, protocols, references.")
@click.option("--dataset", type=Calls(), default="", help="The dataset; digits if no benchmark says otherwise.")
@click.option("--protocols", type=Calls(), default="", help="The protocols; linear-svm by default.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of fitting.")
@click.option("--limit", type=click.IntRange(1), help="At most so many images of every split.")
@click.option("--seeds", type=Seeds(), default=(), help="Seeds; each is a row of its own.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of all methods that have it, or NAME.KEY of one method, protocol or dataset.",
)
@PLUGIN
@DATA_DIR
@STORE
@click.option("--plan", "only_plan", is_flag=True, help="Show what would run, and why, and stop.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trials at a time.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds a trial may take.")
@click.option("--memory", type=Memory(), help="Memory a trial may take, like 4GB.")
@click.option("--device", type=Device(), default="auto", show_default=True, help="cpu, cuda, cuda:1, or auto.")
def command(**given: Any) -> int:
    """Fit methods, evaluate them, and show the table.

    Finished trials are kept: the same command again runs only what is missing, changed, or failed.
    """
    from reprbench.data.locate import data_dirs
    from reprbench.runner.schedule import Folders, Limits
    from reprbench.store import Store

    store = Store(given["store"])
    data = data_dirs(given["data_dir"])
    limits = Limits(given["jobs"], given["timeout"], given["memory"], given["device"])
    work = make_plan(given, store, data)
    if given["only_plan"]:
        _show_plan(work)
        return 0
    store.check_writable()
    return _carry_out(work, store, Folders(data, CACHE.resolve(), given["plugins"]), limits)


def make_plan(given: dict[str, Any], store: Store, data_dirs: list[Path]) -> list[Planned]:
    """Return what is to be done about every trial that the options mean."""
    from reprbench.registry import discover
    from reprbench.runner.plan import plan
    from reprbench.runner.request import apply, find_entries, make_specs

    registry = discover(given["plugins"])
    benchmark, overrides = _asked(given)
    request = apply(benchmark, overrides)
    # Cheap mistakes first: reading data can take a while.
    find_entries([row.method for row in request.benchmark.methods], registry)
    specs = make_specs(request, registry, _load(request, registry, data_dirs))
    trials, problems = store.read()
    for problem in problems:
        click.echo(f"Warning: {problem}", err=True)
    return plan(specs, trials)


def _asked(given: dict[str, Any]) -> tuple[Benchmark, Overrides]:
    """Return the benchmark that is meant (made up from the methods if none is named) and what overrides it."""
    from reprbench.benchmark import find_benchmark
    from reprbench.runner.request import Overrides

    dataset = _only(given["dataset"], "--dataset")
    common = {"limit": given["limit"], "settings": parse_settings(given["settings"])}
    if given["benchmark"]:
        overrides = Overrides(
            methods=given["methods"],
            dataset=dataset,
            protocols=given["protocols"],
            epochs=given["epochs"],
            seeds=given["seeds"],
            **common,
        )
        return find_benchmark(given["benchmark"]), overrides
    if not given["methods"]:
        raise UserError(NOTHING_ASKED)
    made_up = Benchmark(
        name="adhoc",
        title="Methods named on the command line",
        dataset=dataset or Call(name="digits"),
        protocols=given["protocols"] or (Call(name="linear-svm"),),
        methods=tuple(Row(method=call) for call in given["methods"]),
        budget=Budget(epochs=given["epochs"] or DEFAULT_EPOCHS),
        seeds=given["seeds"] or (0,),
    )
    return made_up, Overrides(**common)


def _only(calls: tuple[Call, ...], option: str) -> Call | None:
    if len(calls) > 1:
        raise UserError(f"{option} takes one dataset, not {len(calls)}; run once for each")
    return calls[0] if calls else None


def _load(request: Request, registry: Registry, data_dirs: list[Path]) -> Dataset:
    from reprbench.data.catalog import load_dataset

    call = request.benchmark.dataset
    entry = registry.find("dataset", call.name)
    dataset = load_dataset(entry, call.parameters, data_dirs=data_dirs, cache_dir=CACHE.resolve())
    return dataset.limited(request.benchmark.limit)


def _show_plan(work: list[Planned]) -> None:
    from tabulate import tabulate

    rows = [
        [
            p.spec.label,
            p.spec.seed,
            str(p.spec.budget),
            p.action,
            p.reason,
            p.spec.hash[:8],
            ", ".join(map(str, p.missing)),
        ]
        for p in work
    ]
    headers = ["method", "seed", "budget", "action", "reason", "fit", "protocols to run"]
    click.echo(tabulate(rows, headers, disable_numparse=True))
    click.echo(f"\n{sum(p.action != 'keep' for p in work)} of {len(work)} trials to run")


def _carry_out(work: list[Planned], store: Store, folders: Any, limits: Any) -> int:
    """Run what is to be run, show the table of all that was asked; return the exit status."""
    from reprbench.cli.progress import listener
    from reprbench.report.formats.all import as_terminal
    from reprbench.report.table import make_tables
    from reprbench.runner.schedule import Schedule

    to_run = [planned for planned in work if planned.action != "keep"]
    with listener(to_run) as shown:
        ended = Schedule(store, folders, limits, shown).run(work)
    asked = {(planned.spec.benchmark, planned.spec.hash) for planned in work}
    unstored = {trial.hash for trial in ended}
    trials = [
        trial for trial in store.read()[0] if (trial.benchmark, trial.hash) in asked and trial.hash not in unstored
    ]
    click.echo(as_terminal(make_tables([*trials, *ended])))
    if len(ended) < len(to_run):
        click.echo("interrupted; the same command goes on from here", err=True)
        return 130
    return int(any(trial.status != "done" for trial in ended))
