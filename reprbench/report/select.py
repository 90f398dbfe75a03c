"""Selects the trials and tables of one or more stores that a report shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reprbench.benchmark import Benchmark, benchmark_files, load_benchmark
from reprbench.errors import UserError, did_you_mean
from reprbench.report.table import Table
from reprbench.spec import Call
from reprbench.trial import Trial


@dataclass(frozen=True)
class Wanted:
    """Names given by the user, in upper or lower case; an empty tuple selects everything.

    Attributes
    ----------
    benchmarks : by name.
    files : the benchmarks whose files the user named; their trials are selected, too.
    methods : by label, name (``kmeans``) or call (``kmeans[n_centroids=800]``).
    datasets : by title, name or call.
    protocols : by name, or as named above the tables.
    """

    benchmarks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    files: tuple[Benchmark, ...] = ()


def select_trials(trials: Sequence[Trial], wanted: Wanted) -> list[Trial]:
    """Return the trials of the wanted benchmarks, methods and datasets, each trial once.

    Raises
    ------
    UserError
        If no trial has one of the names, or if no trial matches the whole selection.
    """
    unique = {(trial.folder, trial.order): trial for trial in trials}
    chosen = list(unique.values())
    for what, names, names_of in (
        ("benchmark", (*wanted.benchmarks, *(one.name for one in wanted.files)), lambda trial: (trial.benchmark,)),
        ("method", wanted.methods, method_names),
        ("dataset", wanted.datasets, lambda trial: (*_call_names(trial.dataset.call), trial.dataset.title)),
    ):
        if names:
            check(what, names, {name for trial in unique.values() for name in names_of(trial)})
            chosen = [trial for trial in chosen if _matches(names, names_of(trial))]
    if not chosen:
        raise UserError("no trial matches all of the selected benchmarks, methods and datasets; select fewer")
    return chosen


def select_tables(tables: Sequence[Table], wanted: Wanted) -> list[Table]:
    """Return the tables of the wanted protocols; raise a `UserError` for one that no table has."""
    check("protocol", wanted.protocols, {name for table in tables for name in _call_names(table.protocol)})
    return [table for table in tables if _matches(wanted.protocols, _call_names(table.protocol))]


def known_benchmarks(trials: Iterable[Trial], wanted: Wanted) -> dict[str, Benchmark]:
    """Return the benchmarks of the trials whose files are known, with only their wanted rows."""
    files = benchmark_files()
    found = {name: load_benchmark(files[name]) for name in {trial.benchmark for trial in trials} if name in files}
    found |= {benchmark.name: benchmark for benchmark in wanted.files}
    return {name: _narrowed(benchmark, wanted.methods) for name, benchmark in found.items()}


def _narrowed(benchmark: Benchmark, methods: tuple[str, ...]) -> Benchmark:
    rows = tuple(row for row in benchmark.methods if _matches(methods, (*_call_names(row.method), row.name)))
    return benchmark.model_copy(update={"methods": rows})


def method_names(trial: Trial) -> tuple[str, ...]:
    """Return the names by which a trial's method can be selected."""
    return (trial.label, *_call_names(trial.method.call))


def _call_names(call: Call) -> tuple[str, ...]:
    return (str(call), call.name)


def _matches(wanted: Collection[str], names: Iterable[str]) -> bool:
    return not wanted or bool({name.casefold() for name in wanted} & {name.casefold() for name in names})


def check(what: str, wanted: Iterable[str], known: Collection[str]) -> None:
    """Raise a `UserError` if one of the wanted names is unknown."""
    folded: Mapping[str, str] = {name.casefold(): name for name in sorted(known)}
    for name in wanted:
        if name.casefold() not in folded:
            near = did_you_mean(name.casefold(), folded)
            raise UserError(f"--{what} {name!r}: not in the store.{near} Known: {', '.join(sorted(known))}")
