"""Runs trials on this machine, each on one device."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from reprbench.runner.devices import Slots
from reprbench.runner.job import Job
from reprbench.runner.launch import launcher
from reprbench.runner.limits import Limits
from reprbench.runner.process import TrialProcess


class LocalExecutor:
    """Runs as many trials at the same time as the limits say; each gets one of the devices, and frees it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = Slots(limits.devices, limits.at_once)

    def has_room(self) -> bool:
        """Return whether a place on a device is free."""
        return self._slots.free() is not None

    def submit(self, job: Job) -> TrialProcess:
        """Start a trial on the device with the fewest trials."""
        device = self._slots.free()
        if device is None:
            raise RuntimeError("all devices are taken")
        limits = self._limits
        placed = replace(job, device=device, threads=limits.threads_each, trials_at_once=limits.at_once)
        process = TrialProcess(placed, limits.timeout, limits.memory, closed=partial(self._slots.release, device))
        self._slots.take(device)
        return process

    def warnings(self) -> list[str]:
        """Return those of the launcher of processes."""
        return launcher.warnings()

    def close(self) -> None:
        """Free nothing: the launcher serves other runs of this process, too."""
