"""Hooks that MkDocs calls while it builds the site."""

from __future__ import annotations

from typing import Any

import click


def on_config(config: Any) -> Any:
    """Name the commands as users do: each module calls its own `command`, and the command line imports it lazily."""
    from reprbench.cli.main import COMMANDS, cli

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            command.name = name
    return config
