"""What ``--executor`` says, and what is wrong with it; how long a run would take."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace as changed

import pytest
from msgspec.structs import replace
from test_plan import spec, stored

from reprbench.errors import UserError
from reprbench.runner.estimate import estimate
from reprbench.runner.executors import choose
from reprbench.runner.executors.settings import ExecutorSettings, Resources, read_settings
from reprbench.runner.plan import Planned
from reprbench.trial import Cost

# -- settings ----------------------------------------------------------------------------------------------------------


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
        ("retries: 3", ["executor: must be given"]),
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
        ("executor: ray\nrows: {a: {gpus: 1.5}}", ["rows.a.gpus: 1.5 is neither whole nor a part of one GPU"]),
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


def test_rows_that_a_run_does_not_have_are_warned_of(here, tmp_path):
    (tmp_path / "ray.yaml").write_text("executor: ray\nrows: {pca: {cpus: 1}, raw-pixel: {cpus: 1}}\n")
    done = here("run", "--methods", "pca,raw-pixels", "--limit", "60", "--executor", "ray.yaml", "--plan")
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "rows." in line]
    assert "--executor ray.yaml: rows.raw-pixel: no row or method of this run. Did you mean 'raw-pixels'?" in line


def test_with_nothing_to_run_no_cluster_is_started(here, monkeypatch):
    words = ("run", "--methods", "raw-pixels", "--protocols", "knn", "--limit", "60")
    assert here(*words).returncode == 0
    monkeypatch.setattr("reprbench.api.running.make_executor", lambda settings, *_: Nothing(settings.executor))
    done = here(*words, "--executor", "ray")
    assert done.returncode == 0, done.stderr
    assert "raw-pixels" in done.stdout


class Nothing:
    """An executor that runs nothing, and is none of a cluster."""

    def __init__(self, name):
        assert name == "local"

    def close(self):
        pass


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


# -- estimates ---------------------------------------------------------------------------------------------------------


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
