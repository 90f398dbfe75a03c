"""Runs whose trials are jobs of submitit on this machine: jobs and drivers are killed, and jobs are found again."""

from __future__ import annotations

import pickletools
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from common import wait_for
from executors import HELD, lines, trials

from reprbench.runner.executors import slurm

pytestmark = pytest.mark.slow


@pytest.fixture
def held(tmp_path, plugin, monkeypatch) -> tuple[str, ...]:
    """The words of a run of the method ``held`` whose trials are jobs."""
    monkeypatch.setattr(slurm, "LOST_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path, settings = plugin("held.py", HELD.format(folder=str(tmp_path))), tmp_path / "slurm.yaml"
    settings.write_text("executor: slurm\ncluster: local\n")
    return (
        "run", "--plugin", str(path), "--methods", "held", "--limit", "150", "--protocols", "knn,waits", "--device",
        "cpu", "--executor", str(settings),
    )  # fmt: skip


@pytest.fixture
def driver(tmp_path, held):
    """Start a run in another process."""
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        # Not a pipe, which its jobs would keep open.
        with (tmp_path / "errors").open("w") as errors:
            command = [sys.executable, "-m", "reprbench.cli.main", *held]
            begun.append(subprocess.Popen(command, cwd=tmp_path, stdout=errors, stderr=errors))
        return begun[-1]

    yield start
    (tmp_path / "go").touch()
    (tmp_path / "evaluate").touch()
    for one in begun:
        one.kill()
        one.wait()


def jobs(folder: Path) -> list[psutil.Process]:
    """Return the processes of submitit that run trials of the cache there."""
    found = psutil.process_iter(["cmdline"])
    words = {"submitit.core._submit", str(folder / ".reprbench" / "slurm" / "log")}
    return [one for one in found if words <= set(one.info["cmdline"] or ())]


def submissions(folder: Path) -> list[Path]:
    return [path for path in (folder / ".reprbench" / "slurm").iterdir() if path.is_dir() and path.name != "log"]


def test_a_killed_job_is_a_hole_that_the_next_run_fills(here, held, tmp_path, monkeypatch):
    def kill() -> None:
        wait_for(lambda: lines(tmp_path / "fits") and "raw-pixels" in trials(tmp_path))
        for process in jobs(tmp_path):
            process.kill()

    monkeypatch.setattr("submitit.core.utils.pickle_load", lambda path: pytest.fail("results are not unpickled"))
    words = tuple({"held": "held,raw-pixels", "knn,waits": "knn"}.get(word, word) for word in held)
    thread = threading.Thread(target=kill)
    thread.start()
    done = here(*words)
    thread.join()
    assert done.returncode == 1, done.stderr
    assert trials(tmp_path)["raw-pixels"].status == "done"
    assert trials(tmp_path)["held"].status == "failed"
    assert "ended without a result; see " in trials(tmp_path)["held"].reason
    assert not submissions(tmp_path)
    (tmp_path / "go").touch()
    done = here(*words)
    assert done.returncode == 0, done.stderr
    assert trials(tmp_path)["held"].status == "done"
    assert trials(tmp_path)["held"].provenance["resumed"] is True
    assert len(lines(tmp_path / "fits")) == 2


def test_the_job_of_a_killed_driver_is_found_again(driver, here, held, tmp_path):
    first = driver()
    (tmp_path / "go").touch()
    wait_for(lambda: trials(tmp_path))
    first.kill()
    first.wait()
    (pickle,) = (tmp_path / ".reprbench" / "slurm" / "log").glob("*.pkl")
    names = [argument for code, argument, _ in pickletools.genops(pickle.read_bytes()) if "UNICODE" in code.name]
    assert {name for name in names if name.startswith("reprbench")} == {"reprbench.runner.executors.slurm_task"}
    assert re.search("held +0 .* wait +running on .* waits", here(*held, "--plan").stdout)
    thread = threading.Timer(1, (tmp_path / "evaluate").touch)
    thread.start()
    done = here(*held)
    thread.join()
    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path / "fits")) == 1
    wait_for(lambda: not jobs(tmp_path))
    assert [one.status for one in trials(tmp_path)["held"].evaluations] == ["done", "done"]
    assert not submissions(tmp_path)


def test_other_runs_wait_for_the_job_of_a_killed_driver(driver, here, held, tmp_path):
    first = driver()
    wait_for(lambda: (tmp_path / "fits").exists())
    first.kill()
    first.wait()
    local = held[: held.index("--executor")]
    thread = threading.Timer(2, lambda: [(tmp_path / name).touch() for name in ("go", "evaluate")])
    thread.start()
    done = here(*local)
    thread.join()
    assert done.returncode == 0, done.stderr
    assert re.search(r"held \(seed 0\): running on .*; waiting", done.stderr)
    assert len(lines(tmp_path / "fits")) == 1
    assert [one.status for one in trials(tmp_path)["held"].evaluations] == ["done", "done"]
    wait_for(lambda: not jobs(tmp_path))


def test_sigterm_ends_no_trial_and_ctrl_c_cancels_it(driver, tmp_path):
    """Slurm sends the first, to all processes of a job, before it ends or preempts one."""
    process = driver()
    wait_for(lambda: lines(tmp_path / "fits"))
    (job,) = jobs(tmp_path)
    (folder,) = submissions(tmp_path)
    for one in [job, *job.children(recursive=True)]:
        one.send_signal(signal.SIGTERM)
    wait_for(lambda: not (folder / slurm.CLAIM).exists())
    assert job.is_running()
    assert not (folder / "ended.json").exists()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert lines(tmp_path / "errors")[-1] == "interrupted; run the same command again to continue"
    assert trials(tmp_path)["held"].status == "interrupted"
    wait_for(lambda: not jobs(tmp_path))
    assert not submissions(tmp_path)
