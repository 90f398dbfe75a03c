"""The response time of the commands that users type most. Run with `make perf`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("reprbench")


@pytest.mark.parametrize("words", [["--help"], ["list", "methods"]], ids=" ".join)
def test_answers_within_three_tenths_of_a_second(benchmark, words, tmp_path):
    command = [str(PROGRAM), *words]
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path), rounds=15, warmup_rounds=2
    )
    assert benchmark.stats.stats.median <= 0.3
