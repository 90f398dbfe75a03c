"""Which devices a run computes on, and which of them the next trial gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from reprbench.errors import UserError
from reprbench.runner.inventory import Inventory, ask_inventory

CPU = ("cpu",)


def choose_devices(
    asked: str, find: Callable[[], Inventory] = ask_inventory, warn: Callable[[str], None] = lambda line: None
) -> tuple[str, ...]:
    """Return the devices of a run: ``("cpu",)``, or CUDA devices as torch names them.

    Parameters
    ----------
    asked : ``auto``, ``cpu``, ``cuda``, or CUDA devices separated by commas. ``cuda`` is all that are visible; so is
        ``auto``, or the CPU if there are none.
    find : says which CUDA devices there are; called only if that matters.
    warn : called with a line if ``auto`` is the CPU because something is wrong.

    Raises
    ------
    UserError
        If a device is not there.
    """
    if asked == "cpu":
        return CPU
    found = find()
    every = tuple(f"cuda:{number}" for number in range(len(found.names)))
    if asked == "auto" and not every:
        if found.failed:
            warn(f"--device auto is the CPU: {found.problem}")
        return CPU
    if not every:
        raise UserError(f"--device {asked}: {found.problem}; use --device cpu")
    if asked in ("auto", "cuda"):
        return every
    chosen = tuple(asked.split(","))
    if missing := [device for device in chosen if device not in every]:
        there = ", ".join(f"{device} ({name})" for device, name in zip(every, found.names, strict=True))
        raise UserError(f"--device {asked}: there is no {missing[0]}; there are: {there}")
    return chosen


def slots_of(devices: Sequence[str], jobs_per_device: int) -> int | None:
    """Return how many trials the devices hold at the same time; None if only the number of jobs limits them."""
    return None if tuple(devices) == CPU else len(devices) * jobs_per_device


def trials_at_once(jobs: int | None, devices: Sequence[str], jobs_per_device: int) -> int:
    """Return how many trials run at the same time; `jobs` None is one for each slot, and on the CPU one."""
    slots = slots_of(devices, jobs_per_device)
    if slots is None:
        return jobs or 1
    return min(jobs or slots, slots)


class Slots:
    """The places for trials on the devices of a run: a trial takes one when it begins, and frees it when it has ended.

    Parameters
    ----------
    devices : of the run.
    count : how many trials run at the same time.
    """

    def __init__(self, devices: Sequence[str], count: int) -> None:
        self._count = count
        self._taken = Counter(dict.fromkeys(devices, 0))

    def free(self) -> str | None:
        """Return the device with the fewest trials, the first of several; None if all places are taken."""
        if self._taken.total() >= self._count:
            return None
        return min(self._taken, key=lambda device: self._taken[device])

    def take(self, device: str) -> None:
        """Take a place on the device."""
        self._taken[device] += 1

    def release(self, device: str) -> None:
        """Free a place on the device."""
        self._taken[device] -= 1
