"""Expands a request into its trials, with methods, protocols and parameters validated."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import msgspec

from reprbench.benchmark import Benchmark, BenchmarkRow
from reprbench.data.dataset import Dataset
from reprbench.errors import UserError, did_you_mean
from reprbench.registry import EntryKind, Registry
from reprbench.runner.describe import Description, Question
from reprbench.runner.descriptions import SECONDS_EACH, describe
from reprbench.runner.job import OtherData
from reprbench.runner.other_data import Load, find_others, none_to_load
from reprbench.runner.plan import ProtocolSpec, TrialSpec, digest, protocol_hash
from reprbench.runner.request import Request
from reprbench.runner.sweeps import Variant, criterion, sweep_records, swept_by, together, variants
from reprbench.spec import Call, show_value
from reprbench.trial import DataRecord, Deviation, MethodRecord, ProtocolRecord, SweepRecord


def make_specs(
    request: Request,
    registry: Registry,
    dataset: Dataset,
    seconds: float = SECONDS_EACH,
    memory: int | None = None,
    load: Load = none_to_load,
) -> list[TrialSpec]:
    """Return the trials, with everything validated.

    Importing and building a class may take `seconds` and `memory`, as in `describe`.

    Raises
    ------
    UserError
        Lists all mistakes: wrong parameters, settings that fit nothing, images that a
        method cannot take, other datasets of protocols that cannot be read.
    """
    benchmark = request.benchmark
    rows = variants(request)
    questions = [_question(one, registry, dataset) for row in rows for one in row]
    calls = _protocol_calls(benchmark)
    asked = [Question(registry.find("protocol", call.name), call.parameters) for call in calls]
    answers = describe([*questions, *asked], seconds, memory)
    methods = list(zip(questions, answers[: len(questions)], strict=True))
    answered = list(zip(asked, answers[len(questions) :], strict=True))
    _check(request.settings, methods, answered)
    others = find_others(answered, registry, load)
    protocols = {call: _protocol_spec(call, *one, others) for call, one in zip(calls, answered, strict=True)}
    described = iter(methods)
    groups = [[Asked(one, *next(described)) for one in row] for row in rows]
    context = Context(request, protocols, registry, data_record(benchmark, dataset), dataset.notes)
    made, wrong = [], []
    for group in groups:
        try:
            made += _group_specs(context, group)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))
    return _unique(made, {row.label for row in benchmark.methods})


def _unique(specs: Sequence[TrialSpec], labels: Container[str | None]) -> list[TrialSpec]:
    """Return the specs without those of the same fit, which would be stored as one trial.

    Two ways to write a method are one row, under the first name. If one of them has one of the `labels`, or protocols
    of its own, they are meant to be two, and a `UserError` is raised. A setting of a sweep may be a row too.
    """
    unique: dict[str, TrialSpec] = {}
    wrong = []
    for spec in specs:
        first = unique.setdefault(spec.hash, spec)
        unique[spec.hash] = together(first, spec)
        labeled = not (first.only_setting or spec.only_setting) and (first.label in labels or spec.label in labels)
        if first.label != spec.label and (labeled or first.protocols != spec.protocols):
            wrong.append(
                f"the rows {first.label!r} and {spec.label!r} are the same fit of {spec.method.call}; change the "
                "parameters or budget of one, or merge them into one row with the protocols of both"
            )
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))
    return list(unique.values())


@dataclass(frozen=True)
class Asked:
    """A row with one value for each parameter, the question about its method, and the answer."""

    variant: Variant
    question: Question
    description: Description

    @property
    def call(self) -> Call:
        """The method with what ``--set`` gives it."""
        applied = {name: self.question.offered[name] for name in self.description.applied}
        return self.variant.row.method.with_parameters(**applied)

    @property
    def identifying(self) -> Mapping[str, Any]:
        """What distinguishes the fit from others of the method."""
        found = self.description
        return self.call.parameters if found.problem else found.identifying


@dataclass(frozen=True)
class Context:
    """What all rows of a request have in common."""

    request: Request
    protocols: Mapping[Call, ProtocolSpec]
    registry: Registry
    data: DataRecord
    notes: Sequence[str]


def _question(variant: Variant, registry: Registry, dataset: Dataset) -> Question:
    """Return the question about the method of a row."""
    method = variant.row.method
    counts = {"train": len(dataset.train), "test": len(dataset.test)}
    entry = registry.find("method", method.name)
    return Question(entry, method.parameters, variant.offered, dataset.train.shape, counts)


def _protocol_calls(benchmark: Benchmark) -> list[Call]:
    """Return every protocol of the benchmark and of its rows once."""
    own = [call for row in benchmark.methods for call in row.protocols or ()]
    return list(dict.fromkeys([*benchmark.protocols, *own]))


def _protocol_spec(call: Call, question: Question, found: Description, every: Mapping[Call, OtherData]) -> ProtocolSpec:
    others = tuple(every[one] for one in found.other_datasets)
    record = ProtocolRecord(
        Call(name=call.name, parameters=found.changed), protocol_hash(call.name, found.code, found.identifying, others)
    )
    shown = tuple(found.headlines), tuple(found.selects)
    return ProtocolSpec(question.entry, record, found.code, found.parameters, tuple(found.packages), *shown, others)


def _group_specs(context: Context, group: Sequence[Asked]) -> list[TrialSpec]:
    """Return the trials of one row: one per setting, if it is swept, and seed."""
    distinct = list({digest(dict(one.identifying)): one for one in reversed(group)}.values())[::-1]
    first = distinct[0]
    sweep = swept_by(first.variant, first.description.applied)
    if sweep is None or len(distinct) == 1:
        return _row_specs(context, first, None)
    row, benchmark = first.variant.origin, context.request.benchmark
    chosen = _row_protocols(benchmark, row, context.protocols)
    name = row.label or str(sweep)
    found = criterion(name, sweep.tune.by, first.description.kind, chosen, context.data.call)
    settings = [({key: one.variant.setting[key] for key in sweep.tune.parameters}, one.call) for one in distinct]
    records = sweep_records(sweep, row, found, benchmark.seeds, settings)
    return [spec for one, own in zip(distinct, records, strict=True) for spec in _row_specs(context, one, own)]


def _row_specs(context: Context, asked: Asked, sweep: SweepRecord | None) -> list[TrialSpec]:
    """Return the trials of a row, or of one setting of its `sweep`: one per seed."""
    benchmark, row, found = context.request.benchmark, asked.variant.row, asked.description
    method = _method_record(asked)
    chosen = _row_protocols(benchmark, row, context.protocols)
    return [
        TrialSpec(
            benchmark=benchmark.name,
            label=sweep.name if sweep else row.label or str(method.call),
            entry=asked.question.entry,
            method=method,
            identifying=asked.identifying,
            dataset=context.data,
            dataset_entry=context.registry.find("dataset", context.data.call.name),
            budget=row.budget or benchmark.budget,
            precision=context.request.precision,
            seed=seed,
            protocols=chosen,
            packages=tuple(dict.fromkeys([*found.packages, *(name for one in chosen for name in one.packages)])),
            reference=row.reference,
            title=benchmark.title if benchmark.title != benchmark.name else "",
            group=row.group,
            deviations=(*asked.variant.deviations, *_own_deviations(row, method.call, context.notes)),
            sweeps=(sweep,) if sweep else (),
            only_setting=sweep is not None,
            problem=found.problem,
            traceback=found.traceback,
        )
        for seed in benchmark.seeds
    ]


def _method_record(asked: Asked) -> MethodRecord:
    found = asked.description
    return MethodRecord(
        call=asked.call,
        parameters=found.parameters,
        origin=asked.question.entry.origin,
        code=found.code,
        kind=found.kind,
    )


def _row_protocols(
    benchmark: Benchmark, row: BenchmarkRow, protocols: Mapping[Call, ProtocolSpec]
) -> tuple[ProtocolSpec, ...]:
    """Return the protocols of a row; its own appear in the table of the benchmark's protocol of the same name."""
    shared = [protocols[call].record for call in benchmark.protocols]
    own = [_in_table(protocols[call], shared) for call in row.protocols or ()]
    chosen = own or [protocols[call] for call in benchmark.protocols]
    # Two ways to write the same protocol are one.
    return tuple({one.record.hash: one for one in reversed(chosen)}.values())[::-1]


def _in_table(own: ProtocolSpec, shared: Sequence[ProtocolRecord]) -> ProtocolSpec:
    """Return a row's own protocol with the table it appears in: its own if the benchmark has that very protocol."""
    if any(record.hash == own.record.hash for record in shared):
        return own
    table = next((record.call for record in shared if record.call.name == own.record.call.name), None)
    return replace(own, record=msgspec.structs.replace(own.record, table=table))


def _own_deviations(row: BenchmarkRow, call: Call, notes: Sequence[str]) -> list[Deviation]:
    """Return how a row differs from the benchmark's others or, by ``--set``, from itself in the file."""
    before = row.method.parameters
    changed = {name: value for name, value in call.parameters.items() if name not in before or before[name] != value}
    # A row without label and reference is named by all its parameters, and compared with nothing.
    named = row.label or row.reference
    found = [Deviation("parameters", f"{name}={show_value(value)}") for name, value in changed.items() if named]
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
    for kind, name in dict.fromkeys(asked):
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
        limit=benchmark.limit and benchmark.limit.plain,
        shape=dataset.train.shape,
        unlabeled=len(dataset.unlabeled),
        train=len(dataset.train),
        test=len(dataset.test),
        classes=len(dataset.classes),
        folds=len(dataset.folds),
        fold_size=round(fmean(map(len, dataset.folds))) if dataset.folds else None,
        read_from=str(dataset.read_from or ""),
    )
