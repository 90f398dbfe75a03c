from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_plan import spec

from reprbench.errors import UserError
from reprbench.runner import schedule
from reprbench.runner.devices import CPU, Slots, choose_devices, trials_at_once
from reprbench.runner.executors import local
from reprbench.runner.executors.local import LocalExecutor
from reprbench.runner.inventory import Inventory
from reprbench.runner.job import TrialResult
from reprbench.runner.limits import Limits
from reprbench.runner.plan import Planned
from reprbench.runner.schedule import Folders, Schedule
from reprbench.store import Store

FOUR = ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
NAMES = ("NVIDIA H100",) * 3 + ("NVIDIA H200",)
NONE = Inventory(problem="there is no CUDA driver on this machine")
BROKEN = Inventory(problem="the driver is too old", failed=True)


# -- which devices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "found", "chosen"),
    [
        ("auto", Inventory(NAMES), FOUR),
        ("auto", NONE, CPU),
        ("auto", BROKEN, CPU),
        ("cuda", Inventory(NAMES), FOUR),
        ("cuda:2", Inventory(NAMES), ("cuda:2",)),
        ("cuda:3,cuda:0", Inventory(NAMES), ("cuda:3", "cuda:0")),
    ],
)
def test_a_run_has_the_devices_that_are_asked_for(asked, found, chosen):
    assert choose_devices(asked, lambda: found) == chosen


def test_the_cpu_needs_no_look_at_devices():
    assert choose_devices("cpu", lambda: pytest.fail("looked for devices")) == CPU


@pytest.mark.parametrize(
    ("asked", "found", "message"),
    [
        ("cuda", NONE, "--device cuda: there is no CUDA driver on this machine; use --device cpu"),
        ("cuda:0", BROKEN, "--device cuda:0: the driver is too old; use --device cpu"),
        ("cuda:0,cuda:4", Inventory(NAMES[2:]), "there is no cuda:4; there are: cuda:0 (NVIDIA H100), cuda:1 (NVIDIA "),
    ],
)
def test_a_device_that_is_not_there_is_a_mistake(asked, found, message):
    with pytest.raises(UserError) as error:
        choose_devices(asked, lambda: found)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_auto_says_why_it_is_the_cpu_only_if_something_is_wrong():
    said = []
    for found in (NONE, Inventory(NAMES), BROKEN):
        choose_devices("auto", lambda found=found: found, said.append)
    assert said == ["--device auto is the CPU: the driver is too old"]


# -- places for trials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "devices", "each", "at_once"),
    [
        (None, CPU, 1, 1), (3, CPU, 1, 3), (3, CPU, 2, 3),
        (None, FOUR, 1, 4), (None, FOUR, 2, 8), (1, FOUR, 2, 1), (6, FOUR, 1, 4), (6, FOUR, 2, 6), (4, FOUR[:1], 4, 4),
    ],
)  # fmt: skip
def test_jobs_and_places_limit_the_trials_at_the_same_time(jobs, devices, each, at_once):
    assert trials_at_once(jobs, devices, each) == at_once


def test_places_are_handed_out_evenly_and_again_when_they_are_free():
    slots, taken = Slots(("cuda:1", "cuda:0"), 3), []
    while device := slots.free():
        slots.take(device)
        taken.append(device)
    assert taken == ["cuda:1", "cuda:0", "cuda:1"]
    slots.release("cuda:0")
    assert slots.free() == "cuda:0"


# -- trials on devices ------------------------------------------------------------------------------------------------


class Machine:
    """Devices on which trials run that do what their labels say."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_at_once = 0
        self.threads: set[int] = set()

    def process(self, job, timeout, memory, closed):
        if job.parameters["label"].startswith("no start"):
            raise OSError(28, "No space left on device", "somewhere/job.json")
        return Trial(self, job, closed)


class Trial:
    """Takes some looks until it has ended."""

    def __init__(self, machine: Machine, job, closed) -> None:
        self.closed = closed
        self.machine, self.job, self.label, self.looks = machine, job, job.parameters["label"], 3
        self.path = Path("nowhere")
        self.outcome, self.signal = TrialResult(status="done"), None
        machine.running[job.device] += 1
        machine.most |= machine.running
        machine.most_at_once = max(machine.most_at_once, machine.running.total())
        machine.threads.add(job.threads)

    def messages(self):
        if self.label.startswith("bad message"):
            raise RuntimeError("no message")
        return []

    def ended(self) -> bool:
        self.looks -= 1
        if self.looks == 0 and self.label.startswith("timeout"):
            self.end("timeout", "too long")
        if self.looks == 0 and self.label.startswith("killed"):
            self.outcome, self.signal = TrialResult(status="failed", reason="killed by SIGKILL"), "SIGKILL"
        return self.looks <= 0

    def end(self, status, reason) -> None:
        self.outcome = TrialResult(status=status, reason=reason)

    def result(self):
        if self.label.startswith("bad result"):
            raise RuntimeError("no result")
        return self.outcome, self.signal

    def files(self):
        return {}

    def close(self) -> None:
        self.machine.running[self.job.device] -= 1
        self.closed()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run trials with these labels; return the machine and the statuses by label."""
    machine, naps = Machine(), []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        assert len(naps) < 1000, "a trial waits for a place that nobody frees"

    monkeypatch.setattr(local, "TrialProcess", machine.process)
    monkeypatch.setattr(schedule, "remove_abandoned", lambda: None)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(sleep=sleep))

    def start(labels: list[str], **limits):
        work = [planned(label) for label in labels]
        listener = SimpleNamespace(started=print, progressed=print, finished=print, waits=print, warned=print)
        executor = LocalExecutor(Limits(**limits))
        made = Schedule(Store(tmp_path / "results"), Folders([], tmp_path / "cache"), executor, listener)
        ended = made.run(work)
        assert machine.running.total() == 0
        return machine, {trial.label: trial.status for trial in ended}

    return start


def planned(label: str) -> Planned:
    asked = spec(label=label, method={"parameters": {"label": label}})
    return Planned(asked, "run", "new", asked.protocols)


SIX = [f"trial {number}" for number in range(6)]


@pytest.mark.parametrize("jobs", [None, 4, 100])
def test_never_two_trials_are_on_one_of_four_devices(run, jobs):
    machine, ended = run(SIX, jobs=jobs, devices=FOUR)
    assert machine.most == dict.fromkeys(FOUR, 1)
    assert set(ended) == set(SIX)


def test_two_trials_share_a_device_if_they_may(run):
    machine, ended = run(SIX, devices=FOUR[:2], jobs_per_device=2)
    assert machine.most == {"cuda:0": 2, "cuda:1": 2}
    assert len(ended) == 6


def test_jobs_limit_the_trials_on_many_devices(run, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "12")
    machine, _ = run(SIX, jobs=3, devices=FOUR)
    assert machine.most_at_once == 3
    assert machine.threads == {4}


def test_trials_on_the_cpu_are_limited_by_jobs_alone(run):
    machine, _ = run(SIX, jobs=3)
    assert machine.most == {"cpu": 3}


@pytest.mark.parametrize("how", ["timeout", "killed", "bad message", "bad result", "no start"])
@pytest.mark.parametrize(("devices", "each"), [(FOUR[:1], 1), (FOUR[:1], 2), (FOUR[:2], 1)])
def test_a_place_is_free_again_however_a_trial_ends(run, how, devices, each):
    labels = [f"{how} {number}" for number in range(5)] + ["trial"]
    machine, ended = run(labels, devices=devices, jobs_per_device=each)
    assert set(ended) == set(labels)
    assert machine.most == dict.fromkeys(devices, each if how != "no start" else 1) or how == "no start"
    assert ended["trial"] != ended[f"{how} 0"]
