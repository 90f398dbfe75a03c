"""The entry point: finds the command, and turns every user error into one line and exit status 2."""

from __future__ import annotations

import importlib
import io
import sys

import click

from reprbench import __version__
from reprbench.cli.echo import echo
from reprbench.errors import UserError, did_you_mean
from reprbench.printable import printable_lines

COMMANDS = {
    "run": "reprbench.cli.run",
    "report": "reprbench.cli.report",
    "compare": "reprbench.cli.compare",
    "show": "reprbench.cli.show",
    "list": "reprbench.cli.list",
    "data": "reprbench.cli.data",
    "check": "reprbench.cli.check",
}


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
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
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
    """Run the command line and exit: 0 good, 1 a trial failed, 2 a mistake in the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character shows another; standard error does so anyway.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = cli(standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except click.exceptions.Abort:
        echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}")
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    echo(f"Error: {printable_lines(message)}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
