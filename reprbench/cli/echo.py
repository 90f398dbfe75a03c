"""Prints on the terminal: everything that commands say goes through here, since any of it may hold texts of others."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reprbench.cli import github
from reprbench.printable import printable, printable_lines


def echo(text: str = "", err: bool = False, nl: bool = True) -> None:
    """Print lines on standard output, or on standard error; they control neither the terminal nor GitHub."""
    shown = printable_lines(text, None)
    click.echo(github.inert(shown) if github.running() else shown, err=err, nl=nl)


def warn(problem: str) -> None:
    """Print a warning of one line on standard error."""
    echo(f"Warning: {printable(problem)}", err=True)


def write_or_echo(text: str, output: Path | None) -> None:
    """Write a text to a file and say so, or print it if there is none."""
    from reprbench.files import write_output

    if output is None:
        echo(text.rstrip("\n"))
        return
    write_output(output, text if text.endswith("\n") else text + "\n")
    echo(f"wrote {output}", err=True)


def ring() -> None:
    """Ring the bell of the terminal, if standard error is one."""
    if sys.stderr and sys.stderr.isatty():
        click.echo("\a", err=True, nl=False)
