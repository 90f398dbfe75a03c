"""Plugins for runs on several machines, and what they have written."""

from __future__ import annotations

from pathlib import Path

from reprbench.store import Store
from reprbench.trial import Trial

HELD = """
from reprbench import Measurement, Outcome, Protocol, register_protocol

FOLDER = {folder!r}

def say(name, what):
    with open(os.path.join(FOLDER, name), "a") as file:
        file.write(what + "\\n")

@register("held")
class Held(Flat):
    '''Says where it is fitted, keeps a checkpoint, and waits for the file ``go``.'''

    number: int = 0

    def fit(self, images, run):
        run.restore_checkpoint()
        run.save_checkpoint({{}})
        say("fits", os.environ.get("WHICH", "here"))
        while not os.path.exists(os.path.join(FOLDER, "go")):
            time.sleep(0.02)
        super().fit(images, run)

@register("timed")
class Timed(Held):
    '''Says when it is fitted, and which device it may see.'''

    def fit(self, images, run):
        begun = time.monotonic()
        time.sleep(1.0)
        say("times", f"{{os.environ.get('CUDA_VISIBLE_DEVICES')}} {{begun}} {{time.monotonic()}}")
        Flat.fit(self, images, run)

@register_protocol("waits")
class Waits(Protocol):
    headlines = ("one",)

    def evaluate(self, subject, seed):
        while not os.path.exists(os.path.join(FOLDER, "evaluate")):
            time.sleep(0.02)
        return Outcome([Measurement("one", 1.0, "", "higher", {{}})])
"""
"""To be formatted with a `folder`."""


def lines(path: Path) -> list[str]:
    """Return the lines of a file that trials have written; none if it is not there."""
    return path.read_text().splitlines() if path.exists() else []


def trials(folder: Path) -> dict[str, Trial]:
    """Return the trials of the store there, by label."""
    return {trial.label: trial for trial in Store(folder / "results").read()[0]}


def numbers(folder: Path) -> dict[str, list[object]]:
    """Return all measurements of the trials there, by label."""
    return {label: [one.measurements for one in trial.evaluations] for label, trial in trials(folder).items()}


def features(folder: Path) -> dict[str, bytes]:
    """Return the cached features there, by their paths."""
    cache = folder / ".reprbench" / "features"
    paths = [path for path in cache.rglob("*") if path.is_file()]
    return {str(path.relative_to(cache)): path.read_bytes() for path in paths}
