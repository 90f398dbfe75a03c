"""Processes that are forked from the server are like started ones, and do without it if need be."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from reprbench.arrays import unpack
from reprbench.cache import CacheFile
from reprbench.runner import launch, server
from reprbench.runner.child import Child
from reprbench.runner.launch import launcher
from reprbench.runner.process import trial_environment
from reprbench.runner.supervisor import alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
NUMBERS = itertools.count()

HEAD = """
import json, os, sys
lines = os.fdopen(int(sys.argv[-1]), "w", buffering=1)
tell = lambda facts: print(json.dumps(facts), file=lines)
"""

Start = Callable[..., Child]


@pytest.fixture
def start(modules):
    """Start a process of the harness that runs this code, with the environment of a trial."""
    started: list[Child] = []

    def begin(code: str, *arguments: str, threads: int = 2) -> Child:
        name = f"served_{next(NUMBERS)}"
        (modules / f"{name}.py").write_text(HEAD + textwrap.dedent(code))
        started.append(Child(name, *arguments, environment=trial_environment(threads)))
        return started[-1]

    launcher.warnings()
    yield begin
    for one in started:
        one.close()


@pytest.fixture
def spawning(monkeypatch):
    """Let processes be started, not forked."""
    return lambda: monkeypatch.setattr(launcher, "_current", lambda environment: None)


def told(child: Child) -> Any:
    end = time.monotonic() + 60
    while not (lines := child.lines()):
        assert child.poll() is None, child.output()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return json.loads(lines[0])


def server_pid() -> int:
    assert launcher._server is not None
    return launcher._server._process.pid


FACTS = """
import gc, locale, random, resource, signal, stat, threading
import numpy, torch
umask = os.umask(0)
os.umask(umask)
tell({
    "argv": [os.path.basename(sys.argv[0]), *sys.argv[1:-1]],
    "main": [__name__, __spec__.name, sys.modules["__main__"].__dict__ is globals()],
    "path": sys.path,
    "folder": os.getcwd(),
    "umask": umask,
    "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
    "streams": [[stream.encoding, stream.errors, stream.line_buffering, stream.write_through, stream.isatty()]
                for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "descriptors": [stat.S_IFMT(os.fstat(number).st_mode) for number in (0, 1, 2, lines.fileno())],
    "others": sorted(set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, lines.fileno()})[1:],
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "wakeup": signal.set_wakeup_fd(-1),
    "session": [os.getsid(0) == os.getpid() == os.getpgid(0)],
    "threads": [threading.active_count(), threading.current_thread() is threading.main_thread()],
    "limits": [resource.getrlimit(number) for number in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)],
    "locale": [locale.setlocale(locale.LC_ALL), os.nice(0), sorted(os.sched_getaffinity(0))],
    "garbage": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
    "flags": [sys.flags.optimize, sys.flags.isolated, sys.flags.utf8_mode, sys.flags.dev_mode, sys.flags.no_site],
    "torch": [torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), str(torch.get_default_dtype()),
              torch.is_grad_enabled(), torch.backends.cudnn.benchmark, torch.is_anomaly_enabled()],
    "devices": torch.cuda.is_initialized(),
    "read": sys.stdin.read(),
    "warnings": sys.warnoptions,
})
"""


def test_a_forked_process_finds_what_a_started_one_finds(start, spawning, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o027)
    try:
        forked = start(FACTS, "a word", "another")
        assert forked._launched.preloaded
        facts = told(forked)
        spawning()
        spawned = start(FACTS, "a word", "another")
    finally:
        os.umask(umask)
    assert not spawned._launched.preloaded
    expected = told(spawned)
    for one, number in ((facts, 0), (expected, 1)):
        assert one["main"].pop(1) == one["argv"].pop(0).removesuffix(".py"), number
    assert facts == expected
    assert launcher.warnings() == []


def test_each_process_has_random_states_of_its_own(start):
    code = "import random, numpy, torch\ntell([random.random(), numpy.random.random(), torch.initial_seed()])"
    one, other = (told(start(code)) for _ in range(2))
    assert not set(one) & set(other)


def test_threads_work_after_the_fork(start):
    found = told(start("""
        import numpy, torch
        before = len(os.listdir("/proc/self/task"))
        a = torch.randn(2000, 500, generator=torch.Generator().manual_seed(0))
        error = float(((a.T @ a) - (a.double().T @ a.double())).abs().max())
        numpy.dot(a.numpy(), a.numpy().T)
        tell([before, len(os.listdir("/proc/self/task")) > 1, error < 0.01, torch.get_num_threads()])
    """))  # fmt: skip
    assert found == [1, True, True, 2]


def test_processes_that_are_spawned_by_a_forked_one_work(start):
    code = """
        import multiprocessing, operator
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                tell(pool.apply(operator.add, (2, 3)))
    """
    assert told(start(code)) == 5


def test_changes_of_the_environment_reach_the_process(start, monkeypatch, tmp_path):
    code = """
        import tempfile
        tell([os.environ.get("REPRBENCH_DATA"), os.environ.get("TORCH_ANY"), os.getcwd(), tempfile.gettempdir()])
    """
    told(start(code))
    before = server_pid()
    monkeypatch.setenv("REPRBENCH_DATA", "ü\udc80")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert told(start(code)) == ["ü\udc80", None, str(tmp_path), str(tmp_path)]
    assert server_pid() == before
    monkeypatch.setenv("TORCH_ANY", "1")  # a library might read it when it is imported
    assert told(start(code))[1] == "1"
    assert server_pid() != before
    assert not psutil.pid_exists(before)


def test_another_number_of_threads_or_changed_code_needs_another_server(start, monkeypatch):
    count = "tell([__import__('torch').get_num_threads(), os.environ['OMP_NUM_THREADS']])"
    assert told(start(count, threads=1)) == [1, "1"]
    one = server_pid()
    assert told(start(count, threads=2)) == [2, "2"]
    other = server_pid()
    assert one != other
    monkeypatch.setattr(launch, "_code", lambda: [("a.py", (1, 2))])
    told(start(count, threads=2))
    assert server_pid() != other


def test_what_was_forked_goes_on_without_the_server_and_the_rest_is_started(start):
    running = start("tell(os.getppid())\nsys.stdin.read()\n__import__('time').sleep(1)\ntell('still there')")
    told(running)
    os.kill(server_pid(), signal.SIGKILL)
    others = [start("tell(1)") for _ in range(2)]
    assert [told(one) for one in others] == [1, 1]
    assert not any(one._launched.preloaded for one in others)
    (line,) = launcher.warnings()
    assert "ended; from now on each trial imports it itself" in line
    assert told(running) == "still there"
    assert running.poll(60) == 0


def test_without_a_server_processes_are_started(start, modules, monkeypatch):
    (modules / "msgspec.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("ANY", "1")
    try:
        children = [start("tell(1)") for _ in range(2)]
        assert [told(child) for child in children] == [1, 1]
    finally:
        (modules / "msgspec.py").unlink()
    assert not any(child._launched.preloaded for child in children)
    assert len(launcher.warnings()) == 1


def test_the_server_keeps_no_zombies_and_survives_crashes(start):
    crashed = [start("os.kill(os.getpid(), 11)"), start("os.kill(os.getppid(), 9); __import__('time').sleep(600)")]
    assert [one.poll(60) for one in crashed] == [-signal.SIGSEGV, -signal.SIGKILL]
    parent = psutil.Process(server_pid())
    end = time.monotonic() + 60
    while parent.children():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    assert told(start("tell(1)")) == 1
    assert alive(parent)


def test_a_process_uses_no_memory_before_it_uses_some(start):
    child = start("tell(1)\nheld = b'x' * (200 * 2**20)\ntell(2)\n__import__('time').sleep(600)")
    told(child)
    told(child)
    assert 190 < child.memory() / 2**20 < 280


def test_a_server_with_threads_or_devices_forks_nothing(monkeypatch):
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    assert server._problem() == "there are threads in the server"
    event.set()
    thread.join()
    monkeypatch.setattr(psutil.Process, "num_threads", lambda self: 1)
    monkeypatch.setattr(server, "_target", lambda descriptor: "/dev/nvidiactl")
    assert server._problem() == "the server has opened /dev/nvidiactl"


def _arrays(path: Path) -> dict[str, Any]:
    found = CacheFile(path.parents[2], "/".join(path.parts[-3:])).read(unpack)
    assert found is not None
    return dict(found[0])


@pytest.mark.slow
def test_forked_trials_have_the_results_of_started_ones(here, spawning, tmp_path):
    methods = "kmeans[receptive_field=4,n_centroids=30,n_patches=2000],ae[width=8],pca[n_components=9]"
    words = ("run", "--methods", methods, "--protocols", "knn", "--limit", "60", "--epochs", "1")
    found = []
    for name in ("forked", "started"):
        folder = tmp_path / name
        folder.mkdir()
        assert here(*words, cwd=folder, OMP_NUM_THREADS="2").returncode == 0
        trials = [json.loads(path.read_text()) for path in sorted(folder.glob("results/**/trial.json"))]
        states = sorted((folder / ".reprbench" / "fits").glob("*/*/state.safetensors"))
        found.append((
            [(one["hash"], one["evaluations"][0]["measurements"], one["provenance"]["threads"]) for one in trials],
            [{key: array.tolist() for key, array in _arrays(path).items()} for path in states],
        ))  # fmt: skip
        spawning()
    assert found[0] == found[1]
    assert [(len(evaluated), len(states)) for evaluated, states in found] == [(3, 3), (3, 3)]
