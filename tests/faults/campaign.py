"""A campaign of random faults against real runs, with a seed; prints a table. Not part of the ordinary tests.

    python tests/faults/campaign.py --seed 0 --workers 2

Every fault is followed by the command that a user would give next, and what that leaves is compared with an undisturbed
run: the measurements must be equal to the last bit. See docs/reliability.md for the table of a full campaign.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from mutated import fault_of_input

METHODS = ("pca[n_components=4]", "ae[width=4]")
RUN = ("run", "--methods", ",".join(METHODS), "--limit", "100", "--epochs", "12", "--store", "store")
PROTOCOLS = "knn,convergence,code-stats"
TIMEOUT = 300
"""Seconds after which a command counts as stuck."""

Measured = dict[tuple[str, str], Any]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "REPRBENCH_CHECKPOINT_SECONDS": "0.05", "LC_ALL": "C.UTF-8"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in a group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "reprbench.cli.main", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command to its end; return its status (-1 if it is stuck) and what it wrote to stderr."""
    process = start(folder, *arguments)
    try:
        _, errors = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return -1, process.communicate()[1]
    return process.returncode, errors


def measured(folder: Path) -> Measured:
    """Return all finished measurements of a store by label and protocol."""
    found: Measured = {}
    for path in sorted(folder.glob("store/*/*/*/trial.json")):
        trial = json.loads(path.read_text(encoding="utf-8"))
        for one in trial["evaluations"]:
            if one.get("status", "done") in ("done", "skipped"):
                found[trial["label"], one["call"]["name"]] = one["measurements"]
    return found


def leftovers(folder: Path) -> list[str]:
    """Return what a dead run left behind: processes working there, and temporary files in the store."""
    found = [str(path) for path in folder.glob("store/**/.*") if path.name.startswith((".new-", ".old-"))]
    working = (one.info for one in psutil.process_iter(["pid", "cwd", "cmdline"]) if one.info["cwd"] == str(folder))
    return [*found, *(f"process {info['pid']}: {info['cmdline']}" for info in working)]


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class Campaign:
    """The faults, all against copies of one small run; every method returns the outcome in words."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.whole = root / "whole"
        self.whole.mkdir()
        began = time.monotonic()
        status, errors = command(self.whole, *RUN, "--protocols", PROTOCOLS)
        self.seconds = time.monotonic() - began
        assert status == 0, errors
        self.expected = measured(self.whole)
        status, errors = command(self.whole, *RUN, "--protocols", PROTOCOLS + ",linear-svm")
        assert status == 0, errors
        self.extended = measured(self.whole)
        shutil.rmtree(self.whole)
        self.whole.mkdir()
        command(self.whole, *RUN, "--protocols", PROTOCOLS)
        self.files = sorted(path.relative_to(self.whole) for path in self.whole.rglob("*") if path.is_file())

    def kill(self, number: int, random_: random.Random) -> tuple[str, str]:
        """Kill parent, trial or group at a random time, then give the same command again."""
        target = random_.choice(("parent", "trial", "group"))
        folder = self.root / f"kill-{number}"
        folder.mkdir()
        process = start(folder, *RUN, "--protocols", PROTOCOLS)
        time.sleep(random_.uniform(0, self.seconds))
        children = descendants(process.pid)
        if target == "parent":
            process.kill()
        elif target == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            for child in children:
                child.kill()
        process.communicate()
        psutil.wait_procs(children, timeout=5)
        left = [one for one in leftovers(folder) if one.startswith("process")]
        return f"kill -9 of the {target}", self._again(folder, left)

    def _again(self, folder: Path, left: list[str]) -> str:
        before = measured(folder)
        status, errors = command(folder, *RUN, "--protocols", PROTOCOLS)
        after = measured(folder)
        if left:
            return f"left a process behind: {left[0]}"
        if status != 0:
            return f"exit {status}: {last(errors)}"
        if any(after.get(key) != value for key, value in before.items()):
            return "a finished evaluation was lost"
        if after != self.expected:
            return "other numbers"
        if found := leftovers(folder):
            return f"left behind: {found[0]}"
        shutil.rmtree(folder)
        return "same bits"

    def corruption(self, number: int, random_: random.Random) -> tuple[str, str]:
        """Damage one file of the cache or the store, then ask for one protocol more."""
        folder = self.root / f"corrupt-{number}"
        shutil.copytree(self.whole, folder)
        name = random_.choice(self.files)
        how = random_.choice(("zeroed", "one bit", "truncated", "emptied", "other file"))
        damage(folder / name, how, folder / random_.choice(self.files), random_)
        place = "cache" if name.parts[0] == ".reprbench" else "store"
        compared = command(folder, "compare", str(self.whole / "store"), "store")[0] if place == "store" else 0
        changed = (folder / name).read_bytes() != (self.whole / name).read_bytes()
        if name.name == "trial.json" and changed and compared == 0:
            return f"damage in the {place}", f"{how} {name}: compare passed it"
        status, errors = command(folder, *RUN, "--protocols", PROTOCOLS + ",linear-svm")
        after = measured(folder)
        if status != 0:
            return f"damage in the {place}", f"{how} {name}: exit {status}: {last(errors)}"
        if place == "cache" and after != self.extended:
            return f"damage in the {place}", f"{how} {name}: other numbers"
        if place == "store" and set(after) != set(self.extended):
            return f"damage in the {place}", f"{how} {name}: evaluations missing"
        shutil.rmtree(folder)
        return f"damage in the {place}", "same bits" if after == self.extended else "flagged"

    def concurrent(self, processes: int) -> Iterator[tuple[str, str]]:
        """Start several runs at once on one store: half of them the same, half with a protocol of its own."""
        folder = self.root / "concurrent"
        folder.mkdir()
        protocols = [PROTOCOLS, *PROTOCOLS.split(",")]
        running = [start(folder, *RUN, "--protocols", protocols[n % len(protocols)]) for n in range(processes)]
        errors = [process.communicate(timeout=TIMEOUT * processes)[1] for process in running]
        for process, text in zip(running, errors, strict=True):
            yield "runs at once", f"exit {process.returncode}: {last(text)}" if process.returncode else "exit 0"
        fits = [1 for text in errors for line in text.splitlines() if line.endswith(": started")]
        yield "runs at once: fits made", f"{len(fits)} for {len(METHODS)} methods"
        yield "runs at once: results", "same bits" if measured(folder) == self.expected else "other results"


def damage(path: Path, how: str, other: Path, random_: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "zeroed" and content:
        begin = random_.randrange(len(content))
        content[begin:] = bytes(len(content) - begin)
    elif how == "one bit" and content:
        content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
    elif how == "truncated":
        del content[random_.randrange(len(content) + 1) :]
    elif how == "emptied":
        content.clear()
    else:
        content[:] = other.read_bytes()
    path.write_bytes(content)


def last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else ""


def numbered(count: int, seed: int, name: str, fault: Callable[[int, random.Random], Any], workers: int) -> list[Any]:
    with ThreadPoolExecutor(workers) as pool:
        numbers = (random.Random(f"{seed} {name} {n}") for n in range(count))  # noqa: S311
        return list(pool.map(fault, range(count), numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"seed": 0, "kills": 100, "corruptions": 60, "runs": 8, "inputs": 500, "workers": 2}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    counts: dict[str, collections.Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        results: list[tuple[str, str]] = []
        if asked.kills or asked.corruptions or asked.runs:
            campaign = Campaign(root)
            results += numbered(asked.kills, asked.seed, "kill", campaign.kill, asked.workers)
            results += numbered(asked.corruptions, asked.seed, "corruption", campaign.corruption, asked.workers)
            results += list(campaign.concurrent(asked.runs)) if asked.runs else []
        inputs = root / "inputs"
        inputs.mkdir()
        # In this thread: the command line handles signals.
        for number in range(asked.inputs):
            results.append(fault_of_input(inputs, number, random.Random(f"{asked.seed} input {number}")))  # noqa: S311
    for fault, outcome in results:
        counts.setdefault(fault, collections.Counter())[outcome] += 1
    print("| fault | times | outcomes |\n|---|---|---|")
    for fault, outcomes in sorted(counts.items()):
        words = "; ".join(f"{outcome} ({number})" for outcome, number in outcomes.most_common())
        print(f"| {fault} | {outcomes.total()} | {words} |")


if __name__ == "__main__":
    main()
