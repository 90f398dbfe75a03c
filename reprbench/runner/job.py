"""The input and output of a trial's process."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import msgspec

from reprbench.evaluation import FIGURES as FIGURES
from reprbench.evaluation import GRAMS as GRAMS
from reprbench.files import write_text
from reprbench.limit import Limit
from reprbench.registry import Entry
from reprbench.run_context import CHECKPOINT, Precision
from reprbench.spec import Budget, Call
from reprbench.trial import HISTORY as HISTORY
from reprbench.trial import LOG as LOG
from reprbench.trial import Code, Cost, Evaluation, Status, as_model, to_json


class OtherData(msgspec.Struct, frozen=True):
    """A dataset that a protocol evaluates on besides the learner's own: its call, where it comes from, its digest."""

    call: Call
    entry: Entry
    digest: str


class ProtocolJob(msgspec.Struct, kw_only=True):
    """One evaluation to make: where its protocol comes from, and what will be recorded about it."""

    entry: Entry
    call: Call
    code: Code
    parameters: dict[str, Any]
    hash: str
    others: tuple[OtherData, ...] = ()


class Job(msgspec.Struct, kw_only=True):
    """The content of ``job.json``: one trial to execute."""

    entry: Entry
    parameters: dict[str, Any]
    dataset: Call
    dataset_entry: Entry
    limit: int | Limit | None
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
    identity: dict[str, Any]
    """Of the trial as it was planned; `hash` is its digest."""
    key: str
    """Of the whole request for this trial: equal for jobs that only differ in which of its protocols are left."""
    label: str
    """Of the row."""
    device: str = "cpu"
    """``cpu`` or ``cuda:N``, filled in by the executor; ``cuda`` is the first that the trial's machine has to offer."""
    threads: int = 1
    """CPU threads, filled in by the executor."""
    trials_at_once: int = 1
    """How many trials may run at the same time on its machine, this one included, filled in by the executor: its times
    depend on them."""
    sent: bool = False
    """Whether it may run on another machine than the one that planned it, filled in by the executor."""


class TrialResult(msgspec.Struct, kw_only=True):
    """The content of ``result.json``: the outcome of what the trial's protocols share; its evaluations have their own.

    ``fit.json`` has it as soon as only evaluations are left.
    """

    status: Status
    reason: str = ""
    traceback: str = ""
    warnings: list[str] = []
    cost: Cost = msgspec.field(default_factory=Cost)
    resumed: bool = False
    provenance: dict[str, Any] = {}


class Ended(msgspec.Struct):
    """The content of ``ended.json``: how a trial ended that ran elsewhere."""

    result: TrialResult
    signal: str | None
    """The name of the signal that ended it before it had a result."""


JOB, FIT, RESULT = "job.json", "fit.json", "result.json"
PROVENANCE, EVALUATIONS = "provenance.json", "evaluations"
"""The files, and the folder of evaluations, in the working folder of a trial's process."""
PROGRESS, ENDED = "progress.json", "ended.json"
"""The files that replace the messages and the end of a process where that runs elsewhere."""


def has_checkpoint(cache: Path, fit: str) -> bool:
    """Return whether a fit, identified by its hash, would go on from a checkpoint."""
    return any(Path(cache, "fits", fit).glob(f"*/{CHECKPOINT}"))


def write_job(path: Path, job: Job) -> None:
    """Write the job; in ASCII, since names of files need not be UTF-8."""
    write_text(path, json.dumps(to_json(job), allow_nan=False))


def read_job(path: Path) -> Job:
    """Read the job that the parent wrote."""
    return msgspec.convert(json.loads(path.read_bytes()), Job, dec_hook=converted)


def evaluation_path(folder: Path, asked: ProtocolJob) -> Path:
    """Return the path of an evaluation in the working folder."""
    return folder / EVALUATIONS / f"{asked.hash}.json"


def unfinished(asked: ProtocolJob, status: Status, reason: str, traceback: str = "") -> Evaluation:
    """Return the record of an evaluation that failed."""
    return Evaluation(
        call=asked.call,
        code=asked.code,
        parameters=asked.parameters,
        hash=asked.hash,
        seconds=0.0,
        headlines=[],
        measurements=[],
        status=status,
        reason=reason,
        traceback=traceback,
    )


def now() -> str:
    """Return the time in ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def converted(kind: Any, value: Any) -> Any:
    """Make what msgspec does not know from its JSON: paths and models of pydantic."""
    return Path(value) if issubclass(kind, Path) else as_model(kind, value)
