"""What the README says about commands and benchmarks is true; `tests/test_docs.py` runs what it shows."""

from __future__ import annotations

import re

import pytest
from common import REPOSITORY

from reprbench.benchmark import load_benchmark
from reprbench.cli.main import COMMANDS
from reprbench.registry import discover

README = (REPOSITORY / "README.md").read_text()


def test_the_benchmark_of_the_readme_is_valid(tmp_path):
    found = re.search(r"```yaml.*?\n(.*?)```", README, re.DOTALL)
    assert found
    (tmp_path / "mine.yaml").write_text(found.group(1))
    assert load_benchmark(tmp_path / "mine.yaml").methods[0].reference.value == 58.1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    assert f"`reprbench {command}" in README


def test_every_method_and_protocol_is_described(tmp_path):
    registry = discover(folder=tmp_path)
    names = [*registry.methods, *registry.protocols]
    assert not [name for name in names if f"`{name}`" not in README]


def test_every_linked_page_is_there():
    links = re.findall(r"\]\((docs/[^)#]+)\)", README)
    assert links
    assert not [link for link in links if not (REPOSITORY / link).is_file()]
