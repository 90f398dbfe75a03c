"""Options that are given twice: joined where they are lists, refused elsewhere, never reduced to the last."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from reprbench.cli.main import cli
from reprbench.cli.options import CallList, Seeds


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, (*words, name))


def options(multiple: bool) -> list[tuple[tuple[str, ...], click.Option]]:
    return [
        (words, param)
        for words, command in commands(cli)
        for param in command.params
        if isinstance(param, click.Option) and not param.is_flag and param.multiple == multiple
    ]


@pytest.mark.parametrize(("words", "option"), options(multiple=False), ids=str)
def test_an_option_given_twice_is_a_mistake(words, option):
    name = option.opts[-1]
    done = CliRunner().invoke(cli, [*words, name, "1", name, "2"], standalone_mode=False)
    assert isinstance(done.exception, click.UsageError)
    assert done.exception.message == f"{name} is given 2 times; give it once."


def test_lists_are_joined():
    lists = [(words, option) for words, option in options(multiple=True) if isinstance(option.type, CallList | Seeds)]
    assert {option.opts[0] for _, option in lists} == {"--methods", "--protocols", "--seeds"}
    for _, option in lists:
        once, twice = ("1,2", "2,3") if isinstance(option.type, Seeds) else ("ae,dae", "dae,pca")
        context = click.Context(click.Command("any"))
        option.handle_parse_result(context, {option.name: [once, twice]}, [])
        assert ",".join(map(str, context.params[option.name])) == once + twice[twice.index(",") :]


def test_a_short_option_and_its_long_form_are_one(here):
    done = here("report", "-o", "a.txt", "--output", "b.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: --output is given 2 times; give it once.")


def test_a_flag_may_be_repeated(here):
    assert here("list", "benchmarks", "-v", "-v").returncode == 0


def test_a_tolerance_for_the_same_metric_is_a_mistake(here):
    done = here("compare", "a", "b", "--tolerance", "accuracy=1", "--tolerance", "accuracy=2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--tolerance: accuracy is given twice" in done.stderr
