"""How long what is planned would take, from what earlier trials took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reprbench.evaluation import FINISHED
from reprbench.runner.plan import Planned
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
    found = [_seconds(planned, trials) for planned in work if planned.runs]
    known = [seconds for seconds in found if seconds is not None]
    return Estimate(sum(known), len(known), len(found) - len(known))


def _seconds(planned: Planned, trials: Sequence[Trial]) -> float | None:
    alike = sorted((trial for trial in trials if _alike(planned, trial)), key=lambda trial: trial.order, reverse=True)
    fit = next((t.cost.fit_seconds for t in alike if t.status in FINISHED and t.cost.fit_seconds is not None), None)
    took = {one.call: one.seconds for trial in reversed(alike) for one in trial.evaluations if one.finished}
    evaluations = [took.get(one.record.call) for one in planned.missing]
    if (planned.action == "run" and fit is None) or None in evaluations:
        return None
    return sum(seconds for seconds in evaluations if seconds) + (fit or 0.0 if planned.action == "run" else 0.0)


def _alike(planned: Planned, trial: Trial) -> bool:
    spec = planned.spec
    asked = (spec.method.name, spec.method.parameters, spec.dataset.digest, spec.budget, spec.precision)
    return asked == (trial.method.name, trial.method.parameters, trial.dataset.digest, trial.budget, trial.precision)
