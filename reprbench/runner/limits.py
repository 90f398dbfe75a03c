"""The limits of a run: how many trials at the same time, where, and what each may take."""

from __future__ import annotations

import os
from dataclasses import dataclass

from reprbench.runner.devices import CPU, trials_at_once


@dataclass(frozen=True)
class Limits:
    """The limits of a run."""

    jobs: int | None = None
    """Trials at the same time, as far as the devices have places; None is as many as these have, and on the CPU 1."""
    timeout: float | None = None
    """Seconds a trial may take."""
    memory: int | None = None
    """Bytes a trial may use, without mapped files."""
    devices: tuple[str, ...] = CPU
    """The CPU, or CUDA devices; each trial gets one."""
    jobs_per_device: int = 1
    """Trials that share a CUDA device."""
    threads: int | None = None
    """CPU threads of a trial; by default the number of cores, or OMP_NUM_THREADS, divided by `at_once`."""

    @property
    def at_once(self) -> int:
        """How many trials run at the same time."""
        return trials_at_once(self.jobs, self.devices, self.jobs_per_device)

    @property
    def threads_each(self) -> int:
        """CPU threads of one trial."""
        allowed = os.environ.get("OMP_NUM_THREADS", "")
        cores = int(allowed) if allowed.isdecimal() else os.cpu_count() or 1
        return self.threads or max(1, cores // self.at_once)
