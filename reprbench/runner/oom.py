"""Says whether the system has killed processes because memory ran out, of this process's control group."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def oom_kills() -> int:
    """Return how many processes were killed so far; 0 if that cannot be told."""
    return next((count for path in _counters() if (count := _count(path)) is not None), 0)


def _counters() -> list[Path]:
    """Return the files that may have the number, in a container below the root of what it sees."""
    try:
        lines = [line.split(":", 2) for line in OWN.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    groups = {kinds: path.lstrip("/") for _, kinds, path in lines}
    new = [ROOT / groups.get("", "") / "memory.events", ROOT / "memory.events"]
    old = [ROOT / "memory" / groups.get("memory", "") / "memory.oom_control", ROOT / "memory" / "memory.oom_control"]
    return [*new, *old]


def _count(path: Path) -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
