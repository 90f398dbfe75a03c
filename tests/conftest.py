"""How the tests are distributed over processes, and the fixtures that many of them share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from common import REPOSITORY, status_here
from hypothesis import settings

Cli = Callable[..., subprocess.CompletedProcess[str]]
Here = Callable[..., SimpleNamespace]

# While other tests run, an example may take longer than the deadline that Hypothesis sets.
settings.register_profile("beside others", deadline=None)
settings.load_profile("beside others")


# -- the whole suite runs on every core -------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach what is tested: a shell that starts the tests in the background has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keep the handlers of signals from one test to the next: Ray's machines, for one, replace that of SIGTERM."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start a worker for every core; a part of the suite runs in this process."""
    whole = [Path(argument).resolve() for argument in config.args] == [(REPOSITORY / "tests").resolve()]
    return (os.cpu_count() or 1) if whole else 0


def pytest_xdist_setupnodes(config: pytest.Config, specs: object) -> None:
    """Give each process one thread: those of several workers would wait for one another, and take ten times as long."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with slow tests, so that they end together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


# -- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def real_data() -> Path | None:
    """The folder with the real datasets, or None where there is none."""
    given = os.environ.get("REPRBENCH_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    return folder if (folder / "mnist").is_dir() else None


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path of modules: one for all tests of a file, so that one server serves them."""
    from reprbench.runner.launch import launcher

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("modules")
        patch.setenv("PYTHONPATH", str(folder))
        yield folder
        launcher.close()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run ``reprbench`` with the given words in an empty folder, as a user would."""

    def run(*words: str, cwd: Path = tmp_path, timeout: float = 300, **environment: str):
        command = [sys.executable, "-m", "reprbench.cli.main", *words]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}
        )

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Like `cli`, but in this process: starting one takes longer than most commands."""

    def run(*words: str, cwd: Path = tmp_path, **environment: str) -> SimpleNamespace:
        monkeypatch.chdir(cwd)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = status_here(*words)
        output = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=output.out, stderr=output.err)

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute in one thread: with small networks more would only wait for one another."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a plugin file, with the imports it needs, and return its path."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / name
        path.write_text(PLUGIN_HEAD + body)
        return path

    return write


PLUGIN_HEAD = """
import os, time
import torch
from reprbench import Learner, register

class Flat(Learner):
    def fit(self, images, run):
        self.mean = images.batch(slice(0, 64)).mean(0)
        run.images_seen = len(images)

    def encode(self, x):
        return {"pixels": (x - self.mean).flatten(1)}

"""
