"""The input and output of a trial's process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from reprbench.files import write_text
from reprbench.registry import Entry
from reprbench.run import CHECKPOINT, Precision
from reprbench.spec import Budget, Call
from reprbench.trial import Code, Cost, Evaluation, Status, as_model, to_json


class ProtocolJob(msgspec.Struct, kw_only=True):
    """One evaluation to make: where its protocol comes from, and what will be recorded about it."""

    entry: Entry
    call: Call
    code: Code
    parameters: dict[str, Any]
    hash: str


class Job(msgspec.Struct, kw_only=True):
    """The content of ``job.json``: one trial to execute."""

    entry: Entry
    parameters: dict[str, Any]
    dataset: Call
    dataset_entry: Entry
    limit: int | None
    data_digest: str
    data_dirs: list[Path]
    cache: Path
    budget: Budget
    precision: Precision
    seed: int
    hash: str
    protocols: list[ProtocolJob]
    packages: list[str]
    """The distributions whose versions belong in the provenance."""
    device: str
    threads: int
    identity: dict[str, Any]
    """Of the trial as it was planned; `hash` is its digest."""


class TrialResult(msgspec.Struct, kw_only=True):
    """The content of ``result.json``: the outcome of the trial."""

    status: Status
    reason: str = ""
    traceback: str = ""
    warnings: list[str] = []
    evaluations: list[Evaluation] = []
    cost: Cost = msgspec.field(default_factory=Cost)
    resumed: bool = False
    provenance: dict[str, Any] = {}


JOB, RESULT, HISTORY, LOG = "job.json", "result.json", "history.csv", "output.txt"
PROVENANCE, FIGURES = "provenance.json", "figures"
"""The files, and the folder of figures, in the working folder of a trial's process."""


def has_checkpoint(cache: Path, fit: str) -> bool:
    """Return whether a fit, identified by its hash, would go on from a checkpoint."""
    return any(Path(cache, "fits", fit).glob(f"*/{CHECKPOINT}"))


def write_job(path: Path, job: Job) -> None:
    """Write the job; in ASCII, since names of files need not be UTF-8."""
    write_text(path, json.dumps(to_json(job), allow_nan=False))


def read_job(path: Path) -> Job:
    """Read the job that the parent wrote."""
    return msgspec.convert(json.loads(path.read_bytes()), Job, dec_hook=converted)


def converted(kind: Any, value: Any) -> Any:
    """Make what msgspec does not know from its JSON: paths and models of pydantic."""
    return Path(value) if issubclass(kind, Path) else as_model(kind, value)
