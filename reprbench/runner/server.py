"""The server from which the harness's processes are forked: it has imported once what they all need.

``python -P -m reprbench.runner.server SOCKET``. It imports no code of plugins, runs no computation and starts no
threads, and it does not look for devices: their drivers do not survive a fork. A process forked here differs from
one that was started by ``python -m`` only in what is imported already.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import pkgutil
import runpy
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from reprbench.runner.supervisor import alive, readable, supervise

_LOOK_SECONDS = 1.0
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")
_LENGTH = 8
_FEW = 3
"""The processes of a run of one or two trials, which would not gain from more preloading: one describes methods."""


class ForkRequest(msgspec.Struct, frozen=True):
    """A process to fork.

    Attributes
    ----------
    module : that it runs, as ``python -m`` would.
    arguments : of its command line; the file descriptor to which it writes lines is added.
    environment : all of it.
    umask : of the process.
    """

    module: str
    arguments: list[str]
    environment: dict[bytes, bytes]
    umask: int


# -- requests ---------------------------------------------------------------------------------------------------------


def send(server: socket.socket, request: ForkRequest, descriptors: list[int]) -> None:
    """Send a request with the descriptors of its socket, its lines, its output and its current folder."""
    content = msgspec.msgpack.encode(request)
    socket.send_fds(server, [len(content).to_bytes(_LENGTH, "big")], descriptors)
    server.sendall(content)


def _receive(requests: socket.socket) -> tuple[ForkRequest, list[int]] | None:
    """Return the next request and its descriptors; None if there are no more."""
    try:
        head, descriptors, _, _ = socket.recv_fds(requests, _LENGTH, 4)
        content = b""
        while head and len(content) < int.from_bytes(head, "big"):
            if not (part := requests.recv(2**20)):
                return None
            content += part
    except ConnectionError:
        return None
    return (msgspec.msgpack.decode(content, type=ForkRequest), descriptors) if head else None


# -- the server -------------------------------------------------------------------------------------------------------


def _serve(requests: socket.socket, harness: psutil.Process) -> tuple[ForkRequest, int] | None:
    """Preload, and fork a process for each request, also in between.

    Returns
    -------
    In a forked process, its request and the descriptor for its lines; in the server None, when there are no more.
    """
    _preload(_harness)
    at_once, later = list(_AT_ONCE), list(_LATER)
    for number in itertools.count():
        received = _next(requests, harness, at_once or (later if number >= _FEW else []))
        if received is None:
            break
        request, (control, lines, output, folder) = received
        if problem := _problem():
            sys.exit(problem)
        if not os.fork():
            requests.close()
            _take_over(request, output, folder)
            supervise(socket.socket(fileno=control), harness)
            return request, lines
        for descriptor in (control, lines, output, folder):
            os.close(descriptor)
    return None


def _next(
    requests: socket.socket, harness: psutil.Process, preloads: list[Callable[[], None]]
) -> tuple[ForkRequest, list[int]] | None:
    """Return the next request, and preload until there is one; None if the harness has ended or asks for the end."""
    while not readable([requests.fileno()], 0 if preloads else _LOOK_SECONDS):
        if preloads:
            _preload(preloads.pop(0))
        elif not alive(harness):
            return None
        _collect()
    received = _receive(requests)
    _collect()
    return received


def _take_over(request: ForkRequest, output: int, folder: int) -> None:
    """Give this new process the output, folder and umask that a started one would have."""
    os.setsid()
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.fchdir(folder)
    os.close(folder)
    os.umask(request.umask)


def _collect() -> None:
    """Collect the supervisors that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _problem() -> str:
    """Return why a process forked now could not use threads or devices; an empty string if it could."""
    if psutil.Process().num_threads() > 1:
        return "there are threads in the server"
    opened = map(_target, Path("/proc/self/fd").iterdir())
    devices = [path for path in opened if path.startswith(_DEVICES)]
    return f"the server has opened {devices[0]}" if devices else ""


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # that of the folder which was listed
        return ""


# -- preloading -------------------------------------------------------------------------------------------------------


def _preload(load: Callable[[], None]) -> None:
    load()
    if psutil.Process().num_threads() > 1 and not os.fork():
        # OpenBLAS starts threads when it is imported, ends them before any fork, and then starts them when needed.
        os._exit(0)
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy all pages


def _harness() -> None:
    """Import what every process needs."""
    for name in ("torch", "reprbench.runner.describe", "reprbench.runner.execute", "reprbench.protocols.base"):
        importlib.import_module(name)


def _determinism() -> None:
    """Import what torch does when a trial asks for deterministic algorithms, which is much; they stay off here."""
    import torch

    torch.use_deterministic_algorithms(False)


def _trial() -> None:
    """Import what every trial needs."""
    for name in ("catalog", "digits", "idx"):
        importlib.import_module(f"reprbench.data.{name}")
    for name in ("evaluate", "fitting", "plan", "provenance"):
        importlib.import_module(f"reprbench.runner.{name}")


def _built_in() -> None:
    """Import the methods, protocols and classifiers that come with reprbench."""
    for name in ("reprbench.methods", "reprbench.protocols", "reprbench.probes"):
        for found in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
            importlib.import_module(found.name)


def _libraries() -> None:
    """Import what many protocols and figures use."""
    for name in ("sklearn.datasets", "sklearn.model_selection", "safetensors.torch", "reprbench.plotting", "PIL.Image"):
        importlib.import_module(name)


_AT_ONCE, _LATER = (_determinism, _trial), (_built_in, _libraries)


# -- a forked process -------------------------------------------------------------------------------------------------


def _run(request: ForkRequest, lines: int) -> None:
    """Run the module as ``python -m`` would."""
    os.environ.clear()
    os.environb.update(request.environment)
    tempfile.tempdir = None  # it depends on the environment
    _seed()
    sys.path.insert(0, _current_folder())
    importlib.invalidate_caches()
    sys.argv = [request.module, *request.arguments, str(lines)]
    sys.modules.pop(request.module, None)
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _seed() -> None:
    """Give the global generators of NumPy and torch states of their own, as in a new process; `random` has one."""
    import numpy as np
    import torch

    np.random.seed()  # noqa: NPY002
    torch.default_generator.seed()


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def main() -> None:
    """Serve the requests that come through the socket; go on as what was requested in the processes forked for it."""
    forked = _serve(socket.socket(fileno=int(sys.argv[1])), psutil.Process(os.getppid()))
    if forked is not None:
        _run(*forked)


if __name__ == "__main__":
    main()
