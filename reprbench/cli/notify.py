"""Runs a command at the end of a run, which tells somebody that it has ended."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from reprbench.cli.echo import warn
from reprbench.errors import UserError, system_reason

if TYPE_CHECKING:
    from reprbench.api.running import RunEnd

NOTIFY_SECONDS = 60.0
"""How long the command may take."""


def parse_command(text: str | None) -> list[str]:
    """Return the words of ``--notify``; raise a `UserError` if there is no such program."""
    if text is None:
        return []
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--notify {text[:80]!r}: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise UserError(f"--notify {text[:80]!r}: expected a program that can be run, with its arguments")
    return words


def notify(words: list[str], end: RunEnd, store: Path, seconds: float) -> None:
    """Run the command of ``--notify``, which finds in its environment how the run ended.

    No shell sees anything of it, and what goes wrong is only warned of.
    """
    if not words:
        return
    outcome = {
        "STATUS": "interrupted" if end.interrupted else "failed" if end.failed else "done",
        "TRIALS": str(len(end.trials)),
        "FAILED": str(len(end.failures)),
        "SECONDS": f"{seconds:.0f}",
        "STORE": str(store.absolute()),
    }
    environment = {**os.environ, **{f"REPRBENCH_RUN_{name}": value for name, value in outcome.items()}}
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, env=environment, timeout=NOTIFY_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        warn(f"--notify: {words[0]} was ended after {NOTIFY_SECONDS:g} s")
    except OSError as error:
        warn(f"--notify: {words[0]} could not be run: {system_reason(error)}")
    else:
        if done.returncode:
            warn(f"--notify: {words[0]} ended with status {done.returncode}")
