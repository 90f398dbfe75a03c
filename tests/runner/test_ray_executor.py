"""The executor for Ray, without Ray."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import job
from msgspec.structs import replace

from reprbench.errors import UserError
from reprbench.registry import Entry
from reprbench.runner.executors import ray as on_ray
from reprbench.runner.executors.settings import ExecutorSettings
from reprbench.runner.job import Ended, Job, TrialResult
from reprbench.runner.limits import Limits
from reprbench.trial import to_json

DATA = SimpleNamespace(digest="d")
ENDED = json.dumps(to_json(Ended(TrialResult(status="done"), None))).encode()


class Stream:
    """What a task gives: files, or the exceptions that Ray raises."""

    def __init__(self, *given: object) -> None:
        self._given = iter(given)

    def __next__(self) -> object:
        return next(self._given)


@pytest.fixture
def trial_on_ray(monkeypatch):
    def get(given: object) -> object:
        if isinstance(given, Exception):
            raise given
        return given

    cancelled = []
    monkeypatch.setattr(on_ray.ray, "wait", lambda streams, timeout: (streams, []))
    monkeypatch.setattr(on_ray.ray, "get", get)
    monkeypatch.setattr(on_ray.ray, "cancel", lambda stream, force: cancelled.append(stream))
    made = []

    def make(*streams: Stream, retries: int = 0) -> on_ray.RayTrial:
        left = iter(streams)
        made.append(on_ray.RayTrial(SimpleNamespace(remote=lambda order: next(left)), b"", retries, lambda one: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def on_two_machines(monkeypatch):
    """Return what makes an executor on a cluster that starts nothing, and the options of the tasks submitted to it."""
    options: list[dict[str, object]] = []

    def keep(**given: object) -> SimpleNamespace:
        options.append(given)
        return SimpleNamespace(remote=lambda order: Stream())

    nodes = [{"CPU": 8.0, "memory": 2.0**33}, {"CPU": 4.0, "GPU": 2.0, "memory": 2.0**33}, {"CPU": 64.0}]
    found = [{"Alive": node != nodes[2], "Resources": node} for node in nodes]
    monkeypatch.setattr(on_ray.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(on_ray.ray, "nodes", lambda: found)
    monkeypatch.setattr(on_ray.ray, "remote", lambda function: SimpleNamespace(options=keep))
    monkeypatch.setattr(on_ray.ray, "cancel", lambda stream, force: None)
    return lambda settings, limits, device: on_ray.RayExecutor(settings, limits, device), options


@pytest.mark.parametrize(
    ("resources", "limits", "device", "needs", "warned"),
    [
        ({}, Limits(), "auto", {"num_cpus": 1, "num_gpus": 1.0}, ""),
        ({}, Limits(memory=2**30), "cpu", {"num_cpus": 1, "num_gpus": 0.0, "memory": 2**30}, ""),
        ({"cpus": 8}, Limits(), "cpu", {"num_cpus": 8, "num_gpus": 0.0}, ""),
        ({"cpus": 8}, Limits(), "cuda", {"num_cpus": 8, "num_gpus": 1.0}, "has cpus: 8, gpus: 1; it waits"),
        ({"cpus": 64, "gpus": 0}, Limits(), "cuda", {"num_cpus": 64, "num_gpus": 0}, "has cpus: 64, gpus: 0; it waits"),
        ({"gpus": 0.5, "memory": "4GB"}, Limits(memory=1), "auto", {"num_gpus": 0.5, "memory": 4 * 2**30}, ""),
    ],
)
def test_what_a_trial_asks_of_ray(on_two_machines, tmp_path, resources, limits, device, needs, warned):
    make, options = on_two_machines
    executor = make(ExecutorSettings(executor="ray", resources=resources), limits, device)
    trial = executor.submit(installed(tmp_path))
    trial.close()
    assert needs.items() <= options[0].items()
    assert options[0]["max_retries"] == 0
    warnings = executor.warnings()
    assert warned in "".join(warnings)
    assert bool(warnings) == bool(warned)


def test_no_more_trials_are_submitted_than_jobs(on_two_machines, tmp_path):
    executor = on_two_machines[0](ExecutorSettings(executor="ray"), Limits(jobs=1), "cpu")
    assert executor.has_room()
    trial = executor.submit(installed(tmp_path))
    assert not executor.has_room()
    trial.close()
    assert executor.has_room()


def installed(cache: Path) -> Job:
    return replace(job(DATA, cache), entry=Entry("x", "entry point", "somewhere:X"))


def test_a_plugin_file_that_is_gone_is_named(on_two_machines, tmp_path):
    executor = on_two_machines[0](ExecutorSettings(executor="ray"), Limits(), "cpu")
    with pytest.raises(UserError, match="x.py: cannot be read: no such file or directory"):
        executor.submit(job(DATA, tmp_path))


def died() -> Stream:
    return Stream({"progress.json": b"{}"}, on_ray.exceptions.NodeDiedError("it died"))


def test_a_trial_is_tried_again_as_often_as_it_should(trial_on_ray):
    trial = trial_on_ray(died(), died(), Stream({"ended.json": ENDED}), retries=2)
    while not trial.ended():
        pass
    assert [one.what for one in trial.messages()] == [
        "waiting for a machine", "its machine died; try 2", "its machine died; try 3",
    ]  # fmt: skip
    assert trial.result()[0].status == "done"
    trial = trial_on_ray(died(), died(), Stream({"ended.json": ENDED}), retries=1)
    while not trial.ended():
        pass
    assert trial.result()[0].status == "interrupted"
    assert trial.result()[0].reason == "its machine or its process there died 2 times: NodeDiedError"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (on_ray.exceptions.OutOfMemoryError("it was full"), "out-of-memory"),
        (on_ray.exceptions.TaskCancelledError(), "interrupted"),
        (on_ray.exceptions.RayError("it is wrong"), "failed"),
        ({}, "failed"),
    ],
)
def test_nothing_else_is_tried_again(trial_on_ray, given, status):
    trial = trial_on_ray(Stream(given), Stream({"ended.json": ENDED}), retries=3)
    assert trial.ended()
    assert trial.result()[0].status == status


def test_ray_does_not_take_over_the_handler_of_sigterm(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(on_ray.ray, "init", lambda **_: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    on_ray._connect(ExecutorSettings(executor="ray"))
    assert signal.getsignal(signal.SIGTERM) is before
