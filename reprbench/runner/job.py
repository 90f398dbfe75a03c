"""The input and output of a trial's process."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec

from reprbench.evaluation import FIGURES as FIGURES
from reprbench.registry import Entry
from reprbench.run import Precision
from reprbench.spec import Budget, Call
from reprbench.trial import HISTORY as HISTORY
from reprbench.trial import Code, Cost, Evaluation, Status, as_model


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


JOB, FIT, RESULT, LOG = "job.json", "fit.json", "result.json", "output.txt"
PROVENANCE, EVALUATIONS = "provenance.json", "evaluations"
"""The files, and the folder of evaluations, in the working folder of a trial's process."""


def read_job(path: Path) -> Job:
    """Read the job that the parent wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Job, dec_hook=_decode)


def read_result(path: Path) -> TrialResult:
    """Read the result that the trial's process wrote; raise an `OSError` or a `ValueError` if there is none."""
    return msgspec.json.decode(path.read_bytes(), type=TrialResult, dec_hook=_decode)


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation that the trial's process finished; raise an `OSError` or a `ValueError` if there is none."""
    return msgspec.json.decode(path.read_bytes(), type=Evaluation, dec_hook=_decode)


def evaluation_path(folder: Path, number: int) -> Path:
    """Return the path of the evaluation of the job's protocol with that number, from 0, in the working folder."""
    return folder / EVALUATIONS / f"{number}.json"


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


def _decode(kind: Any, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else as_model(kind, value)
