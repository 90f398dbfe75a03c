"""The scripts of ``reprbench completion``, and what they ask for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reprbench.cli.main import COMMANDS

HERE = Path(sys.executable).parent


def bash(script: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": os.pathsep.join([str(HERE), os.environ["PATH"]])}
    command = ["bash", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_the_shell_is_printed_and_it_can_be_read(shell, here, tmp_path):
    done = here("completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_REPRBENCH_COMPLETE={shell}_complete" in done.stdout
    (tmp_path / "script").write_text(done.stdout)
    if shutil.which(shell):
        flag = "--no-execute" if shell == "fish" else "-n"
        subprocess.run([shell, flag, str(tmp_path / "script")], check=True)


def test_bash_completes_with_it(here, tmp_path):
    (tmp_path / "script").write_text(here("completion", "bash").stdout)
    assert "_reprbench_completion" in bash("source ./script; complete -p reprbench", tmp_path)
    ask = "COMP_WORDS=(reprbench re); COMP_CWORD=1; _reprbench_completion reprbench re reprbench; echo ${COMPREPLY[@]}"
    assert bash(f"source ./script; {ask}", tmp_path).split() == ["report"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("reprbench ", list(COMMANDS)),
        ("reprbench report --form", ["--format"]),
        ("reprbench list m", ["methods"]),
        ("reprbench comp", ["compare", "completion"]),
        # A mistake further left is no error message in the middle of somebody's command line.
        ("reprbench nothing --met", []),
        ("reprbench run --methods a[[ --limi", ["--limit"]),
    ],
)
def test_what_is_completed(words, completed, cli):
    asked = {"_REPRBENCH_COMPLETE": "zsh_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    program = "import sys; sys.argv[0] = 'reprbench'; from reprbench.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stderr == ""
    # zsh is told a type, the word and its help.
    assert done.stdout.splitlines()[1::3] == completed


def test_another_shell_is_a_mistake(here):
    done = here("completion", "csh")
    assert done.returncode == 2
    assert "bash" in done.stderr
