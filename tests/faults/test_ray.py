"""Runs on a cluster of Ray whose machines are simulated on this one; a machine dies in the middle of a fit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common import FAST, wait_for
from executors import HELD, features, lines, numbers, trials

from reprbench.runner.executors import ray as executor  # noqa: F401  (before Ray: it turns usage reports off)

pytestmark = pytest.mark.slow

ON_CPU = ("--device", "cpu")
CPUS = 4
"""Of a machine, and the threads of a trial that takes all of them."""


class Machines:
    """A cluster of two machines, which each say in WHICH who they are; a and b look for data in a folder of theirs."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.data = folder / "data-of-the-machines"
        settings = {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": settings}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: dict[str, Any] = {}
        self.complete()

    def complete(self) -> None:
        """Add the machines that are not there."""
        for name in {"a", "b"} - set(self._nodes):
            variables = {"WHICH": name, "REPRBENCH_DATA": str(self.data)}
            has = {"a": {"memory": 3 * 2**30}, "b": {"memory": 2**30, "num_gpus": 4}}[name]
            self._nodes[name] = self._cluster.add_node(num_cpus=CPUS, env_vars=variables, **has)

    def kill(self, name: str) -> None:
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()

    def settings(self, path: Path, more: str = "") -> str:
        path.write_text(f"executor: ray\naddress: {self._cluster.address}\n{more}")
        return str(path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Machines]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(CPUS))
        made = Machines(tmp_path_factory.mktemp("cluster"))
        yield made
        made.close()


@pytest.fixture
def machines(cluster) -> Machines:
    cluster.complete()
    shutil.rmtree(cluster.data, ignore_errors=True)
    return cluster


@pytest.fixture
def held(tmp_path, plugin) -> tuple[str, ...]:
    """The words of a run of the method ``held``."""
    path = plugin("held.py", HELD.format(folder=str(tmp_path)))
    return ("run", "--plugin", str(path), "--methods", "held", "--protocols", "knn", "--limit", "150", *ON_CPU)


def test_two_machines_give_the_bits_of_one(machines, here, tmp_path):
    words = ("run", "--methods", "ae,pca", "--epochs", "1", "--protocols", "linear-svm,knn", *FAST, *ON_CPU)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    # With as many threads: those of OMP_NUM_THREADS, and of the CPUs of a machine.
    local = here(*words, cwd=tmp_path / "one")
    # Only machine a has the memory, and only b has GPUs.
    settings = f"resources: {{cpus: {CPUS}}}\nrows: {{pca: {{memory: 2GB}}, ae: {{gpus: 1}}}}\n"
    there = here(*words, "--executor", machines.settings(tmp_path / "ray.yaml", settings), cwd=tmp_path / "two")
    assert (local.returncode, there.returncode) == (0, 0), there.stderr
    assert numbers(tmp_path / "two") == numbers(tmp_path / "one")
    assert features(tmp_path / "two") == features(tmp_path / "one") != {}
    assert {trial.provenance["threads"] for trial in trials(tmp_path / "two").values()} == {CPUS}


def test_no_two_trials_get_one_gpu(machines, here, held, tmp_path):
    methods = ",".join(f"timed[number={number}]" for number in range(6))
    settings = machines.settings(tmp_path / "ray.yaml", "resources: {gpus: 1}")
    done = here(*(methods if word == "held" else word for word in held), "--executor", settings)
    assert done.returncode == 0, done.stderr
    seen = [(device, float(begun), float(ended)) for device, begun, ended in map(str.split, lines(tmp_path / "times"))]
    assert len(seen) == 6
    assert {device for device, _, _ in seen} <= {"0", "1", "2", "3"}
    for one, other in combinations(seen, 2):
        assert one[0] != other[0] or one[1] >= other[2] or other[1] >= one[2]


def test_data_are_those_of_the_machine(machines, here, held, tmp_path):
    def write(folder: Path, value: int) -> None:
        folder.mkdir()
        images, labels = np.full((40, 1, 8, 8), value, np.uint8), np.arange(40) % 2
        np.savez(folder / "birds.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)

    write(tmp_path / "mine", 1)
    write(machines.data, 2)
    words = ("--dataset", "npz[path=birds.npz]", "--data-dir", str(tmp_path / "mine"))
    done = here(*held, *words, "--executor", machines.settings(tmp_path / "ray.yaml"))
    assert done.returncode == 1, done.stderr
    where = f"on {os.uname().nodename} are not those that the run was planned with"
    assert where in trials(tmp_path)["held"].reason


def test_a_driver_that_ends_loses_nothing(machines, here, held, tmp_path):
    methods = ["raw-pixels,held" if word == "held" else word for word in held]
    words = (*methods, "--executor", machines.settings(tmp_path / "ray.yaml"))

    def begin(fits: int) -> subprocess.Popen[bytes]:
        with (tmp_path / f"errors {fits}").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "reprbench.cli.main", *words], cwd=tmp_path, stderr=errors
            )
        wait_for(lambda: len(lines(tmp_path / "fits")) == fits and "raw-pixels" in trials(tmp_path))
        return process

    interrupted = begin(1)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(timeout=120) == 130
    assert trials(tmp_path)["held"].status == "interrupted"
    # Nothing of Ray's is among the lines.
    assert {line.partition(" (seed 0): ")[0] for line in lines(tmp_path / "errors 1")} == {
        "raw-pixels", "held", "[1/2] raw-pixels", "[2/2] held", "interrupted; run the same command again to continue",
    }  # fmt: skip
    killed = begin(2)
    killed.kill()
    killed.wait()
    (tmp_path / "go").touch()
    done = here(*words)
    assert done.returncode == 0, done.stderr
    assert "[1/1] held (seed 0): done" in done.stderr
    assert {trial.status for trial in trials(tmp_path).values()} == {"done"}
    # Ray takes a while to end what a dead driver has submitted; until then, that may finish its fit for the next one.
    assert 2 <= len(lines(tmp_path / "fits")) <= 3


def test_a_machine_that_dies_costs_no_row(machines, here, held, tmp_path):
    def kill() -> None:
        wait_for(lambda: lines(tmp_path / "fits") and list(tmp_path.glob(".reprbench/fits/*/*/checkpoint.*")))
        machines.kill(lines(tmp_path / "fits")[0])
        wait_for(lambda: len(lines(tmp_path / "fits")) > 1)
        (tmp_path / "go").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    done = here(*held, "--executor", machines.settings(tmp_path / "ray.yaml"))
    thread.join()
    assert done.returncode == 0, done.stderr
    assert sorted(lines(tmp_path / "fits")) == ["a", "b"]
    assert trials(tmp_path)["held"].provenance["resumed"] is True
