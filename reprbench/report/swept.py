"""The rows of sweeps in a table: the setting that is chosen, and what is said of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from reprbench.measurement import Headline
from reprbench.report.choice import Choice, reported
from reprbench.report.row import Row, Source, make_row
from reprbench.trial import NOT_EVALUATED, Trial


def choices_in(sources: Sequence[Source], found: Iterable[Choice]) -> list[Choice]:
    """Return the choices whose settings are among the sources of a table."""
    there = {id(source.trial) for source in sources}
    return [one for one in found if any(id(trial) in there for trial in one.trials)]


def chosen_under(choice: Choice, sources: Sequence[Source]) -> bool:
    """Return whether it was a protocol of these sources that measured what chose the setting."""
    return any(source.protocol.hash == choice.sweep.protocol for source in sources)


def shown_sources(sources: Sequence[Source], found: Sequence[Choice], every_setting: bool) -> list[Source]:
    """Return the sources without those of settings that are not chosen, unless every setting is shown."""
    chosen = reported(found)
    return [one for one in sources if every_setting or not one.trial.only_setting or id(one.trial) in chosen]


def rows_of(
    sources: Sequence[Source],
    headlines: Sequence[Headline],
    notes: Sequence[Sequence[str]],
    old: set[int],
    found: Sequence[Choice],
) -> list[Row]:
    """Return the rows of trials, those of settings among them, and the rows of sweeps.

    Parameters
    ----------
    notes : for each source, on what sets it apart from others.
    old : the `id` of trials that are superseded.
    """
    chosen = reported(found)
    rows = []
    for source, own in zip(sources, notes, strict=True):
        row = make_row(source, headlines, notes=own, superseded=id(source.trial) in old)
        if not source.trial.only_setting:
            rows.append(row)
        elif id(source.trial) not in chosen:
            rows.append(_setting(row, source.trial))
    by_trial = {id(source.trial): own for source, own in zip(sources, notes, strict=True)}
    return [*rows, *(row for choice in found for row in _sweep_rows(choice, sources, headlines, by_trial))]


def _setting(row: Row, trial: Trial) -> Row:
    """Return a row as that of a setting; what is published concerns the row of the sweep."""
    notes = (*(f"a setting of the sweep of {sweep.row}" for sweep in trial.sweeps), *row.notes)
    return replace(row, only_setting=True, reference=None, verdict=None, notes=notes)


def _sweep_rows(
    choice: Choice, sources: Sequence[Source], headlines: Sequence[Headline], notes: Mapping[int, Sequence[str]]
) -> Iterator[Row]:
    """Yield the row of a sweep for each seed that is reported, or one that says why there is none."""
    if choice.chosen is None:
        reason = f"no setting has {choice.sweep.by} on every seed that chooses{_example(choice)}"
        yield _hole(choice, reason, headlines)
        return
    for seed in choice.sweep.reported_on:
        trial = choice.chosen.trials.get(seed)
        if trial is None:
            yield _hole(choice, f"the chosen setting has no trial with seed {seed}", headlines)
        for source in (one for one in sources if one.trial is trial):
            # Rows are told apart by their sources, and a setting may be a row of its own too.
            again = Source(source.trial, source.protocol, source.evaluation)
            row = make_row(again, headlines, notes=notes[id(trial)])
            key = replace(choice.row, seed=seed)
            yield replace(row, key=key, notes=(choice.text, *row.notes), choice=choice)


def _example(choice: Choice) -> str:
    """Return what failed first in the settings of a sweep; empty if nothing did."""
    for tried in choice.settings:
        for trial in tried.trials.values():
            if failed := trial.failure():
                return f"; {tried.record.name}: {failed.status}: {failed.reason}"
    return ""


def _hole(choice: Choice, reason: str, headlines: Sequence[Headline]) -> Row:
    nothing = (None,) * len(headlines)
    return Row(choice.row, (), nothing, NOT_EVALUATED, reason, notes=(choice.text,), choice=choice)


def group_of(row: Row, groups: Mapping[str, str]) -> str:
    """Return the heading of a row: as it is in the benchmark's file, where this is known, or was when it ran."""
    trials = [source.trial for source in row.sources] or (row.choice.trials if row.choice else [])
    return groups.get(row.label, trials[0].group if trials else "")


def with_tries(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows with the number of settings each is chosen from, and a line if these differ."""
    if not any(row.choice for row in rows):
        return list(rows), ()
    counted = [row if row.only_setting else replace(row, tries=_tries(row)) for row in rows]
    numbers = {row.tries for row in counted if row.tries}
    line = (
        f"unequal tuning: rows are chosen from {_listed(numbers)} settings (column Settings); "
        "a longer search finds a better one, whatever the method"
    )
    return counted, (line,) if len(numbers) > 1 else ()


def _tries(row: Row) -> int:
    return row.choice.sweep.tries if row.choice else 1


def _listed(numbers: Collection[int]) -> str:
    *others, last = map(str, sorted(numbers))
    return f"{', '.join(others)} and {last}" if others else last
