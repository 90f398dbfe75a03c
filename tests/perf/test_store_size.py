"""The cost of `report` and `compare` on stores of ten thousand trials. Run with `make perf`.

CPU time is measured, not wall time, together with the time of Python's own `json` for parsing the same files: the ratio
of the two is the same on a slow or busy machine. The limits in seconds are meant for an otherwise idle machine.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stores import TRIALS, write_store

PROGRAM = Path(sys.executable).with_name("reprbench")
SECONDS, MEGABYTES = 3.0, 500
PARSE = """
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("*/*/*/trial.json"):
    json.loads(path.read_bytes())
"""

LAUNCH = """
import json, resource, subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
status = subprocess.run(sys.argv[1:], **quiet).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status]))
"""


@dataclass(frozen=True)
class Taken:
    """The cost of a process: CPU seconds, peak megabytes, and its exit status."""

    seconds: float
    megabytes: float
    status: int


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("stores")
    write_store(root / "base")
    write_store(root / "new", noise=1, worse=5.0)
    # As in any store that users edit.
    odd = root / "new" / "bench-0" / "method-00"
    for name, content in (("broken", "{"), ("newer", '{"schema_version": 99}'), ("foreign", "[]")):
        (odd / name).mkdir()
        (odd / name / "trial.json").write_text(content)
    yield lambda name: root / name
    shutil.rmtree(root)


def taken(command: list[str]) -> Taken:
    """Run a command as the child of a small process: a peak starts from what the parent has in memory."""
    done = subprocess.run([sys.executable, "-c", LAUNCH, *command], capture_output=True, text=True, check=True)
    return Taken(*json.loads(done.stdout))


def measure(name: str, words: list[str], parsed: list[Path]) -> tuple[Taken, float]:
    """Return the cost of the fastest of three runs, and the median ratio to parsing the files."""
    runs, ratios = [], []
    for _ in range(3):
        parsing = sum(taken([sys.executable, "-c", PARSE, str(store)]).seconds for store in parsed)
        runs.append(taken([str(PROGRAM), *words]))
        ratios.append(runs[-1].seconds / parsing)
    best, ratio = min(runs, key=lambda run: run.seconds), statistics.median(ratios)
    print(f"\n{name}: {best.seconds:.2f} s, {ratio:.2f} times json.loads, {best.megabytes:.0f} MB")
    return best, ratio


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json"])
def test_report(stores, form, tmp_path):
    words = ["report", str(stores("new")), "--format", form, "-o", str(tmp_path / "report")]
    best, ratio = measure(f"report of {TRIALS} trials as {form}", words, [stores("new")])
    assert best.status == 0
    assert best.megabytes <= MEGABYTES
    assert best.seconds <= SECONDS or ratio <= 3.5


def test_compare(stores, tmp_path):
    words = ["compare", str(stores("base")), str(stores("new")), "--format", "json", "-o", str(tmp_path / "compared")]
    best, ratio = measure(f"compare of 2 × {TRIALS} trials", words, [stores("base"), stores("new")])
    assert best.status == 1
    content = json.loads((tmp_path / "compared").read_text())
    assert len(content["comparisons"]) == TRIALS
    assert {c["label"] for c in content["comparisons"] if c["verdict"] == "worse"} == {"method-00"}
    assert best.megabytes <= MEGABYTES
    assert best.seconds <= SECONDS or ratio <= 2.0


def test_reading_is_hardly_slower_than_parsing(stores):
    program = "import sys, pathlib, reprbench.store as s; s.Store(pathlib.Path(sys.argv[1])).read()"
    ratios = []
    for _ in range(3):
        parsing = taken([sys.executable, "-c", PARSE, str(stores("base"))])
        reading = taken([sys.executable, "-c", program, str(stores("base"))])
        ratios.append(reading.seconds / parsing.seconds)
    print(f"\nreading: {statistics.median(ratios):.2f} times json.loads")
    assert statistics.median(ratios) <= 1.2
