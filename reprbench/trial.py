"""The schema of a trial: the content of ``trial.json``. Fields that a later version adds are ignored.

User input is read by pydantic, for its messages. Trials are written by reprbench itself, and a store may hold ten
thousand: msgspec takes half the time.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from functools import cached_property
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ValidationError

from reprbench.benchmark import Reference
from reprbench.errors import UserError
from reprbench.evaluation import FINISHED
from reprbench.evaluation import Code as Code
from reprbench.evaluation import Evaluation as Evaluation
from reprbench.evaluation import Figure as Figure
from reprbench.evaluation import Status as Status
from reprbench.migrations import SCHEMA
from reprbench.run_context import Precision
from reprbench.spec import Budget, check_name
from reprbench.trial_parts import Cost as Cost
from reprbench.trial_parts import DataRecord as DataRecord
from reprbench.trial_parts import Deviation as Deviation
from reprbench.trial_parts import DeviationKind as DeviationKind
from reprbench.trial_parts import MethodRecord as MethodRecord
from reprbench.trial_parts import ProtocolRecord as ProtocolRecord
from reprbench.trial_parts import Size as Size
from reprbench.trial_parts import SweepRecord as SweepRecord

TRIAL, HISTORY, LOG = "trial.json", "history.csv", "log.txt"
"""The files in a trial's folder, besides figures."""
ADHOC = "adhoc"
"""The benchmark of trials that no benchmark file asked for; their rows are named after their calls."""

NOT_EVALUATED: Literal["not evaluated"] = "not evaluated"


class RowKey(msgspec.Struct, frozen=True):
    """Identifies a row, whatever the code and parameters behind its label.

    Attributes
    ----------
    benchmark, label : the row of the benchmark.
    data : the digest of the dataset.
    budget, precision : of the fit.
    seed : None where a row is taken over its seeds.
    """

    benchmark: str
    label: str
    data: str
    budget: Budget
    precision: Precision
    seed: int | None


class Trial(msgspec.Struct, kw_only=True, dict=True):
    """Everything known about one trial: the content of ``trial.json``."""

    schema_version: int = SCHEMA
    benchmark: str
    label: str
    method: MethodRecord
    dataset: DataRecord
    budget: Budget
    precision: Precision = "float32"
    seed: Size
    identity: dict[str, Any]
    hash: str
    status: Status
    """Of what all protocols share: the import, the fit. Each evaluation has its own."""
    reason: str = ""
    traceback: str = ""
    signal: str | None = None
    protocols: list[ProtocolRecord] = []
    """The protocols that were requested, even if the trial did not get that far."""
    sweeps: list[SweepRecord] = []
    """Those of which it is a setting; of several with the same row, the one that was asked for last is at the end."""
    only_setting: bool = False
    """Whether it was only asked for as a setting of sweeps, and is no row of its own."""
    deviations: list[Deviation] = []
    warnings: list[str] = []
    reference: Reference | None = None
    title: str = ""
    """The benchmark's; empty in trials from before it was recorded, and of no benchmark's file."""
    group: str = ""
    """The heading of the benchmark under which the row stands."""
    evaluations: list[Evaluation] = []
    cost: Cost = msgspec.field(default_factory=Cost)
    provenance: dict[str, Any] = {}
    requested: str = ""
    """When a run last asked for it, in ISO 8601; empty in trials from before it was recorded."""
    changed_by_hand: bool = False
    """Whether ``trial.json`` was once not as reprbench had written it."""

    def __post_init__(self) -> None:
        _check_folder(self)
        for name in ("code", "versions", "machine", "fit"):
            if not isinstance(self.known(name), dict):
                raise ValueError(f"provenance: expected {name} to be an object")
        if not 0 <= self.numerics < 2**31:
            # The highest version counts in a table, and makes all others outdated.
            raise ValueError("identity: numerics is not a version number")

    def known(self, part: str) -> dict[str, Any]:
        """Return a part of the provenance, such as ``machine``; empty if it is unknown."""
        return self.provenance.get(part) or {}

    def evaluation(self, protocol: ProtocolRecord) -> Evaluation | None:
        """Return the record of that protocol; None if the trial did not get that far."""
        return next((found for found in reversed(self.evaluations) if found.hash == protocol.hash), None)

    def results(self, protocol: ProtocolRecord) -> Evaluation | None:
        """Return the finished evaluation under that protocol; None if there is none."""
        found = self.evaluation(protocol)
        return found if found and found.finished else None

    def failure(self, asked: Container[str] | None = None) -> Trial | Evaluation | None:
        """Return what is wrong with the trial as a whole: the part of it that failed first, or None.

        That is the trial itself if what its protocols share failed, else the evaluation of a requested protocol.

        Parameters
        ----------
        asked : only the protocols with these hashes count; by default all that were ever requested.
        """
        if self.status not in FINISHED:
            return self
        found = (self.evaluation(one) for one in self.protocols if asked is None or one.hash in asked)
        return next((one for one in found if one and not one.finished), None)

    def outcome(self, protocol: ProtocolRecord) -> tuple[Status | Literal["not evaluated"], str]:
        """Return the status of the trial under that protocol, and the reason for it."""
        if (found := self.evaluation(protocol)) is not None:
            return found.status, found.reason
        if self.status not in FINISHED:
            return self.status, self.reason
        failed = [one for one in self.evaluations if not one.finished]
        if not failed:
            return NOT_EVALUATED, "the trial has no result of this protocol"
        last = max(failed, key=lambda one: one.ended)
        return NOT_EVALUATED, f"the trial ended in {last.call}: {last.status}"

    @cached_property
    def row(self) -> RowKey:
        """The row the trial belongs to; a later trial of the same row supersedes it."""
        return RowKey(self.benchmark, self.label, self.dataset.digest, self.budget, self.precision, self.seed)

    @cached_property
    def path(self) -> str:
        """The file it was read from; empty if it was not read from one."""
        return ""

    @property
    def numerics(self) -> int:
        """The version of reprbench's own computations (`reprbench.source.NUMERICS`); 0 if it was not recorded yet."""
        number = self.identity.get("numerics")
        return number if isinstance(number, int) else 0

    @property
    def fits_at_once(self) -> int:
        """How many trials could run at the same time when it was fitted; 0 if it was not recorded."""
        number = (self.known("fit") or self.provenance).get("trials_at_once")
        return number if isinstance(number, int) else 0

    @property
    def ended(self) -> str:
        """When the trial ended, in ISO 8601; empty if it is unknown."""
        return str(self.provenance.get("ended", ""))

    @property
    def order(self) -> str:
        """The time by which the trials of a row are ordered: the last one is shown."""
        return max(self.requested, self.ended)

    @property
    def folder(self) -> str:
        """The trial's folder inside the store, as ``benchmark/method/seed-hash``."""
        return trial_folder(self.benchmark, self.method, self.seed, self.hash)


def trial_folder(benchmark: str, method: MethodRecord, seed: int, fit: str) -> str:
    """Return the folder of a trial inside the store, as ``benchmark/method/seed-hash``; `fit` is its hash."""
    return f"{benchmark}/{method.name}/{seed}-{fit[:8]}"


def _check_folder(trial: Trial) -> None:
    """Raise a `ValueError` unless the parts of the trial's folder are names: stores come from anywhere."""
    try:
        check_name(trial.benchmark, "benchmark")
        check_name(trial.method.name, "method")
    except UserError as error:
        raise ValueError(str(error)) from None
    if not (trial.hash.isascii() and trial.hash.isalnum()):
        raise ValueError(f"{trial.hash[:80]!r} is not a hash")


def newest_of_each_row(trials: Iterable[Trial]) -> list[Trial]:
    """Return the last trial of each row, in the order in which rows first appear: the others are superseded.

    Of trials of the same time (`Trial.order`), the later in the sequence counts.
    """
    latest: dict[RowKey, Trial] = {}
    for trial in trials:
        latest[trial.row] = max(trial, latest.get(trial.row, trial), key=lambda one: one.order)
    return list(latest.values())


def to_json(part: msgspec.Struct) -> Any:
    """Return a trial, or a part of one, as plain JSON values: dicts, lists, texts and numbers."""
    return msgspec.to_builtins(part, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if not hasattr(value, "item"):
        raise TypeError(f"{value!r} is neither a text nor a number")
    # A NumPy or PyTorch number: measurements may come from any plugin.
    return value.item()


def as_model(kind: type[BaseModel], value: Any) -> BaseModel:
    """Return `value` as a pydantic model, for `msgspec`; raise a one-line `ValueError` if it is not valid."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
