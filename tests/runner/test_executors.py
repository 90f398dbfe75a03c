"""The parts of executors that need no cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace as changed
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import job, protocol_job
from msgspec.structs import replace
from test_plan import spec, stored

from reprbench.cli.run import make_plan
from reprbench.errors import UserError
from reprbench.protocols.knn import KNN
from reprbench.registry import Entry, discover
from reprbench.runner import schedule
from reprbench.runner.estimate import estimate
from reprbench.runner.executors import choose, host, mirror
from reprbench.runner.executors import ray as on_ray
from reprbench.runner.executors.host import decoded, looks, ordered
from reprbench.runner.executors.mirror import Mirror
from reprbench.runner.executors.settings import ExecutorSettings, Resources, read_settings
from reprbench.runner.job import Ended, TrialResult
from reprbench.runner.limits import Limits
from reprbench.runner.plan import Planned
from reprbench.runner.request import Overrides
from reprbench.runner.schedule import Folders
from reprbench.spec import parse_call
from reprbench.store import Store
from reprbench.trial import Cost, to_json

DATA = SimpleNamespace(digest="d")
ENDED = json.dumps(to_json(Ended(TrialResult(status="done"), None))).encode()


# -- settings ---------------------------------------------------------------------------------------------------------


def test_a_row_has_what_its_label_or_method_says_and_else_what_all_have(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("executor: ray\nresources: {cpus: 4, memory: 2GB}\nrows: {big: {gpus: 1}, pca: {memory: 8GB}}")
    settings = read_settings(str(path))
    assert settings.resources_of("ae", "ae") == Resources(cpus=4, memory="2GB")
    assert settings.resources_of("big", "ae") == Resources(cpus=4, memory="2GB", gpus=1)
    assert settings.resources_of("PCA, 64", "pca") == Resources(cpus=4, memory="8GB")


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("retries: 3", ["executor: Field required"]),
        ("- ray", ["expected a mapping with the entry executor"]),
        ("executor: ray\nretrys: 3", ["unknown 'retrys'. Did you mean 'retries'?"]),
        ("executor: ray\nresources: {cpu: 3}", ["unknown 'resources.cpu'. Did you mean 'cpus'?"]),
        (
            "executor: ray\nrows: {a: {gpus: -1, memory: 3}}",
            ["rows.a.gpus: Input should be greater than or equal to 0, not -1", "rows.a.memory: expected an amount"],
        ),
        ("executor: ray\naddress: ray://x:1", ["address: expected auto, or HOST:PORT of the cluster's head, not 'ray"]),
        ("executor: ray\nslurm: {timeout_min: 3}", ["slurm is for slurm, not for ray"]),
        ("executor: local\nretries: 3", ["retries is for ray and slurm, not for local"]),
        ("executor: slurm\nresources: {gpus: 0.5}", ["resources.gpus: parts of a GPU, like 0.5, are for ray"]),
    ],
)
def test_mistakes_in_the_file_are_lines(tmp_path, text, mistakes):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_settings(str(path))
    lines = str(raised.value).splitlines()
    assert len(lines) == len(mistakes)
    assert all(line.startswith(f"--executor {path}: {part}") for line, part in zip(lines, mistakes, strict=True))


def test_an_executor_is_a_name_or_a_file():
    with pytest.raises(UserError, match="--executor 'slrum': expected local, ray, slurm, or the path of a YAML file"):
        read_settings("slrum")
    with pytest.raises(UserError, match="chooses devices itself; say cuda"):
        choose.check_device(ExecutorSettings(executor="ray"), "cuda:0")


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_extra_that_is_missing_is_named(tmp_path, name, module):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from reprbench.cli.main import main\n"
        f"sys.argv = ['reprbench', 'run', '--methods', 'pca', '--limit', '60', '--executor', {name!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"install it with: pip install 'reprbench[{name}]'\n" in done.stderr


def test_where_there_is_no_slurm_a_line_says_so(here, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    done = here("run", "--methods", "pca", "--limit", "60", "--executor", "slurm")
    assert done.returncode == 2
    assert done.stderr.startswith('Error: --executor slurm: Could not detect "srun"')
    assert done.stderr.count("\n") == 1


def test_where_there_is_no_cluster_a_line_says_so(here, tmp_path):
    (tmp_path / "ray.yaml").write_text("executor: ray\naddress: 127.0.0.1:1\n")
    done = here("run", "--methods", "pca", "--limit", "60", "--executor", "ray.yaml")
    assert done.returncode == 2
    assert "--executor ray: no cluster at 127.0.0.1:1: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_plan_starts_no_cluster(here, monkeypatch):
    monkeypatch.setattr(choose, "make_executor", lambda *_: pytest.fail("it was started"))
    done = here("run", "--methods", "pca", "--limit", "60", "--plan", "--executor", "ray")
    assert done.returncode == 0
    assert done.stdout.endswith("1 of 1 trials to run\ndevice-hours unknown: there are no earlier trials like these\n")


# -- estimates --------------------------------------------------------------------------------------------------------


def test_device_hours_are_those_of_the_latest_trials_like_these():
    known, other_seed, unknown = spec(seed=1), spec(seed=2), spec(method={"parameters": {"width": 9}})
    # Each of the two evaluations took a second.
    first, second = (stored(known, ended=number) for number in "12")
    earlier = [replace(first, cost=Cost(fit_seconds=9)), replace(second, cost=Cost(fit_seconds=1799))]
    work = [Planned(one, "run", "new", one.protocols) for one in (known, other_seed, unknown)]
    assert str(estimate(work, earlier)) == "about 1 device-hours, by earlier trials; 1 of 3 trials unknown"
    evaluated = changed(work[0], action="evaluate")
    kept = changed(work[2], action="keep")
    assert str(estimate([evaluated, kept], earlier)) == "about 0.000278 device-hours, by earlier trials"


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def planned_job(tmp_path, plugin):
    """Return the job of a method of a plugin file that imports another."""
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "__init__.py").touch()
    (folder / "inner" / "names.py").write_text("LAYER = 'codes'\n")
    path = plugin(
        "mine/flat2.py",
        "from inner.names import LAYER\n@register('flat2')\nclass Flat2(Flat):\n"
        "    def encode(self, x):\n        return {LAYER: super().encode(x)['pixels']}\n",
    )
    overrides = Overrides(methods=(parse_call("flat2"),), limit=60, protocols=(parse_call("knn"),))
    store = Store(tmp_path / "results")
    (planned,) = make_plan(None, overrides, discover([path], folder=None), store, [], Limits())
    return schedule._job(planned, Folders([], tmp_path / "cache"))


def test_plugin_files_travel_to_a_machine_without_them(planned_job, tmp_path):
    content = ordered(planned_job, None, None, "cpu", 1, with_code=True)
    (tmp_path / "mine").rename(tmp_path / "gone")
    seen = {name: part for files in looks(content) for name, part in files.items()}
    assert json.loads(seen["ended.json"])["result"]["reason"] == ""
    (evaluation,) = [json.loads(part) for name, part in seen.items() if name.startswith("evaluations/")]
    assert evaluation["status"] == "done"
    assert len(evaluation["measurements"]) > 1


def test_other_code_on_a_machine_is_said_to_be_that(planned_job, tmp_path):
    content = ordered(planned_job, None, None, "cpu", 1)
    (tmp_path / "mine" / "inner" / "names.py").write_text("LAYER = 'others'\n")
    (ended,) = [files["ended.json"] for files in looks(content) if "ended.json" in files]
    reason = json.loads(ended)["result"]["reason"]
    assert reason.startswith(f"the code or a file of method flat2 on {os.uname().nodename} are not those that the run")


def test_an_order_keeps_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"/data/caf\xe9")
    asked = replace(job(DATA, Path(name)), data_dirs=[Path(name), Path("data")])
    found = decoded(ordered(asked, 1.5, 10, "cuda", 3)).job
    assert found == replace(asked, device="cuda", threads=3, sent=True, data_dirs=[Path(name), Path("data").absolute()])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "0"}, "could not be started: it has reprbench .*, the run 0; install the same"),
        ({"job": 3}, "could not be started: Expected `object`, got `int`"),
    ],
)
def test_an_order_that_cannot_be_followed_is_a_failed_trial(tmp_path, changes, why):
    content = json.loads(ordered(job(DATA, tmp_path / "cache"), None, None, "cpu", 1))
    (files,) = looks(json.dumps({**content, **changes}).encode())
    result = json.loads(files["ended.json"])["result"]
    assert result["status"] == "failed"
    assert re.search(why, result["reason"])


def test_a_cache_that_cannot_be_made_there_is_named(tmp_path):
    (tmp_path / "file").touch()
    (files,) = looks(ordered(job(DATA, tmp_path / "file" / "cache"), None, None, "cpu", 1))
    reason = json.loads(files["ended.json"])["result"]["reason"]
    assert f"could not be started: cache {tmp_path / 'file' / 'cache'}: cannot be written (not a directory)" in reason


def test_figures_come_before_the_evaluation_they_belong_to_and_large_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "RESULT_BYTES", 10)
    asked = protocol_job(KNN())
    for name, content in [("figures/a.png", b"small"), ("figures/b.png", b"large" * 9), ("fit.json", b"{}")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / f"{asked.hash}.json").write_bytes(b"{}")
    (tmp_path / "history.csv").symlink_to("/etc/passwd")
    written = host.Written(tmp_path, [asked])
    assert list(written.new()) == ["figures/a.png", "fit.json", f"evaluations/{asked.hash}.json"]
    assert written.new() == {}
    (warning,) = written.warnings
    assert warning.startswith("figures/b.png has more than")


# -- what comes back --------------------------------------------------------------------------------------------------


def test_files_that_no_trial_has_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "RESULT_BYTES", 10)
    names = [
        "../fit.json", "/fit.json", "evaluations/../../x.json", "evaluations/a/b.json", "figures/x.json", "job.json",
        "evaluations/\0.json", "./fit.json", "figures/.png",
    ]  # fmt: skip
    folder = tmp_path / "mirror"
    Mirror(folder).put({**dict.fromkeys(names, b"x"), "fit.json": b"y" * 99, "figures/a.png": b"x"})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "mirror/figures/a.png",
        "mirror/fit.json",
    ]
    assert (folder / "fit.json").read_bytes() == b"y" * 11


def test_a_report_of_progress_is_read_once_and_reaches_no_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("reprbench.files.sync", synced.append)
    found = Mirror(tmp_path)
    found.put({"progress.json": b'{"what": "fit", "share": 7}'})
    assert [(one.what, one.share) for one in found.messages()] == [("fit", 1.0)]
    assert found.messages() == []
    found.put({"progress.json": b"{}"})
    assert found.messages() == []
    assert synced == []
    assert not found.ended()
    found.put({"ended.json": ENDED})
    assert synced
    assert found.ended()
    assert found.result() == (TrialResult(status="done"), None)


# -- Ray, without it --------------------------------------------------------------------------------------------------


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


def test_entries_of_files_are_those_of_the_copies(tmp_path):
    moved = host._written_below(tmp_path, {"/a/b.py": b"x", "/a/c/d.py": b"y"})
    assert Path(moved(Entry("n", "file", "/a/b.py")).target).read_bytes() == b"x"
    installed = Entry("n", "entry point", "m:N")
    assert moved(installed) is installed
