"""What the harness adds to a trial, in processor time, beside trials that are started anew. Run with `make perf`."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

STARTED = "from reprbench.runner.launch import launcher; launcher._current = lambda environment: None; "
MAIN = "from reprbench.cli.main import main; main()"
NOTHING = """
from reprbench import Learner, Measurement, Outcome, Protocol, register, register_protocol

@register("nothing")
class Nothing(Learner):
    def fit(self, images, run):
        pass

    def encode(self, x):
        return {"pixels": x}

@register_protocol("no-work")
class NoWork(Protocol):
    version = 1
    headlines = ("accuracy",)

    def evaluate(self, subject, seed):
        outcome = Outcome()
        outcome.measurements.append(Measurement("accuracy", 1.0, "%", "higher"))
        return outcome
"""


FEW = 6
"""Trials of the shorter run: after the third the server preloads the rest, 1 to 2 s of a run that has so many."""


def seconds(folder: Path, code: str, trials: int) -> float:
    """Return the processor time of a run of so many trials that do nothing, with all of its processes."""
    folder.mkdir()
    (folder / "nothing.py").write_text(NOTHING)
    seeds = ",".join(map(str, range(trials)))
    words = ["run", "--plugin", "nothing.py", "--methods", "nothing", "--protocols", "no-work", "--limit", "60",
             "--seeds", seeds]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=folder, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("many", [12])
def test_a_trial_costs_a_tenth_of_a_started_one(tmp_path, many):
    """What a run pays once is left out: both runs have enough trials for all that the server preloads."""
    few, all_of_them = (seconds(tmp_path / f"forked-{n}", MAIN, n) for n in (FEW, FEW + many))
    forked = (all_of_them - few) / many
    one, three = (seconds(tmp_path / f"started-{n}", STARTED + MAIN, n) for n in (1, 3))
    started = (three - one) / 2
    print(f"\nprocessor time of a trial: {forked:.2f} s forked, {started:.2f} s started; run of {FEW}: {few:.1f} s")
    assert forked <= 0.1 * started
