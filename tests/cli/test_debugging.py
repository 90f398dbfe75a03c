"""``reprbench run --debug`` as a user types it."""

from __future__ import annotations

import json
import os
import signal

import pytest
from common import FAST

TALKING = """
@register("talking")
class Talking(Flat):
    what: str = ""

    def fit(self, images, run):
        super().fit(images, run)
        print("the process is", os.getpid())
        breakpoint()
        if self.what == "fails":
            raise ValueError("it broke")
        if self.what == "interrupted":
            os.kill(os.getpid(), __import__("signal").SIGINT)
"""


@pytest.fixture
def debug(here, plugin, monkeypatch):
    """Return a function that debugs a call of the method, and what breakpoint() called."""
    stops: list[str] = []
    monkeypatch.setattr("sys.breakpointhook", lambda: stops.append("stopped"))
    path = str(plugin("talking.py", TALKING))

    def run(call: str, *words: str):
        stops.clear()
        return here("run", "--debug", "--plugin", path, "--methods", call, *FAST, *words), stops

    return run


def test_the_trial_runs_in_this_process(debug, here, tmp_path):
    import torch

    threads, before = torch.get_num_threads(), dict(os.environ)
    done, stops = debug("talking")
    assert done.returncode == 0, done.stderr
    assert f"the process is {os.getpid()}\n" in done.stdout
    assert stops == ["stopped"]
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert {name for name in os.environ if os.environ[name] != before.get(name)} <= {"PYTEST_CURRENT_TEST"}
    (folder,) = tmp_path.glob("results/adhoc/talking/*")
    assert sorted(path.name for path in folder.iterdir()) == ["history.csv", "trial.json"]
    again, stops = debug("talking")
    assert (again.returncode, stops) == (0, [])


def test_a_failure_shows_its_traceback(debug, tmp_path):
    done, _ = debug("talking[what=fails]")
    assert done.returncode == 1
    assert "failed: ValueError: it broke\n" in done.stderr
    assert "Traceback (most recent call last)" in done.stderr
    assert 'raise ValueError("it broke")\n' in done.stderr


def test_it_can_be_interrupted(debug, here):
    handler = signal.getsignal(signal.SIGINT)
    done, _ = debug("talking[what=interrupted]")
    assert done.returncode == 130
    assert "interrupted: it was interrupted with Ctrl-C" in done.stderr
    assert signal.getsignal(signal.SIGINT) is handler


ENDING = """
import os, signal
from reprbench import Outcome, Protocol, register_protocol

@register_protocol("ending")
class Ending(Protocol):
    headlines = ("metric",)
    while_planned: bool = False

    def reads(self, dataset, supervised):
        if self.while_planned:
            os.kill(os.getpid(), signal.SIGINT)
        return []

    def evaluate(self, subject, seed):
        os.kill(os.getpid(), signal.SIGINT)
        return Outcome()

@register_protocol("following")
class Following(Protocol):
    headlines = ("metric",)

    def evaluate(self, subject, seed):
        print("the next one runs")
        return Outcome()
"""


@pytest.mark.parametrize("protocol", ["ending", "ending[while_planned=true]"])
def test_an_interruption_of_one_protocol_ends_the_others_too(here, plugin, tmp_path, protocol):
    words = ("--plugin", str(plugin("ending.py", ENDING)), "--limit", "60")
    done = here("run", "--debug", "--methods", "raw-pixels", "--protocols", f"{protocol},following", *words)
    assert done.returncode == 130
    assert "the next one runs" not in done.stdout
    (path,) = tmp_path.glob("results/adhoc/raw-pixels/*/trial.json")
    trial = json.loads(path.read_text())
    statuses = [trial["status"], *(evaluation["status"] for evaluation in trial["evaluations"])]
    assert "interrupted" in statuses
    assert set(statuses) <= {"done", "interrupted"}
    assert "done" not in statuses[1:]


def test_only_one_trial_can_be_debugged(debug):
    done, stops = debug("talking", "--seeds", "0,1")
    assert (done.returncode, stops) == (2, [])
    assert "--debug runs one trial, and 2 are to be run; name one method" in done.stderr


@pytest.mark.parametrize(
    ("words", "wrong"),
    [(["--timeout", "9"], "--timeout"), (["--executor", "ray", "--memory", "1GB"], "--executor and --memory")],
)
def test_limits_and_clusters_are_for_processes(debug, words, wrong):
    done, _ = debug("talking", *words)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(f"without limits; leave out {wrong}")
