"""The environments in which the numbers of two stores were computed, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from reprbench.report.marks import device_of
from reprbench.trial import Trial


class Environment(Struct, frozen=True):
    """What a trial ran with: reprbench's code and numerics, the version of torch, and the machine with its device."""

    code: str
    numerics: str
    torch: str
    machine: str


def environment_of(trial: Trial) -> Environment:
    """Return the environment of a trial, as far as its provenance states it."""
    code, versions, machine = (trial.known(part) for part in ("code", "versions", "machine"))
    commit = code.get("commit")
    changed = " with changes" if code.get("dirty") else ""
    return Environment(
        code=f"{str(commit)[:7]}{changed}" if commit else f"reprbench {versions.get('reprbench', 'unknown')}",
        numerics=str(trial.numerics or "unknown"),
        torch=str(versions.get("torch", "unknown")),
        machine=f"{machine.get('processor', 'unknown')}, {device_of(trial) or 'unknown'}",
    )


def differing(base: Iterable[Environment], new: Iterable[Environment]) -> list[str]:
    """Return a line for each respect in which the environments of BASE and NEW differ."""
    before, after = set(base), set(new)
    lines = []
    for name in Environment.__struct_fields__:
        was, now = ({getattr(one, name) for one in environments} for environments in (before, after))
        if was != now:
            lines.append(f"{name} differs: {_listed(was - now or was)} in BASE, {_listed(now - was or now)} in NEW")
    return lines


def _listed(texts: set[str]) -> str:
    first = sorted(texts)[:3]
    return " and ".join(first) + (f" and {len(texts) - len(first)} more" if len(texts) > len(first) else "")
