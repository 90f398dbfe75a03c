"""What ``reprbench new`` writes runs and passes its tests, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from common import FAST
from environments import sharing_environment

from reprbench.cli.new import Names

KINDS = {
    "method": ["methods/my_first.py", "methods/test_my_first.py"],
    "protocol": ["protocols/my_first.py", "protocols/test_my_first.py"],
    "dataset": ["datasets/my_first.py", "datasets/test_my_first.py"],
    "benchmark": ["benchmarks/my-first.yaml", "benchmarks/test_my_first.py"],
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def pass_its_tests(folder: Path, python: str = sys.executable) -> None:
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_file_and_a_test_beside_it(kind, here, tmp_path):
    done = here("new", kind, "my-first")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == set(KINDS[kind])
    assert all(f"wrote {path}\n" in done.stdout for path in KINDS[kind])


@pytest.mark.slow
def test_what_it_writes_runs_at_once_and_its_pass_its_tests(here, cli, tmp_path):
    for kind, name in (("method", "mine"), ("protocol", "mirrored"), ("dataset", "stripes"), ("benchmark", "table")):
        assert here("new", kind, name).returncode == 0
    checked = cli("check", "mine")
    assert checked.returncode == 0, checked.stdout
    words = ["run", "--methods", "mine[width=8]", "--dataset", "stripes", "--protocols", "mirrored,linear-svm"]
    done = here(*words, "--epochs", "1", *FAST)
    assert done.returncode == 0, done.stderr
    assert "Similarity" in done.stdout
    pass_its_tests(tmp_path)


@pytest.mark.slow
def test_a_package_can_be_installed_and_its_pass_its_tests(here, tmp_path):
    assert here("new", "package", "reprbench-my-first").returncode == 0
    root = tmp_path / "reprbench-my-first"
    python = sharing_environment(tmp_path / "environment")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(root)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pass_its_tests(root, python)
    listed = subprocess.run(
        [python, "-m", "reprbench", "list", "methods"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "my-first" in listed.stdout


def test_the_workflow_of_a_package_is_valid_and_names_its_benchmark(here, tmp_path):
    assert here("new", "package", "my-first").returncode == 0
    root = tmp_path / "reprbench-my-first"
    path = root / ".github/workflows/table.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    scripts = [step.get("run", "") for step in yaml.safe_load(path.read_text())["jobs"]["table"]["steps"]]
    assert not [script for script in scripts if "${{" in script]
    assert any("--benchmark benchmark.yaml" in script for script in scripts)
    assert (root / "benchmark.yaml").is_file()
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["name"] == root.name
    assert project["entry-points"]["reprbench.methods"] == {"my-first": "reprbench_my_first.my_first:MyFirst"}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_overwritten(kind, here, tmp_path):
    assert here("new", kind, "my-first").returncode == 0
    path = tmp_path / KINDS[kind][0]
    path.unlink()
    (tmp_path / KINDS[kind][1]).write_text("mine")
    done = here("new", kind, "my-first")
    assert done.returncode == 2
    assert done.stderr == f"Error: {KINDS[kind][1]}: already there; choose another name, or remove it\n"
    assert not path.exists()
    assert (tmp_path / KINDS[kind][1]).read_text() == "mine"


def test_a_link_and_a_folder_are_not_overwritten(here, tmp_path):
    (tmp_path / "reprbench-mine").mkdir()
    assert "reprbench-mine: already there" in here("new", "package", "mine").stderr
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/mine.py").symlink_to("nowhere")
    assert "methods/mine.py: already there" in here("new", "method", "mine").stderr
    assert files(tmp_path) == {"methods/mine.py"}


def test_files_of_one_name_in_two_folders_are_refused(here):
    # pytest imports one module of a name.
    assert here("new", "method", "mine").returncode == 0
    done = here("new", "protocol", "mine")
    assert done.returncode == 2
    assert "methods/mine.py: already there" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method", "a b"], "not a valid name"),
        (["method", "../mine"], "not a valid name"),
        (["package", "../mine"], "not a valid name"),
        (["package", "reprbench-"], "not a valid name"),
        (["benchmark", "nul"], "not a valid name"),
        (["method", "2-layers"], "begin with a letter"),
        (["method", "class"], "use no keyword"),
        (["package", "none"], "would be called None"),
        (["method", "learner"], "would be called Learner"),
        (["method", "numpy"], "a module 'numpy' is installed already"),
        (["method", "ae"], "a method 'ae' is there already"),
        (["package", "ae"], "a method 'ae' is there already"),
        (["dataset", "npz"], "a dataset 'npz' is there already"),
        (["protocol", "knn"], "a protocol 'knn' is there already"),
        (["benchmark", "quick"], "a benchmark 'quick' comes with reprbench"),
    ],
    ids=" ".join,
)
def test_names_that_cannot_be_used_are_refused_in_one_line(words, said, here, tmp_path):
    done = here("new", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("name", "module", "cls"),
    [("a", "a", "A"), ("my-own.method_2", "my_own_method_2", "MyOwnMethod2"), ("fooBar", "foobar", "FooBar")],
)
def test_names_in_python(name, module, cls):
    assert Names.of(name, "method") == Names(name, module, cls)
