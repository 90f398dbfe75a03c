"""``reprbench run``: from a request to a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from reprbench.benchmark import Benchmark, BenchmarkRow
from reprbench.cli.command import Command
from reprbench.cli.echo import echo, warn
from reprbench.cli.options import (
    CACHE,
    COUNT,
    DATA_DIR,
    JOBS,
    PLUGIN,
    STORE,
    Calls,
    Device,
    ImageCounts,
    Memory,
    Seconds,
    Seeds,
    joined,
    parse_settings,
)
from reprbench.errors import UserError
from reprbench.limit import Limit
from reprbench.run import Precision
from reprbench.spec import Budget, Call

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.registry import Registry
    from reprbench.runner.plan import Planned
    from reprbench.runner.request import Overrides, Request
    from reprbench.runner.schedule import Folders, Limits
    from reprbench.store import Store

DEFAULT_EPOCHS = 10

NOTHING_TO_RUN = """nothing to run: name methods or a benchmark, for example
  reprbench run --methods ameae,dae,sparse-ae          (on the embedded digits)
  reprbench run --benchmark quick
`reprbench list methods` and `reprbench list benchmarks` show what there is."""


@click.command(cls=Command)
@click.option(
    "--methods", type=Calls(), multiple=True, callback=joined, help="The methods to compare: ae,dae[noise=0.3],…"
)
@click.option("--benchmark", metavar="NAME|FILE", help="A benchmark: dataset, methods, protocols, references.")
@click.option("--dataset", type=Calls(), default=(), help="The dataset; digits if no benchmark says otherwise.")
@click.option("--protocols", type=Calls(), multiple=True, callback=joined, help="The protocols; linear-svm by default.")
@click.option("--epochs", type=COUNT, help="Epochs of fitting.")
@click.option(
    "--limit",
    type=ImageCounts(),
    help="At most this many images per split: 1000, or by split, like unlabeled=10000,test=2000.",
)
@click.option("--seeds", type=Seeds(), multiple=True, callback=joined, help="Seeds; each is a row of its own.")
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
@click.option(
    "--jobs",
    type=JOBS,
    help="Trials to run at the same time, each on one device. By default as many as the CUDA devices have places for "
    "(--jobs-per-device), and one on the CPU.",
)
@click.option(
    "--jobs-per-device",
    type=JOBS,
    default=1,
    show_default=True,
    help="Trials that may share a CUDA device; on the CPU only --jobs counts.",
)
@click.option("--timeout", type=Seconds(), help="Seconds a trial may take.")
@click.option("--memory", type=Memory(), help="Memory a trial may take, like 4GB.")
@click.option(
    "--device",
    type=Device(),
    default="auto",
    show_default=True,
    help="cpu; cuda, which is every visible CUDA device; some of them, like cuda:0,cuda:2; or auto, which is cuda if "
    "there is a CUDA device and cpu if not.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="Precision of the forward passes of learners that train with torch; bf16 is bfloat16 autocast.",
)
def command(
    methods: tuple[Call, ...],
    benchmark: str | None,
    dataset: tuple[Call, ...],
    protocols: tuple[Call, ...],
    epochs: int | None,
    limit: Limit | None,
    seeds: tuple[int, ...],
    settings: tuple[str, ...],
    plugins: tuple[Path, ...],
    data_dir: Path | None,
    store: Path,
    only_plan: bool,
    jobs: int | None,
    jobs_per_device: int,
    timeout: float | None,
    memory: int | None,
    device: str,
    precision: Precision,
) -> int:
    """Fit methods, evaluate them, and show the table.

    Finished trials are kept: repeating the command runs only what is missing, changed, or failed.
    """
    from reprbench.cache_folder import prepare
    from reprbench.data.locate import data_dirs
    from reprbench.registry import discover
    from reprbench.run import checkpoint_seconds
    from reprbench.runner.devices import choose_devices
    from reprbench.runner.launch import launcher
    from reprbench.runner.process import trial_environment
    from reprbench.runner.request import Overrides
    from reprbench.runner.schedule import Folders, Limits
    from reprbench.store import Store

    overrides = Overrides(
        methods=methods,
        dataset=_only(dataset, "--dataset"),
        protocols=protocols,
        epochs=epochs,
        seeds=seeds,
        limit=limit,
        precision=precision,
        settings=parse_settings(settings),
    )
    checkpoint_seconds()
    trials, data = Store(store), data_dirs(data_dir)
    limits = Limits(jobs, timeout, memory, choose_devices(device, warn=warn), jobs_per_device)
    _say_if_fewer(limits)
    launcher.prepare(trial_environment(limits.threads_each))
    work = make_plan(benchmark, overrides, discover(plugins), trials, data, limits, data_dir)
    if only_plan:
        _show_plan(work, trials, limits)
        return 0
    prepare(CACHE.resolve())
    trials.check_writable()
    return _carry_out(work, trials, Folders(data, CACHE.resolve()), limits)


def _say_if_fewer(limits: Limits) -> None:
    """Warn if fewer trials run at the same time than ``--jobs`` says."""
    if limits.jobs is not None and limits.at_once < limits.jobs:
        count = len(limits.devices)
        warn(
            f"--jobs {limits.jobs}: only {limits.at_once} at the same time, "
            f"{limits.jobs_per_device} on each of {count} CUDA device{'s' if count > 1 else ''}; "
            f"--jobs-per-device {-(-limits.jobs // count)} lets them share"
        )


def make_plan(
    name: str | None,
    overrides: Overrides,
    registry: Registry,
    store: Store,
    data_dirs: list[Path],
    limits: Limits,
    data_dir: Path | None = None,
) -> list[Planned]:
    """Return what is to be done for every trial of the request.

    Parameters
    ----------
    name : of the benchmark, or its file; None for an ad hoc one of the methods in `overrides`.
    limits : of the trials, whose methods may take as much to import and build, and always a minute.
    data_dir : the one of `data_dirs` that the user named.
    """
    from reprbench.benchmark import find_benchmark
    from reprbench.runner.descriptions import SECONDS_EACH
    from reprbench.runner.plan import plan
    from reprbench.runner.request import apply
    from reprbench.runner.specs import check_entries, make_specs

    request = apply(find_benchmark(name), overrides) if name is not None else _adhoc(overrides)
    # Cheap mistakes first: reading data can take a while.
    check_entries(request.benchmark, registry)
    seconds = max(limits.timeout or 0, SECONDS_EACH)
    specs = make_specs(request, registry, _load(request, registry, data_dirs, data_dir), seconds, limits.memory)
    trials, problems = store.read()
    for problem in problems:
        warn(problem)
    return plan(specs, trials)


def _adhoc(overrides: Overrides) -> Request:
    """Return an ad hoc benchmark of the methods; dataset, protocols, budget and seeds are its own, not deviations."""
    from reprbench.runner.request import Overrides, apply

    if not overrides.methods:
        raise UserError(NOTHING_TO_RUN)
    benchmark = Benchmark(
        name="adhoc",
        title="adhoc",
        dataset=overrides.dataset or Call(name="digits"),
        protocols=overrides.protocols or (Call(name="linear-svm"),),
        methods=tuple(BenchmarkRow(method=call) for call in dict.fromkeys(overrides.methods)),
        budget=Budget(epochs=overrides.epochs or DEFAULT_EPOCHS),
        seeds=overrides.seeds or (0,),
    )
    rest = Overrides(limit=overrides.limit, precision=overrides.precision, settings=overrides.settings)
    return apply(benchmark, rest)


def _only(calls: tuple[Call, ...], option: str) -> Call | None:
    if len(calls) > 1:
        raise UserError(f"{option} takes one dataset, not {len(calls)}; run once for each")
    return calls[0] if calls else None


def _load(request: Request, registry: Registry, data_dirs: list[Path], data_dir: Path | None) -> Dataset:
    from reprbench.data.catalog import load_dataset
    from reprbench.data.locate import expanded

    call = request.benchmark.dataset
    entry = registry.find("dataset", call.name)
    named = data_dir and expanded(data_dir)
    dataset = load_dataset(entry, call.parameters, data_dirs=data_dirs, cache_dir=CACHE.resolve(), named=named)
    return dataset.limited(request.benchmark.limit)


def _show_plan(work: list[Planned], store: Store, limits: Limits) -> None:
    from tabulate import tabulate

    from reprbench.runner.waiting import held_by_others

    owners = [held_by_others(planned, store, CACHE.resolve()) if planned.runs else None for planned in work]
    rows = [
        [
            p.spec.label,
            p.spec.seed,
            str(p.spec.budget),
            "wait" if owner else p.action,
            f"running on {owner}" if owner else p.reason,
            p.spec.hash[:8],
            ", ".join(str(protocol.record.call) for protocol in p.missing),
        ]
        for p, owner in zip(work, owners, strict=True)
    ]
    headers = ["method", "seed", "budget", "action", "reason", "fit", "protocols to run"]
    echo(tabulate(rows, headers, disable_numparse=True))
    about_data = [str(one) for one in work[0].spec.deviations if one.kind == "data"]
    echo("".join(f"\n{note}" for note in [*work[0].spec.dataset.elsewhere, *about_data]))
    echo(f"{sum(p.runs for p in work)} of {len(work)} trials to run{_where(limits)}")


def _where(limits: Limits) -> str:
    """Return how many trials run at the same time, and on which CUDA devices."""
    from reprbench.runner.devices import CPU

    if limits.devices == CPU:
        return ""
    return f", at most {limits.at_once} at the same time, on {', '.join(limits.devices)}"


def _carry_out(work: list[Planned], store: Store, folders: Folders, limits: Limits) -> int:
    """Run what is to be run, and show the table of the whole request; return the exit status."""
    from reprbench.cli.progress import listener
    from reprbench.report.formats import as_terminal
    from reprbench.report.table import make_tables
    from reprbench.runner.schedule import Schedule

    with listener([planned for planned in work if planned.runs]) as shown:
        schedule = Schedule(store, folders, limits, shown)
        ended = schedule.run(work)
    asked = {(planned.spec.benchmark, planned.spec.hash) for planned in work}
    just_run = {trial.hash for trial in ended}
    trials = [
        trial for trial in store.read()[0] if (trial.benchmark, trial.hash) in asked and trial.hash not in just_run
    ]
    # In the order of the store: which trials another run has run makes no difference.
    shown_trials = sorted([*trials, *ended], key=lambda trial: trial.folder.split("/"))
    echo(as_terminal(make_tables(shown_trials)))
    if schedule.interrupted:
        echo("interrupted; run the same command again to continue", err=True)
        return 130
    # A row may have protocols of its own: what failed of others, once, is not what this run asked for.
    wanted = {planned.spec.hash: planned.hashes for planned in work}
    return int(any(trial.failure(wanted[trial.hash]) for trial in ended))
