"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reprbench.errors import UserError
from reprbench.spec import Call, parse_calls, parse_value

CACHE = Path(".reprbench")
"""Where fitted learners, checkpoints, features and decoded images are kept, below the working directory."""

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


class Calls(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated calls: ``ae,dae[noise=0.3]``."""

    name = "NAME[param=value],…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Call, ...]:
        """Parse the calls; raise a `UserError` that says what cannot be read."""
        return value if isinstance(value, tuple) else tuple(parse_calls(value))


class Seeds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Comma-separated whole numbers."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse the seeds."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\d+(,\d+)*", value):
            raise UserError(f"--seeds {value!r}: expected whole numbers from 0 separated by commas, like 0,1,2")
        return tuple(dict.fromkeys(int(part) for part in value.split(",")))


class Memory(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """An amount of memory: ``4GB``, ``500MB``."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", value, re.IGNORECASE)
        if match is None:
            raise UserError(f"--memory {value!r}: expected an amount like 4GB or 500MB")
        return int(float(match[1]) * 1024 ** ("KMGT".index(match[2].upper()) + 1))


class Device(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Where trials are computed."""

    name = "DEVICE"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the form; only the trial's process knows whether there is such a device."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise UserError(f"--device {value!r}: expected auto, cpu, cuda or cuda:N")
        return str(value)


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``key=value`` pairs of ``--set`` as a dict."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {pair!r}: expected key=value, like width=32 or linear-svm.layers=all")
        settings[key.strip()] = parse_value(value, pair)
    return settings
