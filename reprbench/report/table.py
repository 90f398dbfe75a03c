"""The content of tables: which trials belong to which table, and what each row shows. No formatting here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from reprbench.benchmark import Benchmark
from reprbench.measurement import Better, Headline
from reprbench.report.apart import distinguished
from reprbench.report.best import BestTest, BySeed, Standing, Test, compare
from reprbench.report.choice import Choice, choices
from reprbench.report.marks import current_code, current_numerics, mark
from reprbench.report.measured import ByFold, fold_ratio, shared_folds
from reprbench.report.row import NOT_RUN, HeadlineResult, Row, Source
from reprbench.report.seeds import by_method, merge_seeds, share_verdicts
from reprbench.report.statistics import variance_components
from reprbench.report.swept import choices_in, chosen_under, group_of, rows_of, shown_sources, with_tries
from reprbench.report.text import place_text
from reprbench.report.verdict import Verdict
from reprbench.spec import Call
from reprbench.trial import Code, DataRecord, RowKey, Trial, newest_of_each_row

Seeds = Literal["apart", "together"]


@dataclass(frozen=True)
class Settings:
    """How tables are made.

    Attributes
    ----------
    seeds : whether the seeds of a method are rows of their own or one row.
    test : which test compares the best row with the others.
    every : whether trials superseded by a later one of the same row are rows too.
    sweeps : whether all settings of a sweep are rows, in addition to the one that is chosen.
    """

    seeds: Seeds = "apart"
    test: Test = "t"
    every: bool = False
    sweeps: bool = False


@dataclass(frozen=True)
class SeedSpread:
    """How much one method's values vary between seeds, apart from how much they vary between folds (both ddof = 0)."""

    label: str
    seeds: tuple[int, ...]
    mean: float
    std_seeds: float
    std_folds: float


@dataclass(frozen=True)
class Table:
    """The rows that share benchmark, data and protocol.

    Attributes
    ----------
    benchmark, title : the benchmark's name, and its title if it has one.
    data : what the rows were measured on.
    protocol : whose table it is; a row with a protocol of its own says so in its notes.
    codes : of the protocol; with more than one, not all rows are comparable.
    headlines : the metrics, one per column.
    rows : ordered by the first headline, best first; rows without a result last.
    comparisons : for each headline, how methods were tested against the best, over their seeds whether these are rows
        of their own or not; None if nothing could be tested.
    superseded : how many trials are not shown because a later one took their row's place.
    seeds : the spread over seeds of the first headline, for each method that has several.
    explanations : notes that concern all rows.
    order : the labels of the rows in the order of the benchmark's file, where it is known.
    settings : how many trials are not shown because they are settings of sweeps.
    sweeps : those whose settings are rows, and were chosen by a measurement of this protocol.
    """

    benchmark: str
    title: str
    data: DataRecord
    protocol: Call
    codes: tuple[Code, ...]
    headlines: tuple[Headline, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[BestTest | None, ...] = ()
    superseded: int = 0
    seeds: tuple[SeedSpread, ...] = ()
    explanations: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    settings: int = 0
    sweeps: tuple[Choice, ...] = ()

    @property
    def metric(self) -> str:
        """The first headline's metric; empty if nothing was measured."""
        return self.headlines[0].metric if self.headlines else ""

    @property
    def headline_names(self) -> tuple[str, ...]:
        """What the headlines are called: the metric, and where it was measured if it is a headline more than once."""
        metrics = [headline.metric for headline in self.headlines]
        return tuple(
            f"{one.metric}, {place_text(one.at.items())}" if metrics.count(one.metric) > 1 else one.metric
            for one in self.headlines
        )

    @property
    def unit(self) -> str:
        """The first headline's unit."""
        return unit_of(self.rows, 0)


def unit_of(rows: Iterable[Row], place: int) -> str:
    """Return the unit of the headline at that place; empty if nothing was measured."""
    found = (row.results[place] for row in rows if place < len(row.results))
    return next((result.unit for result in found if result and result.unit), "")


def make_tables(
    trials: Iterable[Trial],
    benchmarks: Mapping[str, Benchmark] | None = None,
    settings: Settings | None = None,
    among: Iterable[Trial] | None = None,
) -> list[Table]:
    """Return one table for each benchmark, data and protocol among the trials.

    Parameters
    ----------
    benchmarks : by name, as far as known: they give title and groups, and the published rows that were not run.
    settings : how the tables are made.
    among : all trials of the stores, if `trials` is a selection: any of them may supersede a selected one.
    """
    settings, known, trials = settings or Settings(), benchmarks or {}, list(trials)
    newest = newest_of_each_row(trials if among is None else among)
    latest, found = {id(trial) for trial in newest}, choices(newest)
    groups: dict[tuple[str, str, str], list[Source]] = {}
    for trial in trials:
        for protocol in trial.protocols:
            source = Source(trial, protocol, trial.results(protocol))
            key = (trial.benchmark, trial.dataset.digest, str(protocol.table or protocol.call))
            groups.setdefault(key, []).append(source)
    tables = []
    for key, group in sorted(groups.items()):
        shown = [source for source in group if settings.every or id(source.trial) in latest]
        if shown:
            old = {id(source.trial) for source in shown} - latest
            own = choices_in(shown, found)
            tables.append(_table(shown, old, len(group) - len(shown), known.get(key[0]), settings, own))
    # What an earlier sweep of a row tried in addition is shown only if settings are.
    return [table for table in tables if table.rows]


def _table(
    every: Sequence[Source],
    old: set[int],
    superseded: int,
    benchmark: Benchmark | None,
    settings: Settings,
    found: Sequence[Choice],
) -> Table:
    every_setting = settings.sweeps or settings.every
    sources = shown_sources(every, found, every_setting)
    code = current_code(every)
    headlines = _headlines(every, code)
    groups = {row.name: row.group for row in benchmark.methods} if benchmark else {}
    notes, explanations = mark(sources, headlines)
    rows = [replace(row, group=group_of(row, groups)) for row in rows_of(sources, headlines, notes, old, found)]
    rows = [row for row in rows if every_setting or not row.only_setting]
    first = every[0]
    data = first.trial.dataset
    rows, methods = distinguished(rows), by_method(rows)
    numerics = current_numerics(sources)
    competing = _competitors(rows, [places for places in methods if _competes(rows[places[0]], code, numerics)])
    rows, comparisons = _tested(rows, competing, len(headlines), fold_ratio(data), settings.test)
    spread = _seed_spread(rows, methods)
    rows = merge_seeds(rows) if settings.seeds == "together" else share_verdicts(rows)
    if benchmark and first.is_first and not any(d.from_benchmark for s in sources for d in s.trial.deviations):
        rows += not_run(benchmark, data.digest, headlines, {row.label for row in rows})
    rows, unequal = with_tries(rows)
    # Rows without a result come last; equal rows are ordered by name.
    rows.sort(key=lambda row: (row.mean is None, _badness(row), row.label, row.seeds))
    return Table(
        benchmark=first.trial.benchmark,
        title=benchmark.title if benchmark else max((s.trial for s in every), key=lambda one: one.order).title,
        data=data,
        protocol=first.protocol.table or first.protocol.call,
        codes=tuple(sorted({source.code for source in sources if source.code}, key=str)),
        headlines=headlines,
        rows=tuple(rows),
        comparisons=comparisons,
        superseded=superseded,
        seeds=spread,
        explanations=(*explanations, *unequal),
        order=tuple(groups),
        settings=len(every) - len(sources),
        sweeps=tuple(choice for choice in found if chosen_under(choice, every)) if every_setting else (),
    )


def _headlines(sources: Sequence[Source], code: Code | None) -> tuple[Headline, ...]:
    """Return the headlines of this `code` of the protocol, preferably from a learner on which it could be run."""
    found = [source.evaluation for source in sources if source.evaluation and source.code == code]
    first = next((evaluation for evaluation in found if evaluation.status == "done"), found[0] if found else None)
    return tuple(first.headlines) if first else ()


def _tested(
    rows: Sequence[Row], competing: Sequence[Sequence[int]], headlines: int, ratio: float, test: Test
) -> tuple[list[Row], tuple[BestTest | None, ...]]:
    """Return the rows with their standing under every headline, and what was tested; by the places of each method."""
    tested, comparisons = list(rows), []
    names = [rows[places[0]].method for places in competing]
    for headline in range(headlines):
        results = [{rows[place].seeds[0]: rows[place].results[headline] for place in places} for places in competing]
        standings, comparison = compare(*_values(results), names, ratio, test)
        comparisons.append(comparison)
        for number, standing in standings.items():
            for place in competing[number]:
                tested[place] = _standing(tested[place], headline, standing)
    return tested, tuple(comparisons)


def _competitors(rows: Sequence[Row], methods: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the places of each competitor: methods that share a trial, as a sweep and its setting do, are one."""
    found: list[tuple[list[int], set[int]]] = []
    for places in methods:
        trials = {id(source.trial) for place in places for source in rows[place].sources}
        same = [one for one in found if one[1] & trials]
        found = [one for one in found if not one[1] & trials]
        found.append(([*(place for own, _ in same for place in own), *places], trials.union(*(one for _, one in same))))
    return [places for places, _ in found]


def _competes(row: Row, code: Code | None, numerics: int) -> bool:
    """Return whether a row is from this `code` of the protocol and these `numerics`, and not supervised.

    Settings do not compete: only the one that was chosen without the test split does, as the row of its sweep.
    Controls compete: a win of one is worth knowing. Supervised rows do not, since they have seen labels.
    """
    current = bool(row.sources) and row.code == code and row.sources[0].trial.numerics == numerics
    return current and row.kind != "supervised" and not row.only_setting


def _values(results: Sequence[Mapping[int, HeadlineResult | None]]) -> tuple[dict[int, BySeed], Better]:
    """Return the values of each method by seed and fold, and which direction is better.

    Methods without a fold that all their seeds have are left out.
    """
    known = [{seed: result for seed, result in own.items() if result} for own in results]
    directions = {result.better for own in known for result in own.values()}
    seeds = [{seed: result.by_fold for seed, result in own.items()} for own in known]
    methods: dict[int, BySeed] = {
        number: own for number, own in enumerate(seeds) if own and shared_folds(list(own.values()))
    }
    return methods, directions.pop() if len(directions) == 1 else "neither"


def _standing(row: Row, headline: int, standing: Standing) -> Row:
    results = [
        replace(result, standing=standing) if result and place == headline else result
        for place, result in enumerate(row.results)
    ]
    return replace(row, results=tuple(results))


def _badness(row: Row) -> float:
    """Return a number that is smaller for better rows."""
    mean = row.mean or 0.0
    return mean if row.result and row.result.better == "lower" else -mean


def _seed_spread(rows: Sequence[Row], methods: Sequence[Sequence[int]]) -> tuple[SeedSpread, ...]:
    """Return the spread over seeds of every method with values of several, on the folds that all of them have."""
    spreads = []
    for places in methods:
        seeds = {rows[place].seeds[0]: result.by_fold for place in places if (result := rows[place].result)}
        if len(seeds) > 1:
            spreads.append(_spread(rows[places[0]].method, seeds))
    return tuple(sorted(filter(None, spreads), key=lambda spread: spread.label))


def _spread(label: str, seeds: Mapping[int, ByFold]) -> SeedSpread | None:
    folds = shared_folds(list(seeds.values()))
    if not folds:
        return None
    values = [[one[fold] for fold in folds] for one in seeds.values()]
    parts = variance_components(values)
    mean = sum(map(sum, values)) / (len(values) * len(folds))
    return SeedSpread(label, tuple(sorted(seeds)), mean, parts.seeds, parts.folds)


def not_run(benchmark: Benchmark, data: str, headlines: Sequence[Headline], labels: set[str]) -> list[Row]:
    """Return a row without a result for each published row of the benchmark that is not among `labels`."""
    return [
        Row(
            key=RowKey(benchmark.name, row.name, data, row.budget or benchmark.budget, "float32", None),
            sources=(),
            results=(None,) * len(headlines),
            status=NOT_RUN,
            reason="not in the store",
            reference=row.reference,
            verdict=Verdict("not run"),
            group=row.group,
        )
        for row in benchmark.methods
        if row.reference and row.name not in labels
    ]
