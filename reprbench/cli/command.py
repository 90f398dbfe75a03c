"""Commands that refuse an option given twice: click alone would keep the last value and drop the others in silence."""

from __future__ import annotations

from collections import Counter

import click


class Command(click.Command):
    """A command that takes an option with a value only once, unless it is declared as ``multiple``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; raise a usage error for an option that is given twice."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(list(args))
            _check_once(ctx, order)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group whose commands are of that kind."""

    command_class = Command


def _check_once(ctx: click.Context, order: list[click.Parameter]) -> None:
    for param, count in Counter(order).items():
        # A flag says the same twice.
        if count > 1 and isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count):
            raise click.UsageError(f"{param.opts[-1]} is given {count} times; give it once.", ctx)
