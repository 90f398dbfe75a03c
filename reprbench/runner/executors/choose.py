"""Makes the executor that a run asks for."""

from __future__ import annotations

from pathlib import Path

from reprbench.errors import UserError
from reprbench.runner.executors.base import Executor
from reprbench.runner.executors.local import LocalExecutor
from reprbench.runner.executors.settings import ExecutorSettings
from reprbench.runner.limits import Limits


def check_device(settings: ExecutorSettings, device: str) -> None:
    """Raise a `UserError` if `device` names devices of one machine, and other machines are to run the trials."""
    if settings.executor != "local" and device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}: --executor {settings.executor} chooses devices itself; say cuda")


def make_executor(settings: ExecutorSettings, limits: Limits, device: str, cache: Path) -> Executor:
    """Return the executor; it may connect to a cluster.

    Parameters
    ----------
    device : what ``--device`` says.
    cache : the folder of the cache.

    Raises
    ------
    UserError
        If what it needs is not installed, or its cluster is not there.
    """
    if settings.executor == "local":
        return LocalExecutor(limits)
    if settings.executor == "ray":
        from reprbench.runner.executors.ray import RayExecutor

        return RayExecutor(settings, limits, device)
    from reprbench.runner.executors.slurm import SlurmExecutor

    return SlurmExecutor(settings, limits, device, cache)
