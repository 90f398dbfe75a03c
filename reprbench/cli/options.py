"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from reprbench.errors import UserError
from reprbench.grammar import LARGEST_INTEGER, brief, bytes_of, is_parameter_name
from reprbench.limit import Limit
from reprbench.spec import Call, check_name, parse_calls
from reprbench.sweep import Sweep, parse_methods, parse_values

PLUGIN: Callable[[Any], Any] = click.option(
    "--plugin",
    "plugins",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A Python file with methods, protocols or datasets of your own; repeatable. Files in the folders methods, "
    "protocols and datasets are found without it.",
)
DATA_DIR: Callable[[Any], Any] = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where datasets are; REPRBENCH_DATA in the environment and ./data are searched too.",
)
STORE: Callable[[Any], Any] = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="The folder of finished trials.",
)

YES: Callable[[Any], Any] = click.option("--yes", is_flag=True, help="Do not ask.")


def confirmed(question: str, yes: bool) -> bool:
    """Return whether the user agrees; raise a `UserError` if nobody can be asked."""
    if yes:
        return True
    if not sys.stdin or not sys.stdin.isatty():
        raise UserError(f"{question} There is nobody to ask; --yes says that they may be removed")
    return click.confirm(question)


class CallList(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated calls, as `parse` reads them; `name` shows their form."""

    def __init__(self, name: str, parse: Callable[[str], Sequence[Call | Sweep]]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Call | Sweep, ...]:
        """Parse the calls; raise a `UserError` that says what cannot be read, or that there are none."""
        calls = value if isinstance(value, tuple) else tuple(self._parse(value))
        if not calls and not isinstance(value, tuple):
            raise UserError(f"{param.opts[0]} {brief(value)}: expected at least one name")
        return calls


CALLS = CallList("NAME[param=value],…", parse_calls)
"""``ae,dae[noise=0.3]``."""
METHODS = CallList("NAME[param=value|value],…", parse_methods)
"""Their parameters may have several values: ``pca,ae[lr=1e-3|1e-4]``."""


def joined(ctx: click.Context, param: click.Parameter, lists: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """Return the items of an option's lists, which is one that may be given several times, each once."""
    return tuple(dict.fromkeys(item for items in lists for item in items))


COUNT = click.IntRange(1, LARGEST_INTEGER)
"""A whole number of epochs or images."""


class ImageCounts(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Numbers of images: ``1000``, or by split, ``unlabeled=10000,test=2000``."""

    name = "N|SPLIT=N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> Limit:
        """Return the limit."""
        if isinstance(value, Limit):
            return value
        pairs = [part.partition("=") for part in value.split(",")]
        try:
            if len(pairs) == 1 and not pairs[0][1]:
                return Limit.each(_count(value))
            counts = {split: _count(count) for split, _, count in pairs}
            if len(counts) == len(pairs):
                return Limit(**counts)
        except (TypeError, ValueError):
            pass
        raise UserError(
            f"--limit {brief(value)}: expected a number of images from 1, or numbers of unlabeled, train and test "
            "images, like unlabeled=10000,test=2000"
        )


def _count(text: str) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0
    if not 1 <= number <= LARGEST_INTEGER:
        raise ValueError
    return number


JOBS = click.IntRange(1, 1024)
"""Trials at the same time: each is a process."""


class Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A duration; the longest is some thirty years, so that it can be added to any clock."""

    name = "SECONDS"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the seconds."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= 1e9:
            raise UserError(f"--timeout {brief(value)}: expected a number of seconds, above 0 and at most 1e9")
        return seconds


class Seeds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated whole numbers."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse the seeds."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[0-9]{1,19}(,[0-9]{1,19})*", value):
            raise UserError(f"--seeds {brief(value)}: expected whole numbers from 0 separated by commas, like 0,1,2")
        seeds = tuple(dict.fromkeys(int(part) for part in value.split(",")))
        if max(seeds) > LARGEST_INTEGER:
            raise UserError(f"--seeds {brief(value)}: expected seeds of at most 2^63 - 1")
        return seeds


class Memory(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """An amount of memory: ``4GB``, ``500MB``."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the bytes."""
        if isinstance(value, int):
            return value
        try:
            return bytes_of(value)
        except ValueError as error:
            raise UserError(f"--memory {brief(value)}: {error}") from None


class Device(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Where trials are computed."""

    name = "DEVICE,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the form, and that no device is named twice; whether they are there is found out when it matters."""
        one = r"cuda:(0|[1-9][0-9]{0,2})"
        if not re.fullmatch(rf"auto|cpu|cuda|{one}(,{one})*", value, re.ASCII):
            raise UserError(f"--device {brief(value)}: expected auto, cpu, cuda, or devices like cuda:0,cuda:2")
        if twice := [device for device, count in Counter(value.split(",")).items() if count > 1]:
            raise UserError(f"--device {brief(value)}: {twice[0]} is named twice; --jobs-per-device shares a device")
        return str(value)


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``key=value`` pairs of ``--set`` as a dict; several values are `Alternatives`."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        owner, dot, parameter = key.rpartition(".")
        if not equals or not is_parameter_name(parameter) or (dot and not owner):
            raise UserError(f"--set {brief(pair)}: expected key=value, like width=32 or linear-svm.layers=all")
        if owner:
            check_name(owner, f"--set {brief(pair)}")
        if key in settings:
            raise UserError(f"--set {brief(pair)}: {key} is given twice")
        settings[key] = parse_values(value, pair)
    return settings
