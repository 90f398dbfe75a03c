"""What the README shows, works."""

from __future__ import annotations

import re

import pytest
from conftest import FAST, REPOSITORY

from reprbench.benchmark import load_benchmark
from reprbench.cli.main import COMMANDS

README = (REPOSITORY / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def test_the_method_of_the_readme_runs(cli, tmp_path):
    (tmp_path / "mine.py").write_text(block("python"))
    (command,) = re.findall(r"^reprbench (run --plugin .*)$", README, re.MULTILINE)
    done = cli(*command.split(), *FAST, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    for label in ("my-method", "my-method[width=16]", "pca"):
        assert re.search(rf"^{re.escape(label)} .*\d ± \d", done.stdout, re.MULTILINE)
    assert "—" not in done.stdout


def test_the_benchmark_of_the_readme_is_valid(tmp_path):
    (tmp_path / "mine.yaml").write_text(block("yaml"))
    assert load_benchmark(tmp_path / "mine.yaml").methods[0].reference.value == 58.1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_told(command):
    assert f"`reprbench {command}" in README
