"""Reads the paths that are given in Python."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reprbench.errors import UserError
from reprbench.grammar import brief


def asked_path(given: Any, what: str) -> Path:
    """Return the path that is given as a text or a path; raise a `UserError` that begins with `what` otherwise.

    >>> asked_path("results", "store").name
    'results'
    """
    if isinstance(given, str | os.PathLike):
        return Path(given)
    raise UserError(f"{what}: {brief(given)}: expected a path")


def asked_paths(given: Any, what: str) -> tuple[Path, ...]:
    """Return the paths that are given; a single one needs no list."""
    if isinstance(given, str | os.PathLike):
        given = [given]
    if not isinstance(given, Iterable):
        raise UserError(f"{what}: {brief(given)}: expected a list of paths")
    return tuple(asked_path(one, what) for one in given)
