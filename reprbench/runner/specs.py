"""Expands a request into its trials, with methods, protocols and parameters validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import msgspec

from reprbench.benchmark import Benchmark, BenchmarkRow
from reprbench.data.dataset import Dataset
from reprbench.errors import UserError, did_you_mean
from reprbench.registry import EntryKind, Registry
from reprbench.runner.describe import Description, Question, describe
from reprbench.runner.plan import ProtocolSpec, TrialSpec, protocol_hash
from reprbench.runner.request import Request, settings_for
from reprbench.spec import Call, show_value
from reprbench.trial import DataRecord, Deviation, MethodRecord, ProtocolRecord


def make_specs(request: Request, registry: Registry, dataset: Dataset) -> list[TrialSpec]:
    """Return the trials, with everything validated.

    Raises
    ------
    UserError
        Lists all mistakes: wrong parameters, settings that fit nothing, images that a
        method cannot take.
    """
    benchmark = request.benchmark
    questions = _questions(request, registry, dataset)
    calls = _protocol_calls(benchmark)
    asked = [Question(registry.find("protocol", call.name), call.parameters) for call in calls]
    answers = describe([*questions, *asked])
    descriptions = answers[: len(questions)]
    answered = list(zip(asked, answers[len(questions) :], strict=True))
    _check(request.settings, list(zip(questions, descriptions, strict=True)), answered)
    protocols = {call: _protocol_spec(call, *one) for call, one in zip(calls, answered, strict=True)}
    data = data_record(benchmark, dataset)
    specs = [
        spec
        for row, question, description in zip(benchmark.methods, questions, descriptions, strict=True)
        for spec in _row_specs(request, Asked(row, question, description), protocols, registry, data, dataset.notes)
    ]
    # Two ways to write the same method are one trial, under the first name.
    unique: dict[str, TrialSpec] = {}
    for spec in specs:
        unique.setdefault(spec.hash, spec)
    return list(unique.values())


@dataclass(frozen=True)
class Asked:
    """A row of the benchmark, the question about its method, and the answer."""

    row: BenchmarkRow
    question: Question
    description: Description


def _questions(request: Request, registry: Registry, dataset: Dataset) -> list[Question]:
    """Return the question about the method of each row."""
    rows = request.benchmark.methods
    return [
        Question(
            registry.find("method", row.method.name),
            row.method.parameters,
            settings_for(row.method.name, request.settings),
            dataset.train.shape,
        )
        for row in rows
    ]


def _protocol_calls(benchmark: Benchmark) -> list[Call]:
    """Return every protocol of the benchmark and of its rows once."""
    own = [call for row in benchmark.methods for call in row.protocols or ()]
    return list(dict.fromkeys([*benchmark.protocols, *own]))


def _protocol_spec(call: Call, question: Question, found: Description) -> ProtocolSpec:
    record = ProtocolRecord(
        Call(name=call.name, parameters=found.changed), protocol_hash(call.name, found.code, found.identifying)
    )
    return ProtocolSpec(question.entry, record, found.code, found.parameters, tuple(found.packages))


def _row_specs(
    request: Request,
    asked: Asked,
    protocols: Mapping[Call, ProtocolSpec],
    registry: Registry,
    data: DataRecord,
    notes: Sequence[str],
) -> list[TrialSpec]:
    """Return the trials of one row: one per seed."""
    benchmark, row, found = request.benchmark, asked.row, asked.description
    applied = {name: asked.question.offered[name] for name in found.applied}
    method = _method_record(asked, row.method.with_parameters(**applied))
    chosen = _row_protocols(benchmark, row, protocols)
    return [
        TrialSpec(
            benchmark=benchmark.name,
            label=row.label or str(method.call),
            entry=asked.question.entry,
            method=method,
            identifying=found.identifying,
            dataset=data,
            dataset_entry=registry.find("dataset", data.call.name),
            budget=row.budget or benchmark.budget,
            precision=request.precision,
            seed=seed,
            protocols=chosen,
            packages=tuple(dict.fromkeys([*found.packages, *(name for one in chosen for name in one.packages)])),
            reference=row.reference,
            deviations=(*request.deviations, *_own_deviations(row, applied, notes)),
            problem=found.problem,
            traceback=found.traceback,
        )
        for seed in benchmark.seeds
    ]


def _method_record(asked: Asked, call: Call) -> MethodRecord:
    found = asked.description
    return MethodRecord(
        call=call,
        parameters=found.parameters,
        origin=asked.question.entry.origin,
        code=found.code,
        kind=found.kind,
    )


def _row_protocols(
    benchmark: Benchmark, row: BenchmarkRow, protocols: Mapping[Call, ProtocolSpec]
) -> tuple[ProtocolSpec, ...]:
    """Return the protocols of a row; its own appear in the table of the benchmark's protocol of the same name."""
    if not row.protocols:
        return tuple(protocols[call] for call in benchmark.protocols)
    tables: dict[str, Call] = {}
    for call in benchmark.protocols:
        tables.setdefault(call.name, protocols[call].record.call)
    return tuple(
        replace(spec, record=msgspec.structs.replace(spec.record, table=tables.get(call.name)))
        for call, spec in ((call, protocols[call]) for call in row.protocols)
    )


def _own_deviations(row: BenchmarkRow, applied: Mapping[str, Any], notes: Sequence[str]) -> list[Deviation]:
    """Return how a row differs from the benchmark's others or, by ``--set``, from itself in the file."""
    # Without a label of its own, the row is named by all its parameters already.
    settings = [f"{name}={show_value(value)}" for name, value in applied.items()] if row.label else []
    found = [Deviation("parameters", text) for text in settings]
    if row.protocols:
        found.append(Deviation("own protocol", f"protocol of its own: {', '.join(map(str, row.protocols))}"))
    if row.budget:
        found.append(Deviation("own budget", f"budget of its own: {row.budget}"))
    return [*found, *(Deviation("data", note) for note in notes)]


def check_entries(benchmark: Benchmark, registry: Registry) -> None:
    """Raise one `UserError` that names all unknown methods, protocols and datasets of a benchmark."""
    asked: list[tuple[EntryKind, str]] = [("dataset", benchmark.dataset.name)]
    asked += [("method", row.method.name) for row in benchmark.methods]
    asked += [("protocol", call.name) for call in _protocol_calls(benchmark)]
    wrong = []
    for kind, name in asked:
        try:
            registry.find(kind, name)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))


Answered = Sequence[tuple[Question, Description]]


def _check(settings: Mapping[str, Any], methods: Answered, protocols: Answered) -> None:
    """Raise a `UserError` that lists wrong parameters, broken protocols, and settings that no method has."""
    wrong = [line for _, found in [*methods, *protocols] for line in found.mistakes]
    # A method that cannot be imported becomes a failed row; without its protocol no row means anything.
    wrong += [f"{asked.entry.target}: {found.problem}" for asked, found in protocols if found.problem]
    names = {asked.entry.name for asked, _ in methods}
    known = {name for _, found in methods for name in found.types}
    for key in settings:
        owner, _, parameter = key.rpartition(".")
        if owner and owner not in names:
            wrong.append(
                f"--set {key}: no method, protocol or dataset {owner!r} in this run.{did_you_mean(owner, names)}"
            )
        elif parameter not in known and not any(found.problem for _, found in methods):
            wrong.append(f"--set {key}: no method of this run has {parameter!r}.{did_you_mean(parameter, known)}")
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))


def data_record(benchmark: Benchmark, dataset: Dataset) -> DataRecord:
    """Return what the store keeps about the (already limited) dataset."""
    return DataRecord(
        call=benchmark.dataset,
        title=dataset.title,
        digest=dataset.digest,
        limit=benchmark.limit,
        shape=dataset.train.shape,
        unlabeled=len(dataset.unlabeled),
        train=len(dataset.train),
        test=len(dataset.test),
        classes=len(dataset.classes),
        folds=len(dataset.folds),
        fold_size=round(fmean(map(len, dataset.folds))) if dataset.folds else None,
    )
