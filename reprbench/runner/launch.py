"""Starts the harness's processes: forked from a server that has imported torch, or else by ``python -m``."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from reprbench.errors import system_reason
from reprbench.files import umask
from reprbench.runner import supervisor
from reprbench.runner.server import ForkRequest, send
from reprbench.runner.supervision import Supervision

START_SECONDS = 120.0
"""How long the server may take to fork a process, which includes its own start."""

_CLOSE_SECONDS = 0.1

_FREE = re.compile(r"REPRBENCH_.*|PYTEST_CURRENT_TEST|PATH|PWD|OLDPWD|TMPDIR|SHLVL|_|COLUMNS|LINES")
"""The variables that no library reads when it is imported: they may change after the server was started."""

_CODE = ("reprbench", "reprbench.methods", "reprbench.benchmarks")


@dataclass(frozen=True)
class Program:
    """A module of the harness, to be run as ``python -m``.

    Attributes
    ----------
    module, arguments : of its command line.
    environment : added to that of this process, also for libraries that read it when they are loaded; None if no
        addition matters.
    """

    module: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Launched:
    """A process that was started.

    Attributes
    ----------
    supervision : says what becomes of it.
    preloaded : whether it was forked from a server, with which it shares what that had imported.
    process : its supervisor, if that is a child of this process.
    """

    supervision: Supervision
    preloaded: bool = True
    process: subprocess.Popen[bytes] | None = None


class Server:
    """A process from which others are forked, see `reprbench.runner.server`.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment, self._key = environment, _key()
        self._requests, other_end = socket.socketpair()
        with contextlib.closing(other_end):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "reprbench.runner.server", str(other_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[other_end.fileno()],
                # What a library asks about devices while it is imported must not start their driver.
                env={**os.environ, **environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
                start_new_session=True,
            )

    def serves(self, environment: Mapping[str, str] | None) -> bool:
        """Return whether a process forked from it would find this environment, and the code as it is now."""
        return self._key == _key() and (environment is None or environment == self._environment)

    def fork(self, program: Program, lines: int, output: int) -> Launched | None:
        """Fork a process; return None if that is not possible any more."""
        supervision = Supervision()
        try:
            with contextlib.closing(supervision.other_end):
                _request(self._requests, program, [supervision.other_end.fileno(), lines, output])
            if supervision.pid(START_SECONDS) is not None:
                return Launched(supervision)
        except OSError:
            pass
        except BaseException:
            self.close()  # it may have received a part of the request
            supervision.close()
            raise
        supervision.close()
        return None

    def close(self) -> None:
        """End it; what was forked from it goes on."""
        self._requests.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:  # it is importing
            self._process.kill()
            self._process.wait()


class Launcher:
    """Starts processes, with one server at a time; started ones if there can be none."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._lock = threading.Lock()
        self._failed: object = None
        self._warnings: list[str] = []

    def prepare(self, environment: Mapping[str, str] | None = None) -> None:
        """Let a server start, unless there is one; do not wait for it."""
        with self._lock:
            self._current(environment)

    def start(self, program: Program, lines: int, output: int) -> Launched:
        """Start a process that has the descriptor `lines`, and writes what it prints to `output`.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        with self._lock:
            server = self._current(program.environment)
            launched = server.fork(program, lines, output) if server else None
            if server and launched is None:
                self._give_up("the process that has imported torch for them ended")
        return launched or _spawn(program, lines, output)

    def warnings(self) -> list[str]:
        """Return what there is to be warned of, once."""
        found, self._warnings = self._warnings, []
        return found

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def _current(self, environment: Mapping[str, str] | None) -> Server | None:
        """Return the server for this environment, started if there is none."""
        if sys.platform != "linux" or (self._failed is not None and self._failed == _key()):
            return None
        if self._server is None or not self._server.serves(environment):
            self.close()
            try:
                self._server = Server(environment or {})
            except OSError as error:
                self._give_up(f"the process that imports torch for them could not be started: {system_reason(error)}")
        return self._server

    def _give_up(self, why: str) -> None:
        self.close()
        self._failed = _key()
        self._warnings.append(f"{why}; from now on each trial imports it itself, which takes seconds")


def _spawn(program: Program, lines: int, output: int) -> Launched:
    """Start a process below a supervisor of its own."""
    supervision = Supervision()
    with contextlib.closing(supervision.other_end) as control:
        command = [sys.executable, "-m", program.module, *program.arguments, str(lines)]
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", str(Path(supervisor.__file__)), str(control.fileno()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[control.fileno(), lines],
                env={**os.environ, **(program.environment or {})},
                start_new_session=True,
            )
        except BaseException:
            supervision.close()
            raise
    return Launched(supervision, preloaded=False, process=process)


def _request(server: socket.socket, program: Program, descriptors: list[int]) -> None:
    added = {os.fsencode(name): os.fsencode(value) for name, value in (program.environment or {}).items()}
    environment = {**os.environb, **added}
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        request = ForkRequest(program.module, list(program.arguments), environment, umask())
        send(server, request, [*descriptors, folder])
    finally:
        os.close(folder)


def _key() -> object:
    """Return what a server depends on: this process, its environment, and the code of reprbench."""
    environment = {name: value for name, value in os.environ.items() if not _FREE.fullmatch(name)}
    return os.getpid(), environment, dict(_code())


def _code() -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the files of reprbench, and their states."""
    for name in _CODE:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in Path(folder).rglob("*.py"):
                with contextlib.suppress(FileNotFoundError):
                    found = path.stat()
                    yield str(path), (found.st_mtime_ns, found.st_size)


launcher = Launcher()
"""That of this process."""

atexit.register(launcher.close)
