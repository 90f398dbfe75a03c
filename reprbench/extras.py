"""What the extras of reprbench need, read from its own metadata, and whether that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import TYPE_CHECKING

from reprbench.errors import did_you_mean

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def lacking(extra: str | None) -> str:
    """Return what of an extra is not installed, and the command that installs it; empty if nothing is missing.

    >>> lacking(None)
    ''
    """
    if extra is None:
        return ""
    known = metadata("reprbench").get_all("Provides-Extra") or []
    if extra not in known:
        return f"unknown extra {extra!r} of reprbench.{did_you_mean(extra, known)} Known: {', '.join(known)}"
    missing = [text for one in _requirements(extra) if (text := _problem(one))]
    if not missing:
        return ""
    return f"needs {' and '.join(missing)}; install with: pip install 'reprbench[{extra}]'"


def _requirements(extra: str) -> Iterator[Requirement]:
    """Yield what an extra asks for on this system."""
    from packaging.requirements import Requirement

    for text in requires("reprbench") or []:
        one = Requirement(text)
        always = one.marker is None or one.marker.evaluate({"extra": ""})
        if not always and one.marker and one.marker.evaluate({"extra": extra}):
            yield one


def _problem(one: Requirement) -> str:
    """Return the requirement, with the version that is installed instead if there is one; empty if it is met."""
    try:
        found = version(one.name)
    except PackageNotFoundError:
        return f"{one.name}{one.specifier}"
    return "" if one.specifier.contains(found, prereleases=True) else f"{one.name}{one.specifier}, not {found}"
