"""``reprbench run``: from a request to a table."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from reprbench.cli.command import Command
from reprbench.cli.echo import echo, ring, warn
from reprbench.cli.notify import notify, parse_command
from reprbench.cli.options import (
    CALLS,
    COUNT,
    DATA_DIR,
    JOBS,
    METHODS,
    PLUGIN,
    STORE,
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
from reprbench.run_context import Precision
from reprbench.spec import Call
from reprbench.sweep import Sweep

if TYPE_CHECKING:
    from reprbench.api.running import PreparedRun
    from reprbench.runner.limits import Limits

NOTHING_TO_RUN = """nothing to run: name methods or a benchmark, for example
  reprbench run --methods ameae,dae,sparse-ae          (on the embedded digits)
  reprbench run --benchmark quick
`reprbench list methods` and `reprbench list benchmarks` show what there is."""


@click.command(cls=Command)
@click.option(
    "--methods", type=METHODS, multiple=True, callback=joined, help="The methods to compare: ae,dae[noise=0.3|0.5],…"
)
@click.option("--benchmark", metavar="NAME|FILE", help="A benchmark: dataset, methods, protocols, references.")
@click.option("--dataset", type=CALLS, default=(), help="The dataset; digits if no benchmark says otherwise.")
@click.option("--protocols", type=CALLS, multiple=True, callback=joined, help="The protocols; linear-svm by default.")
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
    "--executor",
    metavar="local|ray|slurm|FILE",
    default="local",
    show_default=True,
    help="What runs the trials: this machine; a cluster of Ray or Slurm; or what a YAML file says (docs/clusters.md). "
    "On a cluster --jobs is how many are submitted at the same time, by default all.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="Precision of the forward passes of learners that train with torch; bf16 is bfloat16 autocast.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="Run the only trial in this process, without limits: print, breakpoint(), pdb and profilers work.",
)
@click.option(
    "--log-to",
    multiple=True,
    metavar="TRACKER",
    help="Also log to tensorboard[:FOLDER], mlflow[:EXPERIMENT], wandb:PROJECT or csv[:FILE]; repeatable.",
)
@click.option(
    "--notify",
    "told",
    metavar="COMMAND",
    help="Run this at the end, without a shell; REPRBENCH_RUN_STATUS, _TRIALS, _FAILED, _SECONDS and _STORE say in its "
    "environment how the run ended.",
)
@click.option("--bell", is_flag=True, help="Ring the terminal's bell at the end.")
def command(
    methods: tuple[Call | Sweep, ...],
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
    executor: str,
    precision: Precision,
    debug: bool,
    log_to: tuple[str, ...],
    told: str | None,
    bell: bool,
) -> int:
    """Fit methods, evaluate them, and show the table.

    Finished trials are kept: repeating the command runs only what is missing, changed, or failed.
    """
    from reprbench.api.progress import listener
    from reprbench.api.running import RunOptions, prepare_run
    from reprbench.report.formats import as_terminal
    from reprbench.runner.request import Overrides

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
    if not methods and benchmark is None:
        raise UserError(NOTHING_TO_RUN)
    options = RunOptions(
        overrides=overrides,
        benchmark=benchmark,
        plugins=plugins,
        data_dir=data_dir,
        store=store,
        jobs=jobs,
        jobs_per_device=jobs_per_device,
        timeout=timeout,
        memory=memory,
        device=device,
        executor=executor,
        debug=debug,
        log_to=log_to,
    )
    words = parse_command(told)
    prepared = prepare_run(options, warn)
    if only_plan:
        _show_plan(prepared)
        return 0
    prepared.check()
    begun = time.monotonic()
    with listener(prepared, partial(echo, err=True)) as shown:
        end = prepared.execute(shown)
    echo(as_terminal(end.tables))
    notify(words, end, store, time.monotonic() - begun)
    if bell:
        ring()
    if end.interrupted:
        echo("interrupted; run the same command again to continue", err=True)
        return 130
    return int(end.failed)


def _only(calls: tuple[Call, ...], option: str) -> Call | None:
    if len(calls) > 1:
        raise UserError(f"{option} takes one dataset, not {len(calls)}; run once for each")
    return calls[0] if calls else None


def _show_plan(prepared: PreparedRun) -> None:
    from tabulate import tabulate

    from reprbench.runner.sweeps import sweep_lines

    work = prepared.work
    rows = [list({**line, "hash": line["hash"][:8]}.values()) for line in prepared.lines()]
    headers = ["method", "seed", "budget", "action", "reason", "fit", "protocols to run"]
    echo(tabulate(rows, headers, disable_numparse=True))
    about_data = [str(one) for one in work[0].spec.deviations if one.kind == "data"]
    about_data = [*work[0].spec.dataset.elsewhere, *about_data]
    echo("".join(f"\n{note}" for note in [*about_data, *sweep_lines([p.spec for p in work])]))
    count = len(prepared.to_run)
    echo(f"{count} of {len(work)} trials to run{_where(prepared.limits)}")
    if count:
        echo(str(prepared.estimate()))


def _where(limits: Limits) -> str:
    """Return how many trials run at the same time, and on which CUDA devices."""
    from reprbench.runner.devices import CPU

    if limits.devices == CPU:
        return ""
    return f", at most {limits.at_once} at the same time, on {', '.join(limits.devices)}"
