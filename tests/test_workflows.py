"""The workflow, the action and the YAML of the docs are valid and free of injection, and their commands exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from common import REPOSITORY
from documented import parse_commands

from reprbench.benchmark import load_benchmark

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
ACTION = REPOSITORY / "action.yml"
PAGE = REPOSITORY / "docs" / "ci.md"
PUBLISH = "pypa/gh-action-pypi-publish@release/v1"
"""The action by which PyPI knows who publishes, as its own documentation pins it."""
ON = True
"""YAML 1.1, which PyYAML reads, reads the key ``on`` as true."""


def page_block(fence: str) -> list[str]:
    """Return the blocks of the page that begin with this fence."""
    found = re.findall(rf"^```{fence}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found


def page_workflows() -> list[str]:
    """Return the workflows that the docs show."""
    return page_block("yaml")


def documents() -> dict[str, dict[Any, Any]]:
    """Return every workflow and the action by what to call them."""
    files = {str(path.relative_to(REPOSITORY)): path.read_text() for path in [*WORKFLOWS, ACTION]}
    files |= {f"docs/ci.md {number}": text for number, text in enumerate(page_workflows())}
    return {name: yaml.safe_load(text) for name, text in files.items()}


def steps(document: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    parts = document["jobs"].values() if "jobs" in document else [document["runs"]]
    for part in parts:
        # A job that calls another workflow has none.
        yield from part.get("steps", ())


DOCUMENTS = documents()
WORKFLOW_DOCUMENTS = {name: document for name, document in DOCUMENTS.items() if "jobs" in document}
STEPS = [(name, number, step) for name, document in DOCUMENTS.items() for number, step in enumerate(steps(document))]
NAMES = [f"{name} step {number}" for name, number, _ in STEPS]


@pytest.mark.parametrize("number", [*range(len(WORKFLOW_DOCUMENTS)), None])
def test_it_is_valid_by_github_s_schema(number, tmp_path):
    schema, path = "vendor.github-actions", ACTION
    if number is not None:
        schema, path = "vendor.github-workflows", tmp_path / "workflow.yml"
        texts = [*(path.read_text() for path in WORKFLOWS), *page_workflows()]
        path.write_text(texts[number])
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "number", "step"), STEPS, ids=NAMES)
def test_nothing_is_pasted_into_a_script(name, number, step):
    for script in (step.get("run", ""), step.get("with", {}).get("script", "")):
        assert "${{" not in script


@pytest.mark.parametrize("script", [s["run"] for _, _, s in STEPS if "run" in s])
def test_scripts_are_bash_and_their_commands_exist(script, tmp_path, monkeypatch):
    command = ["bash", "-n"]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plain = re.sub(r" *\|\| status=\$\?", "", re.sub(r"\\\n\s*", " ", script))
    monkeypatch.chdir(tmp_path)
    Path("guard.yaml").write_text(page_block('yaml title="guard.yaml"')[0])
    # The values of variables are not known here; the action's scripts are run below.
    parse_commands("\n".join(line.strip() for line in plain.splitlines() if "words[@]" not in line))
    targets = re.findall(r"^\.?(\w+)(?: \S+)*:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake (\w+)", script)) <= set(targets)


@pytest.mark.parametrize(("name", "number", "step"), STEPS, ids=NAMES)
def test_actions_are_github_s_own_or_this_one_and_pinned(name, number, step):
    if "uses" in step:
        assert re.fullmatch(rf"actions/[a-z-]+@v\d+|OWNER/reprbench@v\d+|{re.escape(PUBLISH)}", step["uses"])


@pytest.mark.parametrize("document", WORKFLOW_DOCUMENTS.values(), ids=list(WORKFLOW_DOCUMENTS))
def test_a_workflow_has_only_the_rights_that_it_needs(document):
    assert document["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in document[ON]
    for job in document["jobs"].values():
        rights = job.get("permissions", {})
        writes = {right for right, level in rights.items() if level == "write"}
        # What deploys has a protected environment, and runs nothing that a pull request could change.
        assert writes <= ({"pages", "id-token"} if "environment" in job else {"pull-requests"})
        assert "environment" not in job or "pull_request" not in document[ON]
        # Jobs that may write comments do so only on pull requests from the repository itself.
        comments = [step for step in job.get("steps", ()) if step.get("uses", "").startswith("actions/github-script")]
        for step in comments:
            assert step["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_workflows_that_others_call_are_there_and_can_be_called():
    for document in WORKFLOW_DOCUMENTS.values():
        for called in [job["uses"] for job in document["jobs"].values() if "uses" in job]:
            assert "workflow_call" in WORKFLOW_DOCUMENTS[called.removeprefix("./")][ON]


@pytest.mark.parametrize(
    ("tag", "owner", "said"),
    [
        ("v1.2.3", "someone", ""),
        ("v1.2.4", "someone", "The tag is v1.2.4, and what was built is dist/reprbench-1.2.3-py3-none-any.whl"),
        ("1.2", "someone", "The tag is 1.2"),
        ("v$(touch x)", "someone", "The tag is v$(touch x)"),
        ("v1.2.3", "OWNER", "These addresses"),
    ],
)
def test_only_the_version_of_the_tag_is_published(tag, owner, said, tmp_path):
    publish = DOCUMENTS[".github/workflows/release.yml"]["jobs"]["publish"]["steps"]
    (number,) = [number for number, step in enumerate(publish) if step.get("name") == "Check the version"]
    assert publish[number + 1]["uses"] == PUBLISH
    (tmp_path / "dist").mkdir()
    with zipfile.ZipFile(tmp_path / "dist" / "reprbench-1.2.3-py3-none-any.whl", "w") as wheel:
        wheel.writestr("reprbench-1.2.3.dist-info/METADATA", f"Project-URL: Source, https://x.org/{owner}/reprbench\n")
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", publish[number]["run"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "TAG": tag})
    assert done.returncode == (1 if said else 0), done.stderr
    assert said in done.stdout
    assert not (tmp_path / "x").exists()


def test_tags_that_move_publish_nothing():
    (pattern,) = DOCUMENTS[".github/workflows/release.yml"][ON]["push"]["tags"]
    # In GitHub's patterns, a dot is a dot.
    form = re.compile(pattern.replace(".", r"\.").replace("*", ".*"))
    assert [bool(form.fullmatch(tag)) for tag in ("v1", "v1.2", "v1.2.3", "v1.2.3rc1")] == [False, False, True, True]


def test_the_commands_and_the_benchmark_of_the_page_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("guard.yaml").write_text(page_block('yaml title="guard.yaml"')[0])
    assert [str(row.method) for row in load_benchmark(Path("guard.yaml")).methods] == ["my-method[width=32]", "pca"]
    parse_commands("".join(page_block("sh")))


def test_the_action_uses_all_its_inputs_and_the_docs_show_no_others():
    action = DOCUMENTS["action.yml"]
    used = set(re.findall(r"inputs\.([\w-]+)", ACTION.read_text()))
    assert used == set(action["inputs"])
    for name, document in DOCUMENTS.items():
        for step in steps(document):
            if name.startswith("docs") and step.get("uses", "").startswith("OWNER/"):
                assert set(step["with"]) <= set(action["inputs"])
    assert all(step.get("shell") == "bash" for step in action["runs"]["steps"] if "run" in step)
    for name in action["inputs"]:
        assert f"`{name}`" in PAGE.read_text()


class Runner:
    """Runs the scripts of the action as GitHub does, without the installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "temporary").mkdir()
        self.outputs: dict[str, str] = {}

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (script,) = [step["run"] for step in DOCUMENTS["action.yml"]["runs"]["steps"] if step.get("name") == name]
        output = self.folder / "temporary" / "output"
        output.write_text("")
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=600,
            env={
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "HOME": str(self.folder),
                "OMP_NUM_THREADS": "1",
                "RUNNER_TEMP": str(self.folder / "temporary"),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(self.folder / "temporary" / "summary.md"),
                **environment,
            },
        )  # fmt: skip
        self.outputs |= dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done

    def table(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("Make the table", **{"METHODS": "", "BENCHMARK": "", "PLUGIN": "", **environment})

    def compare(self, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"NEW": self.outputs.get("store", ""), "STORE": "results", "BASE": "", "TOLERANCE": ""}
        return self.run("Compare it", **{**known, **environment})


QUICK = """
title: Mine
dataset: digits
limit: 150
protocols: ["linear-svm[costs=[0.1]]"]
budget: {epochs: 1}
methods: [{method: mine}, {method: raw-pixels}]
"""


@pytest.mark.slow
def test_the_action_makes_a_table_and_compares_it(tmp_path, plugin):
    plugin("my method.py", '@register("mine")\nclass A(Flat): ...\n')
    (tmp_path / "mine.yaml").write_text(QUICK)
    runner = Runner(tmp_path)
    made = runner.table(BENCHMARK="mine.yaml", PLUGIN="my method.py\n")
    assert made.returncode == 0, made.stderr
    summary = (tmp_path / "temporary" / "summary.md").read_text()
    assert "mine" in summary
    # Before anything is committed there is nothing to compare with.
    assert runner.compare().returncode == 0
    assert runner.outputs["status"] == "3"
    store = Path(runner.outputs["store"])
    store.rename(tmp_path / "results")
    again = runner.table(BENCHMARK="mine.yaml", PLUGIN="my method.py\n")
    assert again.returncode == 0, again.stderr
    assert runner.compare(TOLERANCE="accuracy=0.5\n").returncode == 0
    assert runner.outputs["status"] == "0"
    (path,) = (tmp_path / "results").glob("*/mine/*/trial.json")
    content = json.loads(path.read_text())
    for m in content["evaluations"][0]["measurements"]:
        if m["metric"] == "accuracy":
            m["value"] += 40
    path.write_text(json.dumps(content))
    worse = runner.compare()
    assert worse.returncode == 1
    assert "::error title=reprbench%3A worse::mine: mine (seed 0)" in worse.stderr
    assert runner.outputs["status"] == "1"
    assert "NEW is worse" in Path(runner.outputs["comparison"]).read_text()


@pytest.mark.parametrize("text", ["$(touch x)", "`touch x`", "; touch x", "--help", '" && touch x && "', "a b*"])
def test_inputs_are_text_whatever_they_contain(tmp_path, text):
    # In place of reprbench runs a program that records its arguments.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "reprbench").write_text('#!/bin/bash\nprintf "%s\\0" "$@" >> "$WORDS"\n')
    (programs / "reprbench").chmod(0o755)
    (tmp_path / "results").mkdir()
    words = tmp_path / "words"
    runner = Runner(tmp_path)
    known = {"PATH": f"{programs}:/usr/bin:/bin", "WORDS": str(words)}
    assert runner.table(METHODS=text, BENCHMARK=text, PLUGIN=f"{text}\n{text}", **known).returncode == 0
    new = str(tmp_path / "temporary/reprbench/results")
    run = [
        "run",
        f"--store={new}",
        "--jobs",
        "2",
        f"--methods={text}",
        f"--benchmark={text}",
        *2 * [f"--plugin={text}"],
    ]
    assert words.read_text().split("\0")[: len(run) + 1] == [*run, "report"]
    words.unlink()
    assert runner.compare(STORE=text, BASE=text, TOLERANCE=text, **known).returncode == 0
    assert words.read_text().split("\0")[-6:] == [f"--base-rev={text}", f"--tolerance={text}", "--", text, new, ""]
    assert not (tmp_path / "x").exists()
