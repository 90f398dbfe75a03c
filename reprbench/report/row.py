"""One row of a table: the results of one trial, or of all seeds of a method, under one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from reprbench.benchmark import Reference
from reprbench.learner import Kind
from reprbench.measurement import Better, Headline
from reprbench.report.best import Standing
from reprbench.report.choice import Choice
from reprbench.report.measured import ByFold, by_fold, fold_ratio, matching
from reprbench.report.statistics import Summary, bounds_of, summarize
from reprbench.report.verdict import Verdict, judge
from reprbench.trial import Code, Evaluation, ProtocolRecord, RowKey, Status, Trial

NOT_RUN: Literal["not run"] = "not run"
CHANGED_BY_HAND = "changed by hand: its trial.json is not as reprbench wrote it"
RowStatus = Status | Literal["not run", "not evaluated"]


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """A trial behind a row, and its finished evaluation under one of its protocols; None if there is none."""

    trial: Trial
    protocol: ProtocolRecord
    evaluation: Evaluation | None

    @property
    def is_first(self) -> bool:
        """Whether the protocol is the trial's first: the one that published values refer to."""
        return self.trial.protocols[0] is self.protocol

    @property
    def code(self) -> Code | None:
        """The protocol's code; None if it was not run."""
        return self.evaluation.code if self.evaluation else None


class HeadlineResult(Struct, frozen=True):
    """The result of a row for one headline of its table.

    Attributes
    ----------
    unit, better : of the metric.
    by_fold : the value of each fold; with several seeds, their mean.
    summary : mean, spread and interval of these.
    standing : how the row compares with the best of its table.
    """

    unit: str
    better: Better
    by_fold: ByFold
    summary: Summary
    standing: Standing = Standing()


class Row(Struct, frozen=True):
    """One row of a table; if it has no value, with the reason.

    Attributes
    ----------
    key : identifies the row; without a seed if it is over several.
    sources : the trials behind it, one per seed, and their evaluations; none for a row that was not run.
    results : one for each headline of the table; None where nothing was measured.
    status, reason : of the trial under the protocol: "skipped" where that cannot be run on the learner, "not evaluated"
        where the trial did not get that far, "not run" where there is no trial.
    reference, verdict : the published value, and how the first result (over all seeds) compares with it.
    notes : warnings, deviations, and what sets the row apart.
    group : the heading of the benchmark under which the row stands.
    superseded : whether a later trial took the row's place.
    choice : of the setting that is shown, if it is the row of a sweep.
    tries : how many settings the row is chosen from, if rows of its table are chosen.
    only_setting : whether it is a setting of a sweep, and no row that competes.
    apart : what distinguishes it from other rows with its label: budget, precision, protocol, the protocol's code.
    shows_seeds : whether its table has several seeds, so that they are part of its name.
    """

    key: RowKey
    sources: tuple[Source, ...]
    results: tuple[HeadlineResult | None, ...]
    status: RowStatus
    reason: str = ""
    reference: Reference | None = None
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    group: str = ""
    superseded: bool = False
    choice: Choice | None = None
    tries: int | None = None
    only_setting: bool = False
    apart: tuple[str, ...] = ()
    shows_seeds: bool = False

    @property
    def label(self) -> str:
        """The name that the benchmark gives the row; several rows of a table may share it."""
        return self.key.label

    @property
    def method(self) -> str:
        """The label, and what distinguishes the row from others with it; the same for all seeds of a method."""
        return _called(self._shown, self.apart)

    @property
    def competitor(self) -> str:
        """The same, but of a sweep its label, whatever setting was chosen."""
        return _called(self.label, self.apart)

    @property
    def name(self) -> str:
        """The row's name in its table: the method's, with seeds if the table has several."""
        seeds = self.seeds if self.shows_seeds else ()
        shown = (f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",) if seeds else ()
        return _called(self._shown, (*shown, *self.apart))

    @property
    def _shown(self) -> str:
        """The label; of a sweep the name with the setting that is chosen."""
        return self.choice.chosen.record.name if self.choice and self.choice.chosen else self.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its trials, ascending."""
        return tuple(sorted(source.trial.seed for source in self.sources))

    @property
    def kind(self) -> Kind:
        """The kind of its learner."""
        return self.sources[0].trial.method.kind if self.sources else "unsupervised"

    @property
    def result(self) -> HeadlineResult | None:
        """The result of the first headline."""
        return self.results[0] if self.results else None

    @property
    def mean(self) -> float | None:
        """The mean of the first headline."""
        return self.result.summary.mean if self.result else None

    @property
    def code(self) -> Code | None:
        """The protocol's code."""
        return self.sources[0].code if self.sources else None

    @property
    def dimension(self) -> int | None:
        """The number of features."""
        evaluation = self.sources[0].evaluation if self.sources else None
        found = matching(evaluation, "feature dimension", {}) if evaluation else []
        return int(found[0].value) if found else None

    @property
    def parameters(self) -> int | None:
        """The number of parameters that were learned or drawn."""
        return self.sources[0].trial.cost.parameters if self.sources else None

    @property
    def images_seen(self) -> int | None:
        """How many images the fit drew, the most over seeds."""
        return self._most(lambda source: source.trial.cost.images_seen)

    @property
    def steps(self) -> int | None:
        """The steps of the fit, the most over seeds."""
        return self._most(lambda source: source.trial.cost.steps)

    @property
    def fit_flops(self) -> int | None:
        """The counted FLOPs of these steps, the most over seeds."""
        return self._most(lambda source: source.trial.cost.fit_flops)

    @property
    def beside(self) -> bool:
        """Whether other trials may have run beside a fit, so that its seconds are not those of a fit alone."""
        return any(source.trial.fits_at_once > 1 for source in self.sources)

    @property
    def fit_seconds(self) -> float | None:
        """Seconds of fitting, the mean over seeds."""
        return self._mean(lambda source: source.trial.cost.fit_seconds)

    @property
    def evaluation_seconds(self) -> float | None:
        """Seconds of evaluation under this protocol, the mean over seeds."""
        return self._mean(lambda source: source.evaluation.seconds if source.evaluation else None)

    @property
    def peak_memory(self) -> int | None:
        """Peak memory in bytes, the maximum over seeds."""
        return self._most(lambda source: source.trial.cost.peak_memory)

    @property
    def peak_device_memory(self) -> int | None:
        """Peak memory on the CUDA device in bytes, the maximum over seeds."""
        return self._most(lambda source: source.trial.cost.peak_device_memory)

    def _most(self, value_of: Callable[[Source], int | None]) -> int | None:
        return max((value for source in self.sources if (value := value_of(source)) is not None), default=None)

    def _mean(self, value_of: Callable[[Source], float | None]) -> float | None:
        known = [value for source in self.sources if (value := value_of(source)) is not None]
        return sum(known) / len(known) if known else None


def make_row(source: Source, headlines: Sequence[Headline], notes: Iterable[str] = (), superseded: bool = False) -> Row:
    """Return the row of one trial, with `notes` on what sets it apart from others."""
    trial, evaluation = source.trial, source.evaluation
    status, reason = trial.outcome(source.protocol)
    results = tuple(_result(source, own) for own in own_headlines(evaluation, headlines))
    reference = trial.reference if source.is_first else None
    why = f"{status}: {reason}" if status != "done" else ""
    warnings = evaluation.warnings if evaluation else []
    edited = (CHANGED_BY_HAND,) if trial.changed_by_hand else ()
    return Row(
        key=trial.row,
        sources=(source,),
        results=results,
        status=status,
        reason=reason,
        reference=reference,
        verdict=verdict_of(reference, results, source, why=why),
        notes=(*edited, *trial.dataset.elsewhere, *map(str, trial.deviations), *trial.warnings, *warnings, *notes),
        superseded=superseded,
    )


def own_headlines(evaluation: Evaluation | None, headlines: Sequence[Headline]) -> list[Headline | None]:
    """Return the evaluation's own headline for each headline of its table.

    Coordinates may differ: the last layer has another name in every learner. So a metric that is a headline once is the
    same column wherever it was measured; if it is a headline several times, the coordinates decide.
    """
    own = evaluation.headlines if evaluation else []
    return [
        next((one for one in own if one == wanted), None)
        or _only([one for one in own if one.metric == wanted.metric], headlines)
        for wanted in headlines
    ]


def _only(own: Sequence[Headline], headlines: Sequence[Headline]) -> Headline | None:
    """Return the only headline of a metric, if its table has only one of it too."""
    return own[0] if len(own) == 1 and sum(one.metric == own[0].metric for one in headlines) == 1 else None


def _result(source: Source, headline: Headline | None) -> HeadlineResult | None:
    """Return what the trial measured of one of its evaluation's headlines."""
    evaluation = source.evaluation
    found = matching(evaluation, headline.metric, headline.at) if evaluation and headline else []
    if not found:
        return None
    values = by_fold(found)
    summary = summarize(list(values.values()), fold_ratio(source.trial.dataset), bounds_of(found[0].unit))
    return HeadlineResult(found[0].unit, found[0].better, values, summary)


def verdict_of(
    reference: Reference | None, results: Sequence[HeadlineResult | None], source: Source, seeds: int = 1, why: str = ""
) -> Verdict | None:
    """Return how the first result, over so many seeds, compares with the published value; `why` there is none."""
    if reference is None:
        return None
    first = results[0] if results else None
    foreign = tuple(str(one) for one in source.trial.deviations if one.from_benchmark)
    summary, unit = (first.summary, first.unit) if first else (None, "")
    return judge(reference, summary, unit, foreign, seeds, why)


def mixed(values: Iterable[object]) -> bool:
    """Return whether any two known values differ; None is unknown."""
    first, *others = [value for value in values if value is not None] or [None]
    return any(other != first for other in others)


def _called(label: str, details: Sequence[str]) -> str:
    return f"{label} ({'; '.join(details)})" if details else label
