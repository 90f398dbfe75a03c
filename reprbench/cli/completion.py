"""``reprbench completion``: the script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from reprbench.cli.echo import echo
from reprbench.errors import UserError

PROGRAM = "reprbench"
VARIABLE = "_REPRBENCH_COMPLETE"
"""What click looks for in the environment to find out that it is asked for completions."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    \b
    bash, in ~/.bashrc:                   source <(reprbench completion bash)
    zsh, in ~/.zshrc:                     source <(reprbench completion zsh)
    fish, in ~/.config/fish/config.fish:  reprbench completion fish | source
    """  # noqa: D301 - click reads \b, not backslash-b
    found = get_completion_class(shell)
    if found is None:
        raise UserError(f"this version of click knows no completion for {shell}; update it")
    # Not `source`, which asks the installed bash for its version: the script may be for another machine.
    complete = found(context.find_root().command, {}, PROGRAM, VARIABLE)
    echo(complete.source_template % complete.source_vars(), nl=False)
