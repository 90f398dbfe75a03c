"""The entry point: finds the command, and turns every user error into one line and exit status 2."""

from __future__ import annotations

import atexit
import importlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


def leave_interrupted() -> NoReturn:
    """Exit with 130, even if Python believes the interruption to be unhandled, and would let SIGINT end the process.

    It does once a `KeyboardInterrupt` has gone through `exec` of a text, as in the import of any dataclass.
    """
    if hasattr(signal, "pthread_sigmask"):  # Windows has none
        atexit.register(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGINT})
    sys.exit(130)


try:
    import click

    from reprbench import __version__
    from reprbench.cli.echo import echo
    from reprbench.cli.streams import forgiving
    from reprbench.errors import UserError, did_you_mean, system_reason
    from reprbench.printable import printable_lines
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    leave_interrupted()

COMMANDS = {
    "run": "reprbench.cli.run",
    "report": "reprbench.cli.report",
    "compare": "reprbench.cli.compare",
    "show": "reprbench.cli.show",
    "list": "reprbench.cli.list",
    "data": "reprbench.cli.data",
    "check": "reprbench.cli.check",
    "new": "reprbench.cli.new",
    "completion": "reprbench.cli.completion",
    "encode": "reprbench.cli.encode",
    "export": "reprbench.cli.export",
    "cache": "reprbench.cli.cache",
    "store": "reprbench.cli.store",
}


_NO_COMMAND: tuple[type[Exception], ...] = tuple(
    filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)])  # from click 8.2 on
)
"""What a group of commands raises to show its help when it is called without any."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; each module names its command ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; for an unknown one, suggest the nearest."""
        # While a shell asks for completions, the command line is not yet complete.
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UserError(
                f"unknown command {args[0]!r}.{did_you_mean(args[0], COMMANDS)} Commands: {', '.join(COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reprbench")
def cli() -> None:
    """Measure how good the representations of unsupervised learners are.

    \b
    reprbench run --methods ameae,dae,sparse-ae     a first table, on the embedded digits
    reprbench run --benchmark mnist --data-dir DIR  a benchmark, on your data
    reprbench report                                the tables of all finished trials
    """  # noqa: D301 - click reads \b, not backslash-b


def main() -> None:
    """Run the command line and exit: 0 good, 1 a trial failed, 2 a mistake in the command line, 130 interrupted.

    If standard output or standard error cannot be written, that costs what would have stood there: commands whose
    status is their result keep it, and the others end with 2.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character shows another; standard error does so anyway.
        sys.stdout.reconfigure(errors="replace")
    with _one_interruption(), forgiving() as failure:
        status = _status()
        if status is None and (lost := failure()):
            status = _fail(f"standard output: {system_reason(lost)}; what is there is incomplete")
    if status == 130:
        leave_interrupted()
    sys.exit(status or 0)


def _status() -> int | None:
    """Run the command line; return its exit status, and None for a command that only prints something."""
    try:
        status = cli(standalone_mode=False)
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.exceptions.Abort):
        echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        if isinstance(error, _NO_COMMAND):
            error.show()
            return 2
        return _fail(_in_one_line(error))
    except OSError as error:
        return _fail(f"{error.filename or 'input/output'}: {system_reason(error)}")
    return status if isinstance(status, int) else None


def _in_one_line(error: click.ClickException) -> str:
    """Return the message of click, with long words cut, and the command that shows what can be given."""
    context = getattr(error, "ctx", None)
    message = re.sub(r"(\S{80})\S+", r"\1…", " ".join(error.format_message().split()))
    return message if context is None else f"{message} `{context.command_path} --help` shows what can be given."


@contextmanager
def _one_interruption() -> Iterator[None]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP in the block raise `KeyboardInterrupt`, and a second end the process.

    What is imported or called may catch the first one. Signals that are ignored, as Ctrl-C in the background of a
    script, or have a handler stay so.
    """

    def at_once(number: int, frame: object) -> None:
        os._exit(130)

    def first(number: int, frame: object) -> None:
        for one in before:
            signal.signal(one, at_once)
        raise KeyboardInterrupt

    # Windows has no SIGHUP.
    every = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    before = {one: handler for one in every if (handler := signal.getsignal(one)) in _DEFAULT_HANDLERS}
    for one in before:
        signal.signal(one, first)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


_DEFAULT_HANDLERS = (signal.default_int_handler, signal.SIG_DFL)


def _fail(message: str) -> int:
    echo(f"Error: {printable_lines(message)}", err=True)
    return 2


if __name__ == "__main__":
    main()
