"""``reprbench show``: everything the store knows about one trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprbench.cli.command import Command
from reprbench.cli.echo import echo
from reprbench.cli.options import STORE
from reprbench.errors import UserError

LOG_LINES = 10
"""Of the log that are shown under a failure."""

if TYPE_CHECKING:
    from reprbench.trial import Cost, Evaluation, Trial


@click.command(cls=Command)
@click.argument("trial")
@STORE
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--log", "only_log", is_flag=True, help="Show what the trial's processes printed, warned of and logged.")
def command(trial: str, store: Path, form: str, only_log: bool) -> None:
    """Show TRIAL: a folder (quick/ae), label, path, or beginning of a hash."""
    from reprbench.printable import printable
    from reprbench.report.text import json_text
    from reprbench.store import Store
    from reprbench.trial import to_json

    folder, content = Store(store).one(trial)
    if only_log:
        echo(_log(folder), nl=False)
        return
    text = json_text(to_json(content)) if form == "json" else "\n".join(map(printable, _lines(folder, content)))
    echo(text.rstrip("\n"))


def _log(folder: Path) -> str:
    from reprbench.printable import printable
    from reprbench.store import read_log

    if text := read_log(folder):
        return "".join(f"{printable(line)}\n" for line in text.splitlines())
    raise UserError(f"{folder}: has no log: its processes printed nothing, or ran before reprbench kept logs")


def _lines(folder: Path, trial: Trial) -> list[str]:
    from reprbench.grammar import show_parameters
    from reprbench.report.row import CHANGED_BY_HAND

    method, data = trial.method, trial.dataset
    kind = "" if method.kind == "unsupervised" else f", {method.kind}"
    lines = [
        f"{trial.label}  ({method.call}, {method.origin}, {method.code}{kind})",
        f"folder      {folder}",
        f"status      {trial.status}{f': {trial.reason}' if trial.reason else ''}",
        *([f"note        {CHANGED_BY_HAND}"] if trial.changed_by_hand else []),
        f"data        {data.title}, digest {data.digest[:12]}, limit {data.limit or 'none'}",
        f"budget      {trial.budget}; precision {trial.precision}; seed {trial.seed}",
        f"fit         {trial.hash}",
        f"parameters  {', '.join(f'{k}={v}' for k, v in method.parameters.items())}",
        *(
            f"sweep       {sweep.row}: {show_parameters(sweep.setting)}, of {sweep.tries} settings; chosen {sweep.how}"
            for sweep in trial.sweeps
        ),
        *_cost_lines(trial.cost),
        *(f"note        {note}" for note in [*trial.deviations, *trial.warnings]),
    ]
    for protocol in trial.protocols:
        if trial.evaluation(protocol) is None:
            lines += ["", f"{protocol.call}: not evaluated: {trial.outcome(protocol)[1]}"]
    for evaluation in trial.evaluations:
        lines += ["", *_evaluation_lines(evaluation, folder)]
    lines += ["", *(f"{key}: {value}" for key, value in trial.provenance.items())]
    failed = trial.failure()
    return [*lines, *_failure_lines(folder, failed.traceback)] if failed else lines


def _failure_lines(folder: Path, traceback: str) -> list[str]:
    """Return the traceback of a failure, and what the trial printed last, unless that is the same."""
    from reprbench.store import last_lines
    from reprbench.trial import LOG

    last = last_lines(folder, LOG_LINES)
    lines = ["", *traceback.rstrip().splitlines()] if traceback else []
    if last and not traceback.rstrip().endswith(last[-1]):
        lines += ["", f"{folder / LOG} ends with", *(f"  {line}" for line in last)]
    return lines


def _cost_lines(cost: Cost) -> list[str]:
    """Return the lines on size and cost, without what is unknown."""
    from reprbench.report.text import count_text, memory_text, seconds_text

    size = {"{} parameters": count_text(cost.parameters), "{} FLOPs per image": count_text(cost.encode_flops)}
    spent = {
        "{} images seen": count_text(cost.images_seen),
        "{} steps": count_text(cost.steps),
        "{} FLOPs": count_text(cost.fit_flops),
        "fit {}": seconds_text(cost.fit_seconds),
        "evaluation {}": seconds_text(cost.evaluation_seconds),
        "peak {}": memory_text(cost.peak_memory),
        "peak {} on the device": memory_text(cost.peak_device_memory),
    }
    lines = []
    for name, parts in (("size", size), ("cost", spent)):
        known = [form.format(text) for form, text in parts.items() if text]
        lines += [f"{name:<12}{', '.join(known)}"] if known else []
    return lines


def _evaluation_lines(evaluation: Evaluation, folder: Path) -> list[str]:
    from reprbench.report.text import place_text

    lines = [f"{evaluation.call} {evaluation.code}, {evaluation.seconds:.1f} s"]
    if evaluation.status != "done":
        lines.append(f"  {evaluation.status}: {evaluation.reason}")
    for m in evaluation.measurements:
        place = place_text(m.at.items())
        lines.append(f"  {m.metric}{f' ({place})' if place else ''}: {m.value:g} {m.unit}".rstrip())
    lines += [f"  warning: {warning}" for warning in evaluation.warnings]
    lines += [f"  figure {figure.name}: {folder / figure.file}" for figure in evaluation.figures]
    return [*lines, *(f"  Gram matrix {gram.name}: {folder / gram.file}" for gram in evaluation.grams)]
