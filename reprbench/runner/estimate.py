"""How long what is planned would take, from what earlier trials took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reprbench.evaluation import FINISHED
from reprbench.runner.plan import Planned, TrialSpec
from reprbench.trial import Trial


@dataclass(frozen=True)
class Estimate:
    """The device time of the planned trials of which earlier ones tell something.

    Attributes
    ----------
    seconds : of those that are known, one after another.
    known, unknown : how many trials these are, and of how many others nothing is known.
    """

    seconds: float
    known: int
    unknown: int

    def __str__(self) -> str:
        """Return ``about 3.2 device-hours by earlier trials; 2 of 20 trials unknown``."""
        if not self.known:
            return "device-hours unknown: there are no earlier trials like these"
        hours = f"about {self.seconds / 3600:.3g} device-hours, by earlier trials"
        return f"{hours}; {self.unknown} of {self.known + self.unknown} trials unknown" if self.unknown else hours


def estimate(work: Iterable[Planned], trials: Sequence[Trial]) -> Estimate:
    """Return what the planned trials would take on a device like that of the earlier ones.

    A trial takes what the latest one took of the same method with the same parameters, data, budget and precision,
    whatever its seed and the state of the code.
    """
    found = _expected([planned for planned in work if planned.runs], trials)
    known = [seconds for seconds in found if seconds is not None]
    return Estimate(sum(known), len(known), len(found) - len(known))


class Remaining:
    """How long the rest of a run takes: by earlier trials, and by those that have ended in this run.

    Parameters
    ----------
    work : the trials to run.
    earlier : what the store has.
    at_once : how many run at the same time.
    clock : returns seconds.
    """

    def __init__(
        self,
        work: Sequence[Planned],
        earlier: Sequence[Trial],
        at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = {planned.spec.hash: planned for planned in work}
        self._known = dict(zip(self._left, _expected(list(self._left.values()), earlier), strict=True))
        self._at_once, self._clock = at_once, clock
        self._begun: dict[str, float] = {}
        self._took: dict[str, list[float]] = {}

    def started(self, planned: Planned) -> None:
        """Note that a trial begins."""
        self._begun[planned.spec.hash] = self._clock()

    def finished(self, planned: Planned, trial: Trial) -> None:
        """Note that a trial has ended; what it took counts for others if it is done."""
        fit = planned.spec.hash
        self._left.pop(fit, None)
        if (begun := self._begun.pop(fit, None)) is not None and not trial.failure(planned.hashes):
            self._took.setdefault(planned.spec.method.name, []).append(self._clock() - begun)

    def seconds(self) -> float | None:
        """Return how long it takes until all have ended; None if nothing is left, or of some nothing is known."""
        rest = [self._rest(planned) for planned in self._left.values()]
        known = [seconds for seconds in rest if seconds is not None]
        if not known or len(known) < len(rest):
            return None
        return max(sum(known) / self._at_once, *known)

    def _rest(self, planned: Planned) -> float | None:
        fit = planned.spec.hash
        took = self._took.get(planned.spec.method.name) or [one for some in self._took.values() for one in some]
        expected = self._known[fit]
        if expected is None and took:
            expected = sum(took) / len(took)
        passed = self._clock() - self._begun[fit] if fit in self._begun else 0.0
        return None if expected is None else max(expected - passed, 0.0)


def _expected(work: Sequence[Planned], trials: Iterable[Trial]) -> list[float | None]:
    """Return the seconds that each planned trial takes by the trials like it; None if these do not tell."""
    by_kind: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        by_kind.setdefault(_kind(trial), []).append(trial)
    return [_seconds(planned, by_kind.get(_kind(planned.spec), [])) for planned in work]


def _kind(one: TrialSpec | Trial) -> tuple[object, ...]:
    """Return what a trial that tells of another has in common with it, besides the parameters."""
    return one.method.name, one.dataset.digest, one.budget, one.precision


def _seconds(planned: Planned, trials: Iterable[Trial]) -> float | None:
    same = (trial for trial in trials if trial.method.parameters == planned.spec.method.parameters)
    alike = sorted(same, key=lambda trial: trial.order, reverse=True)
    fit = next((t.cost.fit_seconds for t in alike if t.status in FINISHED and t.cost.fit_seconds is not None), None)
    took = {one.call: one.seconds for trial in reversed(alike) for one in trial.evaluations if one.finished}
    evaluations = [took.get(one.record.call) for one in planned.missing]
    if (planned.action == "run" and fit is None) or None in evaluations:
        return None
    return sum(seconds for seconds in evaluations if seconds) + (fit or 0.0 if planned.action == "run" else 0.0)
