"""What real processes keep of a trial that two of them run, or that is killed in one of its protocols."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from common import wait_for

from reprbench.report.table import make_tables
from reprbench.store import Store
from reprbench.trial import Trial

PROTOCOLS = """
from reprbench import Measurement, Outcome, Protocol, register_protocol

class Mine(Protocol):
    headlines = ("mean",)

    def evaluate(self, subject, seed):
        return Outcome([Measurement("mean", 1.0)])

@register_protocol("one")
class One(Mine): ...

@register_protocol("two")
class Two(Mine): ...

@register_protocol("raises")
class Raises(Mine):
    def evaluate(self, subject, seed): raise RuntimeError("no luck")

@register_protocol("waits")
class Waits(Mine):
    def evaluate(self, subject, seed):
        open("waiting", "w").write(str(os.getpid()))
        time.sleep(600)
"""


@pytest.fixture
def words(plugin) -> Callable[[str], list[str]]:
    path = plugin("mine.py", PROTOCOLS)
    return lambda names: [
        "run",
        "--plugin",
        str(path),
        "--methods",
        "raw-pixels",
        "--limit",
        "150",
        "--protocols",
        names,
    ]


def start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reprbench.cli.main", *words], cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def the_trial(folder: Path) -> Trial:
    (found,), problems = Store(folder / "results").read()
    assert problems == []
    return found


def statuses(folder: Path) -> list[tuple[str, str]]:
    return [(str(one.call), one.status) for one in the_trial(folder).evaluations]


def test_two_runs_that_evaluate_different_protocols_of_one_trial_both_keep_theirs(tmp_path, words):
    running = [start(tmp_path, words(names)) for names in ("one,raises", "two")]
    outputs = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [1, 0], outputs
    assert sorted(statuses(tmp_path)) == [("one", "done"), ("raises", "failed"), ("two", "done")]
    assert {str(one.call) for one in the_trial(tmp_path).protocols} == {"one", "raises", "two"}


def test_a_further_protocol_that_times_out_leaves_the_finished_ones(tmp_path, words, here):
    assert here(*words("one")).returncode == 0
    before = json.loads(next(tmp_path.glob("results/*/*/*/trial.json")).read_text())
    # Whether it gets as far as the protocol in that time does not matter: the fit was done before.
    done = here(*words("waits,two"), "--timeout", "10")
    assert done.returncode == 1, done.stderr
    assert statuses(tmp_path) == [("one", "done"), ("waits", "timeout")]
    after = the_trial(tmp_path)
    assert after.status == "done"
    assert after.evaluations[0].ended == before["evaluations"][0]["ended"]
    assert after.evaluations[1].reason == "took longer than --timeout 10 s"
    assert "waits: timeout: took longer" in done.stderr
    assert {str(table.protocol): table.rows[0].mean for table in make_tables([after])} == {
        "one": 1.0, "waits": None, "two": None,
    }  # fmt: skip
    assert "not evaluated: the trial ended in waits: timeout" in here("report").stdout
    plan = here(*words("one,waits,two"), "--plan").stdout
    assert "failed before (timeout)" in plan and "waits, two" in plan


@pytest.mark.parametrize("whom", ["parent", "trial"])
def test_kill_9_in_the_third_protocol_keeps_two(tmp_path, words, here, whom):
    process = start(tmp_path, words("one,two,waits"))
    wait_for((tmp_path / "waiting").exists)
    wait_for(lambda: list(tmp_path.glob("results/*/*/*/trial.json")) and len(statuses(tmp_path)) == 2)
    kept = [("one", "done"), ("two", "done")]
    assert statuses(tmp_path) == kept
    os.kill(process.pid if whom == "parent" else int((tmp_path / "waiting").read_text()), signal.SIGKILL)
    process.communicate(timeout=60)
    if whom == "trial":
        kept.append(("waits", "failed"))
        assert the_trial(tmp_path).evaluations[2].signal == "SIGKILL"
    assert statuses(tmp_path) == kept
    assert the_trial(tmp_path).status == "done"
    assert "evaluate" in (plan := here(*words("one,two,waits"), "--plan").stdout)
    assert "one" not in plan
