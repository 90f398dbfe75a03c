"""What a trial's process is told, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from reprbench.spec import Budget, Call
from reprbench.trial import Cost, Evaluation, Status


class Job(BaseModel):
    """The content of ``job.json``: one trial to execute."""

    entry: dict[str, Any]
    parameters: dict[str, Any]
    dataset: Call
    limit: int | None
    data_digest: str
    data_dirs: list[Path]
    cache: Path
    budget: Budget
    seed: int
    hash: str
    protocols: list[Call]
    plugins: list[Path] = []
    device: str
    threads: int


class Result(msgspec.Struct, kw_only=True):
    """The content of ``result.json``: what became of it."""

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
