"""The plan: which trials must run, and why. Pure functions of the request and the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from reprbench.benchmark import Reference
from reprbench.evaluation import FINISHED
from reprbench.merge import merged
from reprbench.registry import Entry
from reprbench.run_context import Precision
from reprbench.runner.job import OtherData
from reprbench.source import NUMERICS
from reprbench.spec import Budget
from reprbench.trial import (
    Code,
    DataRecord,
    Deviation,
    MethodRecord,
    ProtocolRecord,
    RowKey,
    SweepRecord,
    Trial,
    to_json,
    trial_folder,
)

PREPROCESSING = "float32(x / 255)"
"""What happens to the pixels before a learner sees them."""


@dataclass(frozen=True)
class ProtocolSpec:
    """One requested protocol.

    Attributes
    ----------
    entry : where it comes from.
    record : its call, and its place in the tables.
    code : identifies the state of its code.
    parameters : all of them, as JSON.
    packages : the distributions that its code imports from.
    headlines, selects : the metrics that it shows, and those that it measures without the test split.
    others : the datasets that it evaluates on besides the learner's own.
    """

    entry: Entry
    record: ProtocolRecord
    code: Code
    parameters: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    headlines: tuple[str, ...] = ()
    selects: tuple[str, ...] = ()
    others: tuple[OtherData, ...] = ()


@dataclass(frozen=True)
class TrialSpec:
    """One requested trial: method × dataset × budget × precision × seed, and the protocols to run on it.

    Attributes
    ----------
    title, group : of the benchmark, and the heading in it under which the row stands.
    identifying : the method's parameters, with files by content.
    packages : the distributions that the code of method and protocols imports.
    sweeps, only_setting : as in `Trial`.
    problem, traceback : why the method cannot run at all (its import failed).
    """

    benchmark: str
    label: str
    entry: Entry
    method: MethodRecord
    identifying: Mapping[str, Any]
    dataset: DataRecord
    dataset_entry: Entry
    budget: Budget
    seed: int
    protocols: tuple[ProtocolSpec, ...]
    precision: Precision = "float32"
    packages: tuple[str, ...] = ()
    reference: Reference | None = None
    title: str = ""
    group: str = ""
    deviations: tuple[Deviation, ...] = ()
    sweeps: tuple[SweepRecord, ...] = ()
    only_setting: bool = False
    problem: str = ""
    traceback: str = ""

    def identity(self) -> dict[str, Any]:
        """Return everything that can change what is learned, and nothing else."""
        return {
            "method": self.method.name,
            "code": to_json(self.method.code),
            "parameters": dict(self.identifying),
            # Where the files lie, and whether they are zipped, does not matter; the digest identifies their content.
            "dataset": self.dataset.call.name,
            "data": self.dataset.digest,
            "preprocessing": PREPROCESSING,
            "budget": self.budget.model_dump(exclude_none=True),
            "precision": self.precision,
            "seed": self.seed,
            "numerics": NUMERICS,
        }

    def request(self) -> dict[str, Any]:
        """Return what a trial records of its request in addition to its identity."""
        return {
            "label": self.label,
            "method": self.method,
            "dataset": self.dataset,
            "protocols": [protocol.record for protocol in self.protocols],
            "sweeps": list(self.sweeps),
            "only_setting": self.only_setting,
            "deviations": list(self.deviations),
            "reference": self.reference,
            "title": self.title,
            "group": self.group,
        }

    @property
    def hash(self) -> str:
        """The sha256 of the identity."""
        return digest(self.identity())

    @property
    def folder(self) -> str:
        """The trial's folder inside the store."""
        return trial_folder(self.benchmark, self.method, self.seed, self.hash)

    @property
    def row(self) -> RowKey:
        """The row the trial will belong to."""
        return RowKey(self.benchmark, self.label, self.dataset.digest, self.budget, self.precision, self.seed)


@dataclass(frozen=True)
class Planned:
    """What to do about one trial, and why."""

    spec: TrialSpec
    action: Literal["run", "evaluate", "record", "keep"]
    """"record" runs nothing: the stored trial is written again with what is requested now."""
    reason: str
    missing: tuple[ProtocolSpec, ...] = ()
    """The protocols to run; the others' results are kept."""
    stored: Trial | None = field(default=None, repr=False)

    @property
    def hashes(self) -> set[str]:
        """Those of the protocols that are requested."""
        return {protocol.record.hash for protocol in self.spec.protocols}

    @property
    def runs(self) -> bool:
        """Whether a process has to run for it."""
        return self.action in ("run", "evaluate")


def digest(value: Any) -> str:
    """Return the sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def protocol_hash(name: str, code: Code, identifying: Mapping[str, Any], others: Sequence[OtherData] = ()) -> str:
    """Return the hash of everything that distinguishes one evaluation from others of the same fit."""
    identity = {"name": name, "code": to_json(code), "parameters": dict(identifying), "numerics": NUMERICS}
    return digest({**identity, "data": [one.digest for one in others]} if others else identity)


def plan(specs: Sequence[TrialSpec], stored: Iterable[Trial]) -> list[Planned]:
    """Decide for each trial whether to run it, only evaluate it, record it anew, or keep the stored one."""
    by_hash: dict[tuple[str, str], Trial] = {}
    by_row: dict[RowKey, Trial] = {}
    for trial in sorted(stored, key=lambda trial: trial.order):
        by_hash[trial.benchmark, trial.hash] = trial
        by_row[trial.row] = trial
    return [_decide(spec, by_hash.get((spec.benchmark, spec.hash)), by_row.get(spec.row)) for spec in specs]


def _decide(spec: TrialSpec, same: Trial | None, same_row: Trial | None) -> Planned:
    if same is None:
        changed = _changes(spec.identity(), same_row.identity) if same_row else []
        return Planned(spec, "run", f"{', '.join(changed)} changed" if changed else NEW, spec.protocols)
    if same.status not in FINISHED:
        return Planned(spec, "run", f"failed before ({same.status})", spec.protocols, same)
    missing = tuple(protocol for protocol in spec.protocols if same.results(protocol.record) is None)
    if not missing:
        return _record_or_keep(spec, same, same_row)
    return Planned(spec, "evaluate", _why_evaluate(missing, same), missing, same)


def _why_evaluate(missing: Sequence[ProtocolSpec], same: Trial) -> str:
    failed = next((found for one in missing if (found := same.evaluation(one.record))), None)
    if failed:
        return f"failed before ({failed.status})"
    known = {evaluation.call.name for evaluation in same.evaluations if evaluation.finished}
    return "protocol changed" if any(one.record.call.name in known for one in missing) else "protocol new"


def _record_or_keep(spec: TrialSpec, same: Trial, newest: Trial | None) -> Planned:
    """Return what to do about a trial whose results are all there."""
    asked, there = _compared(requested_anew(spec, same, same.requested)), _compared(same)
    changed = [name for name in asked if asked[name] != there[name]]
    if changed:
        return Planned(spec, "record", f"recorded anew: {', '.join(changed)}", (), same)
    if same is not newest:
        return Planned(spec, "record", "recorded anew: its row has a later trial", (), same)
    return Planned(spec, "keep", "already there", (), same)


def requested_anew(spec: TrialSpec, stored: Trial, at: str) -> Trial:
    """Return the stored trial with what a request `at` that time says about it, and the results that it has."""
    return merged(stored, replace(stored, **spec.request(), requested=at))


def _compared(trial: Trial) -> dict[str, Any]:
    """Return what a trial records of its request, by words for users; the order of its protocols does not matter."""
    return {
        "label": trial.label,
        "reference": trial.reference,
        "title": trial.title,
        "group": trial.group,
        "deviations": trial.deviations,
        "method": (trial.method.call, trial.method.origin),
        "dataset": (trial.dataset.call, trial.dataset.title),
        "protocols": {record.hash: record for record in trial.protocols},
        "sweeps": (trial.sweeps, trial.only_setting),
    }


NEW = "new"
"""Why a trial runs of which the store has nothing."""

WORDS = {"code": "method", "numerics": "reprbench"}
"""The names of components of the identity for users, where they differ."""


def _changes(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Return the words for the components of an identity that differ; older ones lack some, but all had the code."""
    # What was stored went through JSON, which knows no tuples.
    names = [name for name in asked if digest(asked[name]) != digest(stored.get(name))]
    names = [name for name in names if name in stored or name == "code"]
    return [WORDS.get(name, name) for name in names]
