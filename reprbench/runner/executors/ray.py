"""Runs trials on a cluster of Ray, which needs no disk that its machines share."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from reprbench.errors import UserError
from reprbench.runner.executors.host import Files, looks, ordered
from reprbench.runner.executors.mirror import RemoteTrial
from reprbench.runner.executors.settings import ExecutorSettings, Resources
from reprbench.runner.job import Job
from reprbench.runner.limits import Limits
from reprbench.runner.received import Progress
from reprbench.runner.working_folder import WorkingFolder
from reprbench.texts import described, reason

# Ray reads it when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray import exceptions
except ImportError:
    raise UserError("--executor ray needs Ray; install it with: pip install 'reprbench[ray]'") from None

CONNECT_SECONDS = 10.0
"""How long the head of a cluster may take to answer."""

_LOST = (
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.ObjectLostError,
    exceptions.LocalRayletDiedError,
)
"""What Ray raises if the machine of a trial, or the process that watches over it there, has died."""


class RayExecutor:
    """Submits trials as tasks of Ray, which starts each as soon as its resources are free on some machine.

    Parameters
    ----------
    limits : `jobs` is how many trials are submitted at the same time; None is all.
    device : ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UserError
        If there is no such cluster.
    """

    def __init__(self, settings: ExecutorSettings, limits: Limits, device: str) -> None:
        self._settings, self._limits, self._device = settings, limits, device
        self._open: set[RayTrial] = set()
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(settings)
        self._warnings: list[str] = []
        self._gpus = 1.0 if device != "cpu" and any(node["num_gpus"] >= 1 for node in _machines()) else 0.0

    def has_room(self) -> bool:
        """Return whether fewer trials are submitted than ``--jobs`` says."""
        return self._limits.jobs is None or len(self._open) < self._limits.jobs

    def submit(self, job: Job) -> RayTrial:
        """Submit a trial; it begins when its resources are free."""
        resources = self._settings.resources_of(job.label, job.entry.name)
        gpus = self._gpus if resources.gpus is None else resources.gpus
        device = "cuda" if gpus and self._device != "cpu" else "cpu"
        order = ordered(job, self._limits.timeout, self._limits.memory, device, resources.cpus or 1, with_code=True)
        needs = _needs(resources, gpus, self._limits.memory)
        self._warn_if_too_much(job.label, needs)
        # Which failures are tried again is decided here, not there.
        task = ray.remote(_run).options(name=job.label, max_retries=0, num_returns="streaming", **needs)
        trial = RayTrial(task, order, self._settings.retries, self._open.discard)
        self._open.add(trial)
        return trial

    def warnings(self) -> list[str]:
        """Return which trials need more than any machine has."""
        found, self._warnings = self._warnings, []
        return found

    def close(self) -> None:
        """Leave the cluster."""
        if self._ours:
            ray.shutdown()

    def _warn_if_too_much(self, label: str, needs: dict[str, float]) -> None:
        if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in _machines()):
            shown = {"cpus": f"{needs['num_cpus']:g}", "gpus": f"{needs['num_gpus']:g}"}
            shown |= {"memory": f"{needs['memory'] / 1024**3:.3g}GB"} if "memory" in needs else {}
            asked = ", ".join(f"{name}: {amount}" for name, amount in shown.items())
            self._warnings.append(f"{label}: no machine of the cluster has {asked}; it waits for one that has")


def _machines() -> list[dict[str, float]]:
    """Return what the machines of the cluster have, in the words of the options of tasks."""
    words = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [{word: node.get(name, 0) for name, word in words.items()} for node in nodes]


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: that of Ray would end it with another status, and store nothing."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _connect(settings: ExecutorSettings) -> None:
    try:
        if settings.address != "auto":
            # Ray itself would try for minutes, and then end this process.
            host, _, port = settings.address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        with _own_sigterm():
            ray.init(
                address=None if settings.address == "auto" else settings.address,
                runtime_env=settings.runtime_env or None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:
        raise UserError(
            f"--executor ray: no cluster at {settings.address}: {reason(error)}; "
            "if its head asks for a token, set RAY_AUTH_MODE=token"
        ) from None


def _needs(resources: Resources, gpus: float, limit: int | None) -> dict[str, float]:
    memory = resources.memory or limit
    return {"num_cpus": resources.cpus or 1, "num_gpus": gpus, **({"memory": memory} if memory else {})}


def _run(order: bytes) -> Iterator[Files]:
    """Run a trial on the machine where Ray calls this; yield what it writes."""
    for files in looks(order):
        if files:
            yield files


class RayTrial(RemoteTrial):
    """A trial that was submitted to Ray.

    Parameters
    ----------
    task : the remote function.
    retries : how often it is submitted again if its machine dies.
    closed : called with it when it is closed.
    """

    def __init__(self, task: Any, order: bytes, retries: int, closed: Callable[[RayTrial], None]) -> None:
        self._folder = WorkingFolder()
        super().__init__(self._folder.path, "Ray lost it without a reason")
        self._task, self._order, self._retries, self._closed = task, order, retries, closed
        self._deaths = 0
        self._said_here = [Progress("waiting for a machine", 0.0)]
        self._stream = task.remote(order)

    def messages(self) -> list[Progress]:
        """Return the last progress report, if there is a new one."""
        self._receive()
        mine, self._said_here = self._said_here, []
        return mine + super().messages()

    def ended(self) -> bool:
        """Return whether it has ended, as far as is known here."""
        self._receive()
        return self._failure is not None or super().ended()

    def close(self) -> None:
        """Cancel it, unless it has ended, and remove what has come."""
        try:
            self.end("interrupted", "it was closed")
        finally:
            self._folder.close()
            self._closed(self)

    def _cancel(self) -> None:
        with contextlib.suppress(Exception):
            ray.cancel(self._stream, force=True)

    def _receive(self) -> None:
        """Write down what has come."""
        try:
            while self._failure is None and not super().ended() and ray.wait([self._stream], timeout=0)[0]:
                self.put(ray.get(next(self._stream)))
        except StopIteration:
            self._failure = self._failure or ("failed", "its task on Ray ended without a result")
        except _LOST as error:
            self._try_again(error)
        except exceptions.OutOfMemoryError as error:
            self._failure = "out-of-memory", f"Ray ended it, since its machine ran out of memory: {reason(error)}"
        except exceptions.TaskCancelledError:
            self._failure = "interrupted", "it was cancelled on Ray"
        except exceptions.RayTaskError as error:
            self._failure = "failed", f"its task on Ray failed: {described(error.cause)}"
        except exceptions.RayError as error:
            self._failure = "failed", f"Ray: {described(error)}"

    def _try_again(self, error: Exception) -> None:
        self._deaths += 1
        if self._deaths > self._retries:
            times = f"{self._deaths} times" if self._deaths > 1 else "once"
            self._failure = "interrupted", f"its machine or its process there died {times}: {type(error).__name__}"
            return
        self._said_here.append(Progress(f"its machine died; try {self._deaths + 1}", 0.0))
        self._stream = self._task.remote(self._order)
