from __future__ import annotations

from functools import partial

import pytest

from reprbench.api import running
from reprbench.runner.executors import local
from reprbench.runner.inventory import Inventory

ASK = ("run", "--methods", "pca", "--limit", "60", "--plan")


@pytest.fixture
def four(monkeypatch):
    """Let this machine have four CUDA devices."""
    found = Inventory(("NVIDIA H100",) * 4)
    monkeypatch.setattr(running, "choose_devices", partial(running.choose_devices, find=lambda: found))


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), "at most 4 at the same time, on cuda:0, cuda:1, cuda:2, cuda:3"),
        (("--device", "cuda:3,cuda:1", "--jobs-per-device", "2"), "at most 4 at the same time, on cuda:3, cuda:1"),
        (("--device", "cuda", "--jobs", "2"), "at most 2 at the same time, on cuda:0, cuda:1, cuda:2, cuda:3"),
        (("--device", "cpu", "--jobs", "2"), "1 of 1 trials to run\n"),
    ],
)
def test_the_plan_says_on_which_devices(here, four, words, shown):
    done = here(*ASK, *words)
    assert done.returncode == 0
    assert shown in done.stdout
    assert done.stderr == ""


def test_fewer_trials_at_the_same_time_than_jobs_are_a_warning(here, four):
    done = here(*ASK, "--device", "cuda:2", "--jobs", "6")
    assert "--jobs 6: only 1 at the same time, 1 on each of 1 CUDA device; --jobs-per-device 6 lets" in done.stderr


def test_a_plan_with_a_device_that_is_not_there_is_a_mistake(here, four, monkeypatch):
    monkeypatch.setattr(local, "TrialProcess", lambda *_, **__: pytest.fail("started a trial"))
    for words in (ASK, ASK[:-1]):
        done = here(*words, "--device", "cuda:1,cuda:4")
        assert done.returncode == 2
        assert done.stderr.startswith("Error: --device cuda:1,cuda:4: there is no cuda:4; there are: cuda:0 (NVIDIA")
        assert done.stderr.count("\n") == 1
