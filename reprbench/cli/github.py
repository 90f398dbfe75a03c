"""What GitHub Actions reads from a program that runs in it: the job's summary, and annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from reprbench.printable import printable_lines

SUMMARY = "GITHUB_STEP_SUMMARY"

SHOWN = 10
"""The most annotations of one level that GitHub shows per step."""


_COMMAND = re.compile(r"^(\s*:)(?=:)|(##)(?=\[)", re.MULTILINE)
"""How a line begins that the runner takes for a command (`::error::`), and what it takes for one anywhere in a line."""


def running() -> bool:
    """Return whether this is a step of a job on GitHub."""
    return bool(os.environ.get(SUMMARY))


def append_summary(markdown: str) -> None:
    """Append to the summary of the job."""
    with Path(os.environ[SUMMARY]).open("a", encoding="utf-8") as file:
        file.write(markdown + "\n")


def annotate(level: Literal["error", "warning"], title: str, messages: Sequence[str]) -> None:
    """Show each message as an annotation; the last one counts those beyond what GitHub shows.

    They go to standard error, where GitHub reads them too: standard output belongs to the report.
    """
    shown = list(messages[:SHOWN])
    if len(messages) > SHOWN:
        shown[-1] = f"{len(messages) - SHOWN + 1} more; the job's summary has them"
    for message in shown:
        click.echo(f"::{level} title={_property(title)}::{_data(printable_lines(message))}", err=True)


def inert(text: str) -> str:
    """Return what is printed in a job so that no part of it is a command: a space keeps the signs apart."""
    return _COMMAND.sub(r"\1\2 ", text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
