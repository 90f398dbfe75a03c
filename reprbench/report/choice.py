"""Which setting of a sweep is chosen: by the measurement and on the seeds that its trials name, from all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from reprbench.grammar import show_parameters
from reprbench.measurement import Better, Measurement
from reprbench.report.measured import by_fold, fold_ratio, matching, over_seeds, shared_folds
from reprbench.report.statistics import Summary, bounds_of, summarize
from reprbench.report.text import value_order
from reprbench.sweep import Setting
from reprbench.trial import ADHOC, Evaluation, RowKey, SweepRecord, Trial


@dataclass(frozen=True)
class Tried:
    """One setting of a sweep.

    Attributes
    ----------
    record : of the sweep, with this setting.
    trials : its newest trial of each seed.
    value : of the measurement that chooses, over the folds and the seeds that choose; None if one of them lacks it.
    """

    record: SweepRecord
    trials: Mapping[int, Trial]
    value: Summary | None

    @property
    def setting(self) -> Setting:
        """The values of the swept parameters."""
        return self.record.setting


@dataclass(frozen=True)
class Choice:
    """What a sweep tried, and which of its settings is chosen.

    Attributes
    ----------
    row : identifies the sweep's row, without a seed.
    sweep : what was asked; its setting is any of the settings.
    settings : those in the store, ordered by their values.
    chosen : the best of those with a value; None if there is none.
    unit, better : of the measurement that chooses.
    """

    row: RowKey
    sweep: SweepRecord
    settings: tuple[Tried, ...]
    chosen: Tried | None
    unit: str = ""
    better: Better = "neither"

    @property
    def trials(self) -> list[Trial]:
        """The trials of all settings."""
        return [trial for one in self.settings for trial in one.trials.values()]

    @property
    def failed(self) -> int:
        """How many settings could not be chosen, because on one of the seeds that choose there is no value."""
        return sum(one.value is None for one in self.settings)

    @property
    def missing(self) -> int:
        """How many settings are not in the store."""
        return max(self.sweep.tries - len(self.settings), 0)

    @property
    def text(self) -> str:
        """How the setting was chosen, and which could not be."""
        holes = [(self.failed, "without a value"), (self.missing, "not in the store")]
        left_out = "".join(f"; {count} {what}, which could have won" for count, what in holes if count)
        return f"chosen of {self.sweep.tries} settings {self.sweep.how}{left_out}"

    @property
    def summary(self) -> str:
        """The sweep's row, and which setting was chosen how."""
        chosen = show_parameters(self.chosen.setting) if self.chosen else "no setting"
        return f"{self.sweep.row}: {chosen}, {self.text}"


def choices(trials: Iterable[Trial]) -> list[Choice]:
    """Return the choice of each row's last sweep.

    Parameters
    ----------
    trials : the newest of each row; among them all settings of every sweep that matters.
    """
    found: dict[tuple[RowKey, str], list[tuple[SweepRecord, Trial]]] = {}
    for trial in trials:
        for sweep in trial.sweeps:
            row = replace(trial.row, label=sweep.row, seed=None)
            found.setdefault((row, sweep.key), []).append((sweep, trial))
    last: dict[RowKey, list[tuple[SweepRecord, Trial]]] = {}
    for (row, _), members in sorted(found.items(), key=lambda item: _asked(item[1])):
        for enlarged in [other for other, before in last.items() if _enlarges(row, members, other, before)]:
            del last[enlarged]
        last[row] = members
    return [_choice(row, members) for row, members in last.items()]


def chosen_trials(trials: Iterable[Trial]) -> dict[int, bool]:
    """Return, by the `id` of each of the `trials` that is a setting of a sweep, whether the sweep's row shows it."""
    trials = list(trials)
    shown = reported(choices(trials))
    return {id(trial): id(trial) in shown for trial in trials if trial.sweeps}


def reported(found: Iterable[Choice]) -> set[int]:
    """Return the `id` of each trial that the row of a sweep shows: of the chosen setting, on the seeds reported."""
    return {
        id(trial)
        for choice in found
        if choice.chosen
        for seed, trial in choice.chosen.trials.items()
        if seed in choice.sweep.reported_on
    }


def _enlarges(
    row: RowKey,
    members: Sequence[tuple[SweepRecord, Trial]],
    other: RowKey,
    before: Sequence[tuple[SweepRecord, Trial]],
) -> bool:
    """Return whether a sweep asks the same as one before, with all its trials and perhaps more.

    Only rows that are named after what was asked, which no benchmark file does, take another's place like that.
    """
    if row.benchmark != ADHOC or replace(other, label=row.label) != row:
        return False
    how, how_before = (
        (one.by, one.protocol, one.on, one.chosen_on, one.reported_on) for (one, _), *_ in (members, before)
    )
    return how == how_before and {id(trial) for _, trial in before} <= {id(trial) for _, trial in members}


def _asked(members: Sequence[tuple[SweepRecord, Trial]]) -> tuple[str, int]:
    """Return when the sweep was asked for: what a later run asks for is at the end of a trial's sweeps."""
    return max((trial.order, trial.sweeps.index(sweep)) for sweep, trial in members)


def _choice(row: RowKey, members: Sequence[tuple[SweepRecord, Trial]]) -> Choice:
    by_setting: dict[str, list[tuple[SweepRecord, Trial]]] = {}
    for sweep, trial in members:
        by_setting.setdefault(show_parameters(sweep.setting), []).append((sweep, trial))
    measured = [found for _, trial in members for found in _measurements(members[0][0], trial)]
    unit = measured[0].unit if measured else ""
    better: Better = measured[0].better if measured else "neither"
    settings = sorted(
        map(_tried, by_setting.values()), key=lambda one: [value_order(value) for value in one.setting.values()]
    )
    return Choice(row, members[0][0], tuple(settings), _best(settings, better), unit, better)


def _best(settings: Sequence[Tried], better: Better) -> Tried | None:
    """Return the best setting; of equal ones the first."""
    known = [(one.value.mean if better == "lower" else -one.value.mean, one) for one in settings if one.value]
    return min(known, key=lambda one: one[0])[1] if known and better != "neither" else None


def _tried(members: Sequence[tuple[SweepRecord, Trial]]) -> Tried:
    sweep = members[0][0]
    trials = {trial.seed: trial for _, trial in members}
    return Tried(sweep, trials, _value(sweep, trials))


def _value(sweep: SweepRecord, trials: Mapping[int, Trial]) -> Summary | None:
    """Return the value of a setting over folds and the seeds that choose; None if one of these has none."""
    found = [_measurements(sweep, trials[seed]) if seed in trials else [] for seed in sweep.chosen_on]
    seeds = [by_fold(one) for one in found if one]
    if len(seeds) < len(sweep.chosen_on) or not shared_folds(seeds):
        return None
    data = trials[sweep.chosen_on[0]].dataset
    return summarize(list(over_seeds(seeds).values()), fold_ratio(data), bounds_of(found[0][0].unit))


def _measurements(sweep: SweepRecord, trial: Trial) -> list[Measurement]:
    """Return what a trial measured of the metric that chooses: as a headline where it is shown, or all of it."""
    evaluation = _evaluation(sweep, trial)
    if evaluation is None:
        return []
    at = next((one.at for one in evaluation.headlines if one.metric == sweep.by), {})
    return matching(evaluation, sweep.by, at)


def _evaluation(sweep: SweepRecord, trial: Trial) -> Evaluation | None:
    return next((one for one in reversed(trial.evaluations) if one.hash == sweep.protocol and one.finished), None)
