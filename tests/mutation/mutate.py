"""Changes one token of the code at a time and runs the tests that should notice: `make mutate`.

    python tests/mutation/mutate.py [--jobs N] [--again] [PREFIX ...]

prints a line per mutant, then which of them no test noticed, and the share that was noticed, by folder. `PREFIX` limits
it to files whose path begins so. `--again` runs only those mutants that the last run did not see noticed.
The code is changed in copies of the repository under a temporary folder. What is not a mistake because no number
depends on it stands in `equivalent.yaml`, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import yaml
from mutants import Key, Mutant, sample

ROOT = Path(__file__).parents[2]
LAST = ROOT / ".mutation.json"
"""What the last run noticed: a list of keys."""
PRELOADED = """
    hypothesis jinja2 matplotlib.figure msgspec numpy pandas PIL.Image pydantic pytest rich safetensors.torch
    scipy.stats skimage.metrics sklearn.datasets sklearn.manifold sklearn.svm statsmodels.stats.multitest torch
    torchmetrics.image torchvision xdist
"""
"""What takes long to import, imported once: every mutant is tested in a fork of this process."""
OPTIONS = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "--hypothesis-seed=0"]
WALL_SECONDS = 1200
"""A mutant that takes longer waits for something, or was stopped from outside: that says nothing about tests."""
OUTCOMES = {0: "survived", 1: "noticed", 2: "noticed", 3: "noticed", 4: "no tests", 5: "no tests"}
"""Of pytest's exit statuses; 2 and 3 are what a file that cannot be imported or collected ends with."""


@dataclass
class Task:
    """A mutant that is being tested in one of the copies, by a process."""

    mutant: Mutant
    copy: Path
    process: BaseProcess
    started: float


def copied(folder: Path) -> Path:
    """Return a copy of the files that git knows, with compiled code that is checked against the text of its file."""
    listing = ["git", "ls-files", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in ("methods", "benchmarks"):
        # Where an installed package has them, so that the copy's are imported and not those of the editable install.
        (folder / "reprbench" / name).symlink_to(folder / name)
    compiling = f"{sys.executable} -m compileall -q --invalidation-mode checked-hash reprbench methods"
    subprocess.run(compiling.split(), cwd=folder, check=True)
    return folder


def tests_of(file: str, config: dict[str, Any]) -> list[str]:
    """Return the test files and folders for a file, the most specific first."""
    path = Path(file)
    module = ".".join(path.with_suffix("").parts).removeprefix("reprbench.")
    inside, _, name = module.rpartition(".")
    imported = re.compile(rf"reprbench\.{re.escape(module)}\b|from reprbench\.?{re.escape(inside)} import .*\b{name}\b")
    own = ROOT / "tests" / path.parent.relative_to("reprbench" if path.parts[0] == "reprbench" else ".")
    found = [own / f"test_{name}.py", own / f"test_{path.parent.name}_{name}.py"]
    others = [one for one in sorted((ROOT / "tests").rglob("test_*.py")) if imported.search(one.read_text("utf-8"))]
    found += sorted(others, key=lambda one: (one.parent != own, one.stat().st_size))
    names = [one.relative_to(ROOT).as_posix() for one in found if one.is_file()]
    names = [one for one in names if not one.startswith(tuple(config["without"]))]
    more = [one for prefix, tests in config["tests"].items() if file.startswith(prefix) for one in tests]
    golden = config["golden"] if file.startswith(tuple(config["with_golden"])) else ""
    registered = re.findall(r'^(?:@register\(| +name = )"([\w-]+)"', (ROOT / file).read_text("utf-8"), re.MULTILINE)
    kind = "method" if path.parts[0] == "methods" else "protocol"
    values = [f"{golden}[{kind} {one}]" for one in registered] or [golden]
    return list(dict.fromkeys([*names, *more, *filter(None, values if golden else [])]))


def test(mutant: Mutant, copy: Path, tests: Sequence[str], cpu_seconds: int) -> None:
    """Run the tests on a copy with the mutant, in a process of their own; end it with pytest's exit status."""
    import pytest

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    with Path(f"{copy}.txt").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    (copy / mutant.file).write_text(mutant.code, "utf-8")
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(copy)]
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    status = pytest.main([*OPTIONS, f"--basetemp={copy}.tmp", *tests])
    sys.stdout.flush()
    os._exit(int(status))


def outcome(task: Task) -> str:
    """Return what became of a mutant, when its process has ended or its time is up; end what it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(task.process.pid or 0, signal.SIGKILL)
    task.process.join()
    code = task.process.exitcode or 0
    shutil.copy(ROOT / task.mutant.file, task.copy / task.mutant.file)
    if code == -signal.SIGKILL:
        return "no answer"
    return "noticed" if code < 0 else OUTCOMES[code]


def run_all(mutants: Sequence[Mutant], copies: list[Path], config: dict[str, Any], known: set[Key]) -> dict[Key, str]:
    """Test all mutants, one at a time in each copy; return the outcomes by the mutants' keys.

    Which were noticed is written to `LAST` beside those that are already `known` to be.
    """
    context, waiting, running = get_context("fork"), list(mutants), []
    found = dict.fromkeys(known, "noticed")
    while waiting or running:
        while waiting and copies:
            mutant, copy = waiting.pop(0), copies.pop()
            tests = tests_of(mutant.file, config)
            process = context.Process(target=test, args=(mutant, copy, tests, config["cpu_seconds"]))
            process.start()
            running.append(Task(mutant, copy, process, time.monotonic()))
        wait([task.process.sentinel for task in running], timeout=5)
        for task in list(running):
            seconds = time.monotonic() - task.started
            if task.process.is_alive() and seconds < WALL_SECONDS:
                continue
            running.remove(task)
            copies.append(task.copy)
            found[task.mutant.key] = outcome(task)
            LAST.write_text(json.dumps([key for key, what in found.items() if what == "noticed"]))
            print(f"{found[task.mutant.key]:9}{seconds:5.0f} s  {shown(task.mutant)}", flush=True)
    return found


def failing(mutants: Sequence[Mutant], copy: Path, config: dict[str, Any]) -> bool:
    """Return whether a test fails without any change, and print its output: every mutant would then be noticed."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in tests_of(mutant.file, config)))
    file = mutants[0].file if mutants else "reprbench/features.py"
    unchanged = Mutant(file, 0, "", "", (ROOT / file).read_text("utf-8"))
    process = get_context("fork").Process(target=test, args=(unchanged, copy, tests, 24 * 3600))
    process.start()
    process.join()
    if process.exitcode and tests:
        print("without any change a test fails:\n" + Path(f"{copy}.txt").read_text("utf-8"))
    return bool(process.exitcode and tests)


def shown(mutant: Mutant) -> str:
    """Return a mutant for people."""
    return f"{mutant.file}:{mutant.line}\n    {mutant.was}\n    {mutant.now}"


def table(outcomes: dict[Key, str]) -> tuple[str, float]:
    """Return the numbers by folder, and the share of all that was noticed of what is not equivalent, in percent."""
    words = ["noticed", "equivalent", "survived", "no tests", "no answer"]
    rows: dict[str, list[str]] = {}
    for (file, *_), what in outcomes.items():
        rows.setdefault(str(Path(file).parent if file.count("/") > 1 else file.rpartition("/")[0]), []).append(what)
    rows["all"] = list(outcomes.values())
    lines, share = [f"{'':22}{'mutants':>10}{''.join(f'{word:>12}' for word in words)}{'score':>8}"], 100.0
    for folder, found in rows.items():
        counts = [found.count(word) for word in words]
        share = 100 * counts[0] / max(1, len(found) - counts[1])
        lines.append(f"{folder:22}{len(found):10}{''.join(f'{count:12}' for count in counts)}{share:7.1f}%")
    return "\n".join(lines), share


def main() -> int:
    """Run the mutants; return 1 if too few were noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tested at the same time")
    parser.add_argument("--again", action="store_true", help="only those that the last run did not see noticed")
    parser.add_argument("--trust", action="store_true", help="do not run the tests without a change first")
    parser.add_argument("prefixes", nargs="*", help="which files")
    arguments = parser.parse_args()
    config = yaml.safe_load((Path(__file__).parent / "config.yaml").read_text("utf-8"))
    listed = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text("utf-8")) or []
    equivalent = {(one["file"], one["was"], one["now"]) for one in listed}
    mutants = sample(ROOT, config["files"], config["operators"], config["seed"], config["mutants"])
    for file, was, _ in equivalent:
        if not (ROOT / file).is_file() or was not in (ROOT / file).read_text("utf-8"):
            print(f"equivalent.yaml lists a line that {file} no longer has:\n    {was}")
    mutants = [one for one in mutants if one.file.startswith(tuple(arguments.prefixes) or "")]
    known = {tuple(key) for key in json.loads(LAST.read_text())} if arguments.again and LAST.exists() else set()
    outcomes = {one.key: "equivalent" if one.key in equivalent else "noticed" for one in mutants}
    asked = [one for one in mutants if one.key not in equivalent | known]
    print(f"{len(asked)} of {len(mutants)} mutants to test", flush=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for name in PRELOADED.split():
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="reprbench-mutants-") as folder:
        copies = [copied(Path(folder) / str(number)) for number in range(arguments.jobs)]
        if not arguments.trust and failing(asked, copies[0], config):
            return 2
        found = run_all(asked, copies, config, known)
    outcomes |= {one.key: found[one.key] for one in asked}
    text, share = table(outcomes)
    missed = [one for one in mutants if outcomes[one.key] not in {"noticed", "equivalent"}]
    print("\nNot noticed:", *map(shown, sorted(missed, key=lambda one: (one.file, one.line))), sep="\n")
    print(f"\n{text}")
    return 0 if share >= config["least"] else 1


if __name__ == "__main__":
    sys.exit(main())
