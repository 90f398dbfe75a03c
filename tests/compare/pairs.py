"""Two stores of a few trials, compared as `reprbench compare` does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from trials import evaluation, trial

from reprbench.compare.comparison import StoreComparison
from reprbench.compare.judge import CompareSettings, compare
from reprbench.spec import Call
from reprbench.store import Store
from reprbench.trial import DataRecord, Trial
from reprbench.trial_file import trial_text

STL10 = DataRecord(
    call=Call(name="stl10"), title="STL-10", digest="d" * 64, shape=(3, 96, 96), unlabeled=100_000, train=5_000,
    test=8_000, classes=10, folds=10,
)  # fmt: skip
FOLDS = np.random.default_rng(0).normal(60, 1, 10)
NOISE = np.random.default_rng(1).normal(0, 0.3, 10)


def row(values: Iterable[float], label: str = "ae", **changes: Any) -> Trial:
    """Return a trial with one accuracy per fold; different `changes` get different folders."""
    digest = hashlib.sha256(f"{label} {changes}".encode()).hexdigest()
    return trial(
        label, digest=digest, **{"dataset": STL10, "evaluations": [evaluation(list(map(float, values)))], **changes}
    )


def missing(label: str = "ae", status: str = "failed", reason: str = "RuntimeError: no luck", **changes: Any) -> Trial:
    """Return a trial that did not reach its protocol."""
    return row([], label, evaluations=[], status=status, reason=reason, **changes)


def ended(day: int) -> dict[str, str]:
    """Return the provenance of a trial that ended on a day of January."""
    return {"ended": f"2026-01-{day:02}"}


def compared(folder: Path, base: list[Trial], new: list[Trial], **settings: Any) -> StoreComparison:
    """Write two stores, and compare them."""
    for name, trials in (("base", base), ("new", new)):
        for one in trials:
            write_text(folder / name / one.folder, trial_text(one))
    return compare(Store(folder / "base"), Store(folder / "new"), CompareSettings(**settings), [])


def write_text(folder: Path, content: str) -> None:
    """Do what `Store.write` does, without waiting for the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial.json").write_text(content)


def verdicts(comparison: StoreComparison) -> list[str]:
    return [one.verdict for one in comparison.rows]
