"""What the executor for Slurm makes of the states of jobs and of what earlier runs have left, without Slurm."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import job
from submitit.slurm.slurm import SlurmJob

from reprbench.errors import UserError
from reprbench.runner.executors import slurm, slurm_task
from reprbench.runner.executors.host import ordered
from reprbench.runner.executors.settings import ExecutorSettings
from reprbench.runner.executors.slurm import SlurmExecutor, SlurmTrial
from reprbench.runner.executors.slurm_task import SlurmTask
from reprbench.runner.limits import Limits

SETTINGS = ExecutorSettings(executor="slurm", cluster="local")


class Clock:
    """Says the time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A trial whose job has the state in `state`."""
    cancelled: list[bool] = []
    paths = SimpleNamespace(stderr=Path("log"), folder=tmp_path)
    found = SlurmTrial(
        tmp_path / "job",
        SimpleNamespace(job_id="7", paths=paths, cancel=lambda check: cancelled.append(check)),
        lambda one: None,
    )
    found.clock, found.state, found.cancelled = Clock(), "PENDING", cancelled
    monkeypatch.setattr(slurm, "time", found.clock)
    monkeypatch.setattr(slurm, "_state", lambda job: found.state)
    return found


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("OUT_OF_MEMORY", "out-of-memory"),
        ("TIMEOUT", "timeout"),
        ("CANCELLED", "interrupted"),
        ("NODE_FAIL", "interrupted"),
        ("PREEMPTED", "interrupted"),
        ("FAILED", "failed"),
        ("COMPLETED", "failed"),
    ],
)
def test_a_job_that_ended_without_a_result_is_lost_after_a_while(trial, state, status):
    assert not trial.ended()
    trial.state = state
    trial.clock.now += 3600
    assert not trial.ended()
    trial.clock.now += slurm.LOST_SECONDS + 1
    assert trial.ended()
    assert trial.result()[0].status == status


def test_a_job_that_was_requeued_is_not_lost(trial):
    for state in ("NODE_FAIL", "PENDING", "PREEMPTED", "REQUEUED", "RUNNING"):
        trial.state = state
        trial.clock.now += slurm.LOST_SECONDS + 1
        assert not trial.ended()


def test_a_job_that_slurm_does_not_know_yet_is_waited_for(trial):
    trial.state = "UNKNOWN"
    assert not trial.ended()
    trial.clock.now += slurm.UNKNOWN_SECONDS - 1
    assert not trial.ended()
    trial.clock.now += 2
    assert trial.ended()
    trial.close()
    assert trial.cancelled == [False]
    assert "(7, UNKNOWN) ended without a result; see log" in trial.result()[0].reason


def test_slurm_is_asked_for_all_jobs_together(monkeypatch):
    asked = []

    def sacct(command, shell):
        asked.append(command)
        return b"JobID|State|NodeList\n71|SUSPENDED|a\n71.batch|RUNNING|a\n72|CANCELLED by 0|b\n"

    watcher = slurm._Watcher(delay_s=slurm.STATE_SECONDS)
    monkeypatch.setattr(slurm, "_watcher", watcher)
    monkeypatch.setattr("submitit.core.core.subprocess.check_output", sacct)
    jobs = [SlurmJob("log", name) for name in ("71", "72", "73")]
    for one in jobs:
        watcher.register_job(one.job_id)
    assert [slurm._state(one) for one in jobs] == ["SUSPENDED", "CANCELLED", "UNKNOWN"]
    assert len(asked) == 1
    watcher.update()
    assert {"71", "72", "73"} <= set(asked[1])


def test_what_nobody_asked_for_again_is_removed(tmp_path):
    folder = tmp_path / "slurm"
    for name in ("old/order.json", "new/order.json", "log/old_0_log.err", "log/new_0_log.err"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    before = time.time() - slurm.KEPT_SECONDS - 60
    for name in ("old", "log/old_0_log.err", "log"):
        os.utime(folder / name, (before, before))
    SlurmExecutor(SETTINGS, Limits(), "cpu", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "log", "new"]
    assert [path.name for path in (folder / "log").iterdir()] == ["new_0_log.err"]


@pytest.mark.parametrize("parameters", [{"slurm_partitoin": "gpu"}, {"timeout_min": "long"}, {"part": 1}])
def test_a_wrong_parameter_is_one_line(tmp_path, parameters):
    settings = SETTINGS.model_copy(update={"slurm": parameters})
    with pytest.raises(UserError, match=f"^--executor slurm: .*{next(iter(parameters))}.*$"):
        SlurmExecutor(settings, Limits(), "cpu", tmp_path)


def test_a_job_that_slurm_refuses_is_a_users_mistake(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("sbatch: error: invalid partition")

    monkeypatch.setattr("submitit.AutoExecutor.submit", refuse)
    with pytest.raises(UserError, match="Slurm refused it: sbatch: error: invalid partition"):
        SlurmExecutor(SETTINGS, Limits(), "cpu", tmp_path).submit(job(SimpleNamespace(digest="d"), tmp_path))


def test_a_job_waits_for_the_one_that_runs_its_trial(tmp_path, monkeypatch):
    asked = job(SimpleNamespace(digest="d"), tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / slurm.ORDER).write_bytes(ordered(asked, None, None, "cpu", 1))
    begun = []

    def looks(order):
        begun.append(order)
        if len(begun) == 1:
            SlurmTask()(second)
        yield {}

    def sleep(seconds: float) -> None:
        assert len(begun) == 1
        (second / "ended.json").touch()

    monkeypatch.setattr(slurm_task, "looks", looks)
    monkeypatch.setattr(slurm_task.time, "sleep", sleep)
    SlurmTask()(first)
    assert len(begun) == 1
    assert not list(tmp_path.rglob("*.claim"))


def test_a_job_whose_folder_was_removed_ends(tmp_path, monkeypatch):
    (tmp_path / slurm.ORDER).write_bytes(b"{}")

    def looks(order):
        yield {"progress.json": b"{}"}
        (tmp_path / slurm.ORDER).unlink()
        yield {"fit.json": b"{}"}
        pytest.fail("it went on")

    monkeypatch.setattr(slurm_task, "looks", looks)
    SlurmTask()(tmp_path)
    assert not (tmp_path / "fit.json").exists()
