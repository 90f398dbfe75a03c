from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from trials import evaluation, method, trial

from reprbench.store import Store
from reprbench.trial import Trial

FOLDS = np.random.default_rng(0).normal(60, 1, 10).round(2)


def write(folder: Path, shift: float = 0.0, label: str = "ae", **changes) -> Trial:
    written = trial(label, digest=label[0] * 64, **{"evaluations": [evaluation(list(FOLDS + shift))], **changes})
    Store(folder).write(written, {})
    return written


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *who, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_worsened_row_is_named_with_status_1(here, tmp_path):
    for label in ("ae", "dae"):
        write(tmp_path / "base", label=label)
        write(tmp_path / "new", shift=-9 * (label == "dae"), label=label)
    done = here("compare", "base", "new")
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if "WORSE" in line and "mine: dae (seed 0)" in line]
    assert not [line for line in done.stdout.splitlines() if "WORSE" in line and "mine: ae (seed 0)" in line]
    assert here("compare", "new", "base").returncode == 0
    assert here("compare", "base", "new", "--tolerance", "accuracy=9.5").returncode == 0


def test_stores_without_a_common_row_have_status_3(here, tmp_path):
    write(tmp_path / "base", label="ae")
    write(tmp_path / "new", label="dae")
    done = here("compare", "base", "new")
    assert done.returncode == 3
    assert "Nothing to compare" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare"], ["BASE NEW", "--base-rev main"]),
        (["compare", "base"], ["BASE NEW"]),
        (["compare", "base", "nowhere"], ["nowhere", "no such folder"]),
        (["compare", "base", "base", "--new-rev", "main"], ["base", "not in a git repository"]),
        (["compare", "base", "base", "--tolerance", "accuracy"], ["'accuracy'", "accuracy=0.5"]),
        (["compare", "base", "base", "--tolerance", "accuracy=-1"], ["accuracy=-1"]),
        (["compare", "base", "base", "--tolerance", "accuracy=nan"], ["accuracy=nan"]),
        (["compare", "base", "base", "--tolerance", "acuracy=1"], ["'acuracy'", "'accuracy'"]),
        (["compare", "base", "base", "--metric", "loss"], ["'loss'", "accuracy"]),
        (["compare", "base", "base", "--metric", "accuracy", "--all"], ["--metric and --all"]),
        (["compare", "base", "--base-rev", "main"], ["not in a git repository"]),
    ],
    ids=lambda value: " ".join(value[1:]) if value[0] == "compare" else "",
)
def test_a_mistake_is_one_clear_message(here, tmp_path, words, said):
    write(tmp_path / "base")
    done = here(*words, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in said:
        assert word in done.stderr


def test_what_is_not_a_trial_is_named_and_skipped(here, tmp_path):
    write(tmp_path / "base")
    write(tmp_path / "new")
    newer = tmp_path / "new/mine/ae/1-b/trial.json"
    newer.parent.mkdir()
    newer.write_text(json.dumps({"schema_version": 99}))
    (tmp_path / "base/mine/ae/1-b").mkdir()
    (tmp_path / "base/mine/ae/1-b/trial.json").write_text("{")
    (tmp_path / "base/README.md").write_text("not a trial")
    done = here("compare", "base", "new", "--format", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["unreliable"] == [
        line.removeprefix("Warning: ") for line in done.stderr.splitlines()
    ]
    assert len(json.loads(done.stdout)["comparisons"]) == 1
    assert done.stderr.count("Warning: ") == 2
    assert "new/mine/ae/1-b/trial.json: skipped: written by a newer reprbench" in done.stderr
    assert "base/mine/ae/1-b/trial.json: skipped" in done.stderr


def test_revisions_of_a_store_are_read_from_git(here, tmp_path):
    folder = tmp_path / "a repository"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    store = folder / "some results"
    write(store)
    (folder / ".gitattributes").write_text("* export-ignore\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    write(store, shift=-9)
    words = ("compare", "some results", "--base-rev")
    worse = here(*words, "main", cwd=folder)
    assert (worse.returncode, worse.stderr) == (1, "")
    git(folder, "commit", "-qam", "two")
    assert here(*words, "main", cwd=folder).returncode == 0
    assert here(*words, "HEAD~1", cwd=folder).returncode == 1
    assert here(*words, "HEAD~1", "--new-rev", "main", cwd=folder).returncode == 1
    write(tmp_path / "elsewhere")
    assert here("compare", "some results", "../elsewhere", "--base-rev", "HEAD~1", cwd=folder).returncode == 0
    assert here("compare", "some results", "../elsewhere", "--base-rev", "main", cwd=folder).returncode == 0
    assert here("compare", "../elsewhere", "some results", "--new-rev", "main", cwd=folder).returncode == 1
    # Neither the working tree nor the current folder matters to two revisions.
    again = here("compare", ".", "--base-rev", "main", "--new-rev", "HEAD~1", cwd=store)
    assert (again.returncode, "better" in again.stdout) == (0, True)
    assert git(folder, "status", "--porcelain") == ""


def test_what_is_broken_in_a_revision_is_named_and_a_link_in_it_is_not_followed(here, tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    store = tmp_path / "some results"
    write(store)
    for name in ("broken", "link"):
        (store / "mine/ae" / name).mkdir()
    (store / "mine/ae/broken/trial.json").write_text("{")
    (store / "mine/ae/link/trial.json").symlink_to("/etc/passwd")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    done = here("compare", "some results", "--base-rev", "main", "--new-rev", "main")
    assert done.returncode == 1
    assert done.stderr.count("some results at main/mine/ae/broken/trial.json: skipped") == 2
    assert "link" not in done.stderr


@pytest.mark.parametrize("shift", [0, -40.9])
def test_an_edited_row_with_a_label_is_compared_with_what_it_was(here, tmp_path, shift):
    git(tmp_path, "init", "-q", "-b", "main")
    for number, call in enumerate(["pca[n_components=32]", "pca[n_components=2]"]):
        # The store keeps the trial of the call before the edit, in a folder of its own.
        Store(tmp_path / "results").write(
            trial(
                "mine",
                digest=f"{number}" * 64,
                method=method(call),
                evaluations=[evaluation([90.9 + shift * number, 90.9 + shift * number])],
                provenance={"ended": f"2026-01-0{number + 1}"},
            ),
            {},
        )
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", call)
    assert len(list((tmp_path / "results").rglob("trial.json"))) == 2
    done = here("compare", "results", "--base-rev", "HEAD~1")
    assert done.returncode == (1 if shift else 0), done.stderr
    assert done.stdout.startswith("NEW is worse: 1 worse" if shift else "NEW is no worse: 1 same")
    (line,) = (line for line in done.stdout.splitlines() if "mine: mine (seed 0)" in line)
    assert ("WORSE" in line, " 50 " in line, " 90.9 " in line) == (bool(shift), bool(shift), True)
    assert "its parameters changed: pca[n_components=32] → pca[n_components=2]" in line
    assert here("compare", "results", "--base-rev", "HEAD~1", "--ignore-seeds").returncode == (1 if shift else 0)


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "-h", "main; touch x", "$(touch x)", "main:results", ""])
def test_what_is_not_a_revision_is_refused_and_never_an_option(here, tmp_path, revision):
    git(tmp_path, "init", "-q", "-b", "main")
    write(tmp_path / "results")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    done = here("compare", "results", f"--base-rev={revision}")
    assert done.returncode == 2, done.stdout
    assert f"revision {revision!r}" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_store_that_the_revision_lacks_is_a_user_error(here, tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    write(tmp_path / "results")
    done = here("compare", "results", "--base-rev", "main")
    assert done.returncode == 2
    assert "no trials below results" in done.stderr


def test_on_github_the_summary_is_appended_and_every_worse_row_annotated(here, tmp_path):
    name = "100% ae\n::error::injected"
    for number in range(12):
        write(tmp_path / "base", label=f"{chr(97 + number)}{name}")
        write(tmp_path / "new", shift=-9, label=f"{chr(97 + number)}{name}")
    (tmp_path / "summary.md").write_text("before\n")
    done = here("compare", "base", "new", "--github", "--format", "json", GITHUB_STEP_SUMMARY="summary.md")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("::")]
    assert len(errors) == 10
    assert all(line.startswith("::error title=reprbench%3A worse::") for line in errors)
    assert "100%25 ae%0A::error::injected (seed 0)" in errors[0]
    assert errors[-1].endswith("::3 more; the job's summary has them")
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("before\n### NEW is worse: 12 worse")
    assert not [line for line in summary.splitlines() if line.startswith("::")]


def test_on_github_nothing_to_compare_is_a_warning(here, tmp_path):
    write(tmp_path / "base", label="ae")
    write(tmp_path / "new", label="dae")
    done = here("compare", "base", "new", "--github", GITHUB_STEP_SUMMARY="summary.md")
    assert done.returncode == 3
    assert "::warning title=reprbench::Nothing to compare" in done.stderr


def test_outside_github_a_message_says_so_and_the_rest_goes_on(here, tmp_path):
    write(tmp_path / "base")
    write(tmp_path / "new", shift=-9)
    done = here("compare", "base", "new", "--github", "-o", "out.md", "--format", "markdown", GITHUB_STEP_SUMMARY="")
    assert done.returncode == 1
    assert "not running in GitHub Actions" in done.stderr
    assert "::" not in done.stderr
    assert (tmp_path / "out.md").read_text().startswith("### NEW is worse: 1 worse")
