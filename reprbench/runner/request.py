"""What a user requests: a benchmark, with the changes of the command line as deviations from its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reprbench.benchmark import Benchmark, BenchmarkRow, repeated_names, row_of
from reprbench.errors import UserError
from reprbench.grammar import Alternatives
from reprbench.limit import Limit
from reprbench.run_context import Precision
from reprbench.spec import Budget, Call
from reprbench.sweep import Sweep
from reprbench.trial import Deviation


@dataclass(frozen=True)
class Overrides:
    """The changes that the command line makes to a benchmark."""

    methods: tuple[Call | Sweep, ...] = ()
    dataset: Call | None = None
    protocols: tuple[Call, ...] = ()
    epochs: int | None = None
    seeds: tuple[int, ...] = ()
    limit: Limit | None = None
    precision: Precision = "float32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``--set``: ``param`` of every method that has it, ``name.param`` of one method, protocol or dataset.

    A method's parameter may have several values, as `Alternatives`: it is swept.
    """


@dataclass(frozen=True)
class Request:
    """A benchmark after the overrides, its deviations from its file, and the settings left for the methods."""

    benchmark: Benchmark
    deviations: tuple[tuple[Deviation, ...], ...]
    """Of each row, in the order of the benchmark's rows."""
    settings: Mapping[str, Any]
    precision: Precision = "float32"


def apply(benchmark: Benchmark, overrides: Overrides) -> Request:
    """Return the benchmark with the changes of the command line.

    Raises
    ------
    UserError
        If a method of the command line has the name of another row.
    """
    chosen = _choose(benchmark.methods, overrides.methods) if overrides.methods else benchmark.methods
    if wrong := repeated_names(row.name for row in chosen):
        raise UserError("\n".join(f"--methods: {line}" for line in wrong))
    overridden = [_override(row, benchmark, overrides) for row in chosen]
    rows = tuple(row for row, _ in overridden)
    dataset = _set(overrides.dataset or benchmark.dataset, overrides.settings)
    protocols = tuple(_set(protocol, overrides.settings) for protocol in overrides.protocols or benchmark.protocols)
    limit = overrides.limit or benchmark.limit
    own = [call for row in rows for call in row.protocols or ()]
    taken = {call.name for call in (dataset, *protocols, *own)}
    settings = {key: value for key, value in overrides.settings.items() if key.rpartition(".")[0] not in taken}
    data = [Deviation("dataset", f"dataset {dataset}")] if dataset != benchmark.dataset else []
    changes = [
        (limit != benchmark.limit, Deviation("limit", f"limit {limit}")),
        (overrides.precision != "float32", Deviation("precision", f"precision {overrides.precision}")),
    ]
    others = [deviation for differs, deviation in changes if differs]
    deviations = tuple((*data, *of_row, *others) for _, of_row in overridden)
    update = {"methods": rows, "protocols": protocols, "dataset": dataset, "limit": limit}
    update["budget"] = Budget(epochs=overrides.epochs) if overrides.epochs else benchmark.budget
    update["seeds"] = overrides.seeds or benchmark.seeds
    return Request(benchmark.model_copy(update=update), deviations, settings, overrides.precision)


def _override(row: BenchmarkRow, benchmark: Benchmark, overrides: Overrides) -> tuple[BenchmarkRow, list[Deviation]]:
    """Return a row with the protocols and budget of the command line, and how they differ from the file's."""
    before, budget_before = row.protocols or benchmark.protocols, row.budget or benchmark.budget
    protocols = tuple(_set(call, overrides.settings) for call in overrides.protocols or before)
    budget = Budget(epochs=overrides.epochs) if overrides.epochs else budget_before
    # The command line applies to every row, also to one that has its own protocols or budget in the file.
    replaced = overrides.protocols and protocols != before
    update = {
        "protocols": protocols if row.protocols and not replaced else None,
        "budget": row.budget if budget == budget_before else None,
    }
    changes = [
        (protocols != before, Deviation("protocol", f"protocol {', '.join(map(str, protocols))}")),
        (budget != budget_before, Deviation("budget", f"budget {budget}")),
    ]
    return row.model_copy(update=update), [deviation for differs, deviation in changes if differs]


def _set(call: Call, settings: Mapping[str, Any]) -> Call:
    """Return the call of a dataset or protocol with the settings meant for it."""
    owned = _owned(call.name, settings)
    for name, value in owned.items():
        if isinstance(value, Alternatives):
            raise UserError(f"--set {call.name}.{name}: only a method's parameter can have several values; give one")
    return call.with_parameters(**owned)


def _owned(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that ``name.param`` settings give to `name`."""
    return {key.rpartition(".")[2]: v for key, v in settings.items() if key.rpartition(".")[0] == name}


def _choose(rows: Sequence[BenchmarkRow], methods: Sequence[Call | Sweep]) -> tuple[BenchmarkRow, ...]:
    """Return the benchmark's rows of the requested methods, and new rows for those it does not have."""
    chosen: list[BenchmarkRow] = []
    for method in methods:
        exact = [row for row in rows if row.swept == method]
        bare = isinstance(method, Call) and not method.parameters
        named = [row for row in rows if bare and row.method.name == method.name]
        labeled = [row for row in rows if bare and row.label == method.name]
        chosen += [row for row in exact or named or labeled or [row_of(method)] if row not in chosen]
    return tuple(chosen)


def settings_for(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings offered to one method: bare ones, and those with its name, which take precedence."""
    bare = {key: value for key, value in settings.items() if "." not in key}
    return {**bare, **_owned(method, settings)}
