"""``reprbench check``: the conformance suite on one method."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprbench.capabilities import Precomputed
from reprbench.cli.command import Command
from reprbench.cli.echo import echo
from reprbench.cli.options import PLUGIN
from reprbench.errors import UserError
from reprbench.extras import lacking
from reprbench.spec import Call, parse_call
from reprbench.texts import described

if TYPE_CHECKING:
    from reprbench.learner import Learner
    from reprbench.registry import Entry
    from reprbench.testing import Finding


IMPORT_SECONDS = 60.0
"""How long the import of a method may take."""


@click.command(cls=Command)
@click.argument("method", metavar="NAME|FILE")
@PLUGIN
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of each error.")
def command(method: str, plugins: tuple[Path, ...], verbose: bool) -> int:
    """Check that a method does what the harness relies on; exit status 1 if it does not.

    NAME is a method, with parameters if you like (kmeans[n_centroids=8]); FILE is a plugin, all of whose methods are
    checked.
    """
    from reprbench.registry import discover

    path = Path(method)
    if path.suffix == ".py":
        registry = discover([*plugins, path])
        if problem := registry.problems.get(os.path.realpath(path)):
            raise UserError(f"{path}: {problem}")
        calls = [Call(name=name) for kind, name in registry.files[os.path.realpath(path)] if kind == "method"]
        if not calls:
            raise UserError(f"{path}: registers no method to check")
    else:
        registry = discover(plugins)
        calls = [parse_call(method)]
    good = [_check(_load(registry.find("method", call.name), verbose), call, verbose) for call in calls]
    return 0 if all(good) else 1


def _load(entry: Entry, verbose: bool) -> type[Learner]:
    """Import a method; a failing import ends the command, after its traceback if `verbose`."""
    from reprbench.signatures import class_problem

    try:
        with _at_most(IMPORT_SECONDS):
            cls: type[Learner] = entry.load_or_refuse()
    except UserError as error:
        if verbose:
            echo("".join(traceback.format_exception(error.__cause__)), err=True, nl=False)
        raise
    if problem := class_problem(cls):
        raise UserError(f"{entry.target}: {problem}")
    if missing := lacking(cls.extra):
        raise UserError(f"method {entry.name} {missing}")
    if issubclass(cls, Precomputed):
        raise UserError(f"method {entry.name} encodes no images, which is what would be checked")
    return cls


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise a `TimeoutError` in the code inside when the time is up."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"importing it took longer than {seconds:g} s")

    if sys.platform == "win32":
        yield  # where there are no alarms
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _name(finding: Finding) -> str:
    """Return the check and the shape of its images."""
    return f"{finding.check} ({'×'.join(map(str, finding.shape))})"


def _check(cls: type[Learner], call: Call, verbose: bool) -> bool:
    """Check one method and print what was found; return whether all checks passed."""
    from pydantic import ValidationError

    from reprbench.learner import parameters_model
    from reprbench.spec import mistakes
    from reprbench.testing import check_learner

    try:
        model = parameters_model(cls)
        model.model_validate(call.parameters)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, f"method {call.name}", model.model_fields))) from None
    except Exception as error:  # a type that pydantic cannot read, or a validator of the plugin
        raise UserError(f"method {call.name}: its parameters: {described(error)}") from error
    echo(str(call))
    findings = check_learner(cls, call.parameters)
    first: dict[str, Finding] = {}
    for finding in findings:
        if not finding.problem:
            echo(f"  ok      {_name(finding)}")
        elif (other := first.setdefault(finding.cause or finding.problem, finding)) is not finding:
            echo(f"  FAILED  {_name(finding)}: for the same cause as {_name(other)}")
        else:
            echo(f"  FAILED  {_name(finding)}\n          {finding.promise}\n          {finding.problem}")
            if finding.traceback and verbose:
                echo(finding.traceback)
    failed = sum(bool(finding.problem) for finding in findings)
    echo(f"{call}: {len(findings) - failed} of {len(findings)} checks passed")
    return not failed
