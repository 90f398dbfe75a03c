"""From what a user asks for to the trials it means: rows, overrides, deviations, validated methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from reprbench.benchmark import Benchmark, Row
from reprbench.data.dataset import Dataset
from reprbench.errors import UserError, did_you_mean
from reprbench.protocols.base import make_protocols
from reprbench.registry import Entry, Registry
from reprbench.runner.describe import Description, Question, describe
from reprbench.runner.plan import TrialSpec
from reprbench.spec import Budget, Call, show_value
from reprbench.trial import DataRecord, MethodRecord


@dataclass(frozen=True)
class Overrides:
    """What the command line changes of a benchmark."""

    methods: tuple[Call, ...] = ()
    dataset: Call | None = None
    protocols: tuple[Call, ...] = ()
    epochs: int | None = None
    seeds: tuple[int, ...] = ()
    limit: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``--set``: ``param`` of every method that has it, ``name.param`` of one method, protocol or dataset."""


@dataclass(frozen=True)
class Request:
    """A benchmark after the overrides, how it deviates from its file, and the settings left for the methods."""

    benchmark: Benchmark
    deviations: tuple[str, ...]
    settings: Mapping[str, Any]


def apply(benchmark: Benchmark, overrides: Overrides) -> Request:
    """Return the benchmark as the command line changes it."""
    rows = _choose(benchmark.methods, overrides.methods) if overrides.methods else benchmark.methods
    protocols, dataset = overrides.protocols or benchmark.protocols, overrides.dataset or benchmark.dataset
    budget = Budget(epochs=overrides.epochs) if overrides.epochs else benchmark.budget
    limit = overrides.limit or benchmark.limit
    # What the command line says holds for every row, also for one that the file treats on its own.
    rows = tuple(
        row.model_copy(
            update={
                "protocols": None if overrides.protocols else row.protocols,
                "budget": None if overrides.epochs else row.budget,
            }
        )
        for row in rows
    )
    dataset = _set(dataset, overrides.settings)
    protocols = tuple(_set(protocol, overrides.settings) for protocol in protocols)
    taken = {call.name for call in (dataset, *protocols)}
    settings = {key: value for key, value in overrides.settings.items() if key.rpartition(".")[0] not in taken}
    changes = [
        (dataset != benchmark.dataset, f"dataset {dataset}"),
        (protocols != benchmark.protocols, f"protocol {', '.join(map(str, protocols))}"),
        (budget != benchmark.budget, f"budget {budget}"),
        (limit != benchmark.limit, f"limit {limit}"),
    ]
    update = {"methods": rows, "protocols": protocols, "dataset": dataset, "budget": budget, "limit": limit}
    update["seeds"] = overrides.seeds or benchmark.seeds
    deviations = tuple(text for differs, text in changes if differs)
    return Request(benchmark.model_copy(update=update), deviations, settings)


def _set(call: Call, settings: Mapping[str, Any]) -> Call:
    """Return the call with the settings meant for it."""
    return call.with_parameters(**_owned(call.name, settings))


def _owned(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that ``name.param`` settings give to `name`."""
    return {key.rpartition(".")[2]: v for key, v in settings.items() if key.rpartition(".")[0] == name}


def _choose(rows: Sequence[Row], methods: Sequence[Call]) -> tuple[Row, ...]:
    """Return the benchmark's rows of the asked methods, and new rows for those it does not have."""
    chosen: list[Row] = []
    for call in methods:
        exact = [row for row in rows if row.method == call]
        named = [row for row in rows if row.method.name == call.name and not call.parameters]
        chosen += [row for row in exact or named or [Row(method=call)] if row not in chosen]
    return tuple(chosen)


def make_specs(request: Request, registry: Registry, dataset: Dataset) -> list[TrialSpec]:
    """Return the trials, with everything validated.

    Raises
    ------
    UserError
        With all mistakes: unknown methods and protocols, wrong parameters, settings that fit nothing, images that a
        method cannot take.
    """
    benchmark = request.benchmark
    entries = find_entries([row.method for row in benchmark.methods], registry)
    questions = [
        Question(entry, row.method.parameters, _settings_for(row.method.name, request.settings), dataset.train.shape)
        for entry, row in zip(entries, benchmark.methods, strict=True)
    ]
    descriptions = describe(questions)
    _check(descriptions, request.settings, {entry.name for entry in entries})
    record = data_record(benchmark, dataset)
    specs = [
        spec
        for row, question, description in zip(benchmark.methods, questions, descriptions, strict=True)
        for spec in _row_specs(request, row, question, description, record, dataset.notes, registry)
    ]
    # Two ways to write the same method are one trial, under the name that came first.
    unique: dict[str, TrialSpec] = {}
    for spec in specs:
        unique.setdefault(spec.hash, spec)
    return list(unique.values())


def _row_specs(
    request: Request,
    row: Row,
    question: Question,
    description: Description,
    data: DataRecord,
    notes: Sequence[str],
    registry: Registry,
) -> list[TrialSpec]:
    """Return the trials of one row: one for each seed."""
    benchmark, entry = request.benchmark, question.entry
    applied = {name: question.offered[name] for name in description.applied}
    # Without a label of its own the row is called by all its parameters; there is nothing more to say.
    settings = [f"{name}={show_value(value)}" for name, value in applied.items()] if row.label else []
    call = row.method.with_parameters(**applied)
    method = MethodRecord(
        name=entry.name,
        call=str(call),
        parameters=description.parameters,
        origin=entry.origin,
        source=entry.source_digest(),
        supervised=description.supervised,
        control=description.control,
    )
    own = [f"protocol of its own: {', '.join(map(str, row.protocols))}"] if row.protocols else []
    own += [f"budget of its own: {row.budget}"] if row.budget else []
    protocols = tuple(make_protocols(row.protocols or benchmark.protocols, registry))
    return [
        TrialSpec(
            benchmark=benchmark.name,
            label=row.label or str(call),
            entry=entry,
            method=method,
            dataset=data,
            budget=row.budget or benchmark.budget,
            seed=seed,
            protocols=protocols,
            reference=row.reference,
            deviations=(*request.deviations, *settings, *own, *notes),
            problem=description.problem,
            traceback=description.traceback,
        )
        for seed in benchmark.seeds
    ]


def find_entries(methods: Sequence[Call], registry: Registry) -> list[Entry]:
    """Return the registry's entries of all `methods`; raise one `UserError` that names all unknown ones."""
    entries, wrong = [], []
    for call in methods:
        try:
            entries.append(registry.find("method", call.name))
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))
    return entries


def _settings_for(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings offered to one method: bare ones, and those with its name, which win."""
    bare = {key: value for key, value in settings.items() if "." not in key}
    return {**bare, **_owned(method, settings)}


def _check(descriptions: Sequence[Description], settings: Mapping[str, Any], methods: set[str]) -> None:
    """Raise a `UserError` with every wrong parameter and every setting that no method has."""
    wrong = [line for description in descriptions for line in description.mistakes]
    known = {name for description in descriptions for name in description.types}
    for key in settings:
        owner, _, parameter = key.rpartition(".")
        if owner and owner not in methods:
            wrong.append(
                f"--set {key}: no method, protocol or dataset {owner!r} in this run.{did_you_mean(owner, methods)}"
            )
        elif parameter not in known and not any(description.problem for description in descriptions):
            wrong.append(f"--set {key}: no method of this run has {parameter!r}.{did_you_mean(parameter, known)}")
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))


def data_record(benchmark: Benchmark, dataset: Dataset) -> DataRecord:
    """Return what the store keeps of the (already limited) dataset."""
    return DataRecord(
        call=str(benchmark.dataset),
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
