"""Jobs of trials' processes for tests, without a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reprbench.learner import Learner
from reprbench.protocols.base import Protocol
from reprbench.registry import Entry
from reprbench.runner.evaluate import Evaluator
from reprbench.runner.fitting import Fits
from reprbench.runner.job import Job, ProtocolJob
from reprbench.runner.plan import ProtocolSpec, digest
from reprbench.spec import Budget, Call, parse_call
from reprbench.trial import Code, ProtocolRecord


def job(dataset: Any, cache: Path) -> Job:
    """Return the job of a method that is not defined in a file, on `dataset`."""
    return Job(
        entry=Entry("x", "file", "x.py"),
        parameters={},
        dataset=Call(name="digits"),
        dataset_entry=Entry("digits", "entry point", "reprbench.data.digits:load_digits", "dataset"),
        limit=None,
        data_digest=dataset.digest,
        data_dirs=[],
        cache=cache,
        budget=Budget(epochs=1),
        precision="float32",
        seed=0,
        hash="f" * 64,
        protocols=[],
        identity={},
        key="f" * 64,
        label="x",
        packages=[],
    )


def evaluator(
    cls: type[Learner],
    dataset: Any,
    cache: Path,
    protocols: Sequence[Protocol],
    others: Mapping[Call, Any] | None = None,
) -> tuple[Evaluator, Fits]:
    """Return what evaluates a learner by these protocols in a trial's process, and its fits."""
    asked = job(dataset, cache)
    fits = Fits(asked, cls, dataset, silent, {})
    return Evaluator(asked, cls, dataset, protocols, fits, cache / "work", silent, others), fits


def silent(what: str, share: float, values: Mapping[str, float]) -> None:
    """Report nothing of what is under way."""


def protocol_job(protocol: Protocol) -> ProtocolJob:
    """Return the evaluation of a protocol, as planning would request it."""
    call = Call(name=protocol.name, parameters=protocol.model_dump(mode="json", exclude_unset=True))
    spec = protocol_spec(str(call), protocol.version or 0)
    return ProtocolJob(
        entry=spec.entry,
        call=spec.record.call,
        code=spec.code,
        parameters=protocol.model_dump(mode="json"),
        hash=spec.record.hash,
    )


def protocol_spec(text: str, version: int = 1) -> ProtocolSpec:
    """Return what planning knows about the protocol of this call."""
    call = parse_call(text)
    record = ProtocolRecord(call, digest([text, version]))
    entry = Entry(call.name, "entry point", "somewhere:Protocol", "protocol")
    return ProtocolSpec(entry, record, Code(version=version), call.parameters)
