"""The plan: which trials must run, and why. Pure functions of what is asked and what is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reprbench.benchmark import Reference
from reprbench.protocols.base import Protocol
from reprbench.registry import Entry
from reprbench.spec import Budget
from reprbench.trial import DataRecord, MethodRecord, Trial

PREPROCESSING = "float32(x / 255)"
"""What happens to the pixels before a learner sees them."""


@dataclass(frozen=True)
class TrialSpec:
    """One trial that is asked for: method × dataset × budget × seed, and the protocols to run on it."""

    benchmark: str
    label: str
    entry: Entry
    method: MethodRecord
    dataset: DataRecord
    budget: Budget
    seed: int
    protocols: tuple[Protocol, ...]
    reference: Reference | None = None
    deviations: tuple[str, ...] = ()
    problem: str = ""
    """Why the method cannot run at all (its import failed)."""
    traceback: str = ""

    def identity(self) -> dict[str, Any]:
        """Return everything that can change what is learned, and nothing else."""
        return {
            "method": self.method.name,
            "source": self.method.source,
            "parameters": self.method.parameters,
            # Where the files lie, and how they are packed, does not matter; the digest says what they hold.
            "dataset": self.dataset.call.partition("[")[0],
            "data": self.dataset.digest,
            "preprocessing": PREPROCESSING,
            "budget": self.budget.model_dump(exclude_none=True),
            "seed": self.seed,
        }

    @property
    def hash(self) -> str:
        """The sha256 of the identity."""
        return digest(self.identity())


@dataclass(frozen=True)
class Planned:
    """What is to be done about one trial, and why."""

    spec: TrialSpec
    action: Literal["run", "evaluate", "keep"]
    reason: str
    missing: tuple[Protocol, ...] = ()
    """The protocols to run; the others' results are kept."""
    stored: Trial | None = field(default=None, repr=False)


def digest(value: Any) -> str:
    """Return the sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plan(specs: Sequence[TrialSpec], stored: Iterable[Trial]) -> list[Planned]:
    """Decide for each trial whether to run it, only evaluate it, or keep what the store has."""
    by_hash: dict[tuple[str, str], Trial] = {}
    by_row: dict[tuple[str, str, int], Trial] = {}
    for trial in stored:
        by_hash[trial.benchmark, trial.hash] = trial
        by_row[trial.benchmark, trial.label, trial.seed] = trial
    return [
        _decide(spec, by_hash.get((spec.benchmark, spec.hash)), by_row.get((spec.benchmark, spec.label, spec.seed)))
        for spec in specs
    ]


def _decide(spec: TrialSpec, same: Trial | None, same_row: Trial | None) -> Planned:
    if same is None:
        changed = _changes(spec.identity(), same_row.identity) if same_row else []
        return Planned(spec, "run", f"{', '.join(changed)} changed" if changed else "new", spec.protocols)
    if same.status != "done":
        return Planned(spec, "run", f"failed before ({same.status})", spec.protocols, same)
    there = {evaluation.hash for evaluation in same.evaluations}
    missing = tuple(protocol for protocol in spec.protocols if digest(protocol.identity()) not in there)
    if not missing:
        return Planned(spec, "keep", "already there", (), same)
    known = {evaluation.name for evaluation in same.evaluations}
    reason = "protocol changed" if any(protocol.name in known for protocol in missing) else "protocol new"
    return Planned(spec, "evaluate", reason, missing, same)


def _changes(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Return the words for the components of an identity that differ."""
    words = {"source": "method", "data": "data"}
    names = [words.get(key, key) for key in asked if asked[key] != stored.get(key)]
    return list(dict.fromkeys(names))
