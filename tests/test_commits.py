"""The check of commit messages that `make lint` runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from common import REPOSITORY, script

SCRIPT = REPOSITORY / ".ci" / "check_commits.py"


@pytest.fixture(scope="module")
def mistakes():
    return script(SCRIPT).mistakes


@pytest.mark.parametrize(
    "message",
    ["Add a test\n", "Embed the digits\n\nThey are small.\n", "Bring the probes together", "A" + "b" * 71],
)
def test_good_messages_pass(mistakes, message):
    assert mistakes(message) == []


@pytest.mark.parametrize(
    ("message", "mistake"),
    [
        ("A" + "b" * 72, "73 characters"),
        ("Added a test", "imperative"),
        ("Adding a test", "imperative"),
        ("add a test", "capital"),
        ("Add a test.", "period"),
        ("Add a test\nbecause", "blank line"),
    ],
)
def test_bad_messages_are_named(mistakes, message, mistake):
    (found,) = mistakes(message)
    assert mistake in found


def test_the_commits_of_a_branch_are_looked_at_and_those_of_main_are_not(tmp_path):
    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=tmp_path, check=True)

    def commit(message):
        git("commit", "--quiet", "--allow-empty", "-m", message)

    git("init", "--quiet", "--initial-branch=main")
    commit("added long ago")
    git("switch", "--quiet", "-c", "branch")
    commit("Add a thing")
    commit("adding another")
    commit("Add a last one")
    done = subprocess.run([sys.executable, str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()] == [
        "adding another: the subject does not begin with a capital letter",
        "adding another: the subject begins with 'adding'; use the imperative, as in 'Add', 'Mend', 'Rename'",
    ]
