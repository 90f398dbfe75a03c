"""Runs on one store and cache at the same time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import common
import pytest

from reprbench.api.progress import PlainListener

HELD = """
@register("held")
class Held(Flat):
    def fit(self, images, run):
        super().fit(images, run)
        with open("fits", "a") as file:
            file.write("x")
        while not os.path.exists("go"):
            time.sleep(0.05)
"""


class Other:
    """A ``reprbench run`` in another process."""

    def __init__(self, folder: Path, name: str, words: tuple[str, ...]) -> None:
        self.words = words
        self._output, self._errors = folder / f"{name}.out", folder / f"{name}.err"
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reprbench.cli.main", *words], cwd=folder, stdout=output, stderr=errors
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()


wait_for = partial(common.wait_for, seconds=300)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.parent.name != "__pycache__"}


def claims(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.suffix == ".claim"]


@pytest.fixture
def start(tmp_path, plugin):
    """Start a run whose fit goes on until there is a file ``go``."""
    path = plugin("held.py", HELD)
    begun: list[Other] = []

    def begin() -> Other:
        command = ("run", "--plugin", str(path), "--methods", "held", "--limit", "150", "--protocols", "knn")
        begun.append(Other(tmp_path, f"run{len(begun)}", command))
        return begun[-1]

    yield begin
    (tmp_path / "go").touch()
    for one in begun:
        one.process.kill()
        one.process.wait()


def test_runs_at_the_same_time_make_one_fit(start, here, tmp_path, monkeypatch):
    first = start()
    wait_for((tmp_path / "fits").exists)
    same = start()
    who = rf"running on {os.uname().nodename} \(.+, pid {first.process.pid}\) since \d\d:\d\d"
    wait_for(lambda: same.errors or same.process.poll() is not None)
    assert re.fullmatch(rf"held \(seed 0\): {who}; waiting\n", same.errors)
    before = files(tmp_path)
    assert re.search(rf"held +0 .* wait +{who} ", here(*first.words, "--plan").stdout)
    assert files(tmp_path) == before
    with monkeypatch.context() as patch:
        patch.setattr(PlainListener, "waits", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        stopped = here(*first.words)
    assert stopped.returncode == 130
    assert "interrupted; run the same command again" in stopped.stderr
    (tmp_path / "go").touch()
    assert [one.process.wait(timeout=300) for one in (first, same)] == [0, 0]
    assert (tmp_path / "fits").read_text() == "x"
    assert "held" in first.output
    assert same.output == first.output
    assert "[1/1] held (seed 0): done (already there)" in same.errors
    assert not claims(tmp_path)


def test_a_run_takes_over_from_one_that_was_killed(start, here, tmp_path):
    first = start()
    wait_for((tmp_path / "fits").exists)
    first.process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, first.process.pid, os.WEXITED | os.WNOWAIT)
    assert len(claims(tmp_path)) == 2
    (tmp_path / "go").touch()
    assert re.search("held +0 .* run +new ", here(*first.words, "--plan").stdout)
    done = here(*first.words)
    assert done.returncode == 0, done.stderr
    assert "waiting" not in done.stderr
    assert not claims(tmp_path)
