"""What MkDocs is told before it builds."""

from __future__ import annotations

from typing import Any

import click


def on_config(config: Any) -> Any:
    """Name the commands as users do: the command line imports them lazily, and each module calls its own `command`."""
    from reprbench.cli.main import COMMANDS, cli

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            command.name = name
    return config
