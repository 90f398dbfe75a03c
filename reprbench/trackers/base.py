"""What a tracker is told of the trials of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrackedTrial:
    """A trial of a run, as trackers see it.

    Attributes
    ----------
    benchmark : the name of the benchmark.
    label : of the row.
    method, dataset : their calls, like ``dae[noise=0.3]``.
    parameters : all parameters of the method.
    budget : of the fit, like ``10 epochs``.
    seed : of the trial.
    folder : of the trial in the store, which no other trial has, like ``adhoc/dae/0-1a2b3c4d``.
    """

    benchmark: str
    label: str
    method: str
    dataset: str
    parameters: Mapping[str, Any]
    budget: str
    seed: int
    folder: str

    @property
    def name(self) -> str:
        """The label and the seed."""
        return f"{self.label}, seed {self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that tells the trial from others, by name."""
        own = {"label": self.label, "method": self.method, "dataset": self.dataset}
        return {**own, "budget": self.budget, "seed": self.seed, **self.parameters}


@dataclass(frozen=True)
class TrialEnd:
    """How a trial ended.

    Attributes
    ----------
    status : "done", "failed", "timeout", "out-of-memory", "diverged", "interrupted" or "skipped".
    reason : of a failure.
    measurements : the means over folds of what tables show, by names like ``linear-svm/accuracy``, and the seconds of
        the fit and of the evaluation.
    """

    status: str
    reason: str
    measurements: Mapping[str, float]


class Tracker:
    """Receives what happens in a run. Derive from it, and give an object to `reprbench.run` with ``log_to``.

    All methods do nothing unless they are overridden. They are called in the process of the run, from one thread which
    is not the main one, so that a tracker never keeps trials waiting. One that raises an exception is warned of, and
    not called again. Several trials may run at the same time.

    Examples
    --------
    >>> from reprbench import Tracker
    >>> class Printing(Tracker):
    ...     def on_log(self, trial, step, values):
    ...         print(trial.name, step, values)
    >>> import reprbench as rb
    >>> rb.run("ae", log_to=[Printing(), "csv"])  # doctest: +SKIP
    """

    def on_start(self, trial: TrackedTrial) -> None:
        """Called when a trial begins."""

    def on_log(self, trial: TrackedTrial, step: float, values: Mapping[str, float]) -> None:
        """Called with each row of the history, some seconds after the learner has logged it.

        Parameters
        ----------
        step : as the learner counts.
        values : what it logged, and the ``seconds`` of fitting so far. With several fits, those of a supervised
            learner, names begin with ``fit 0/``.
        """

    def on_image(self, trial: TrackedTrial, name: str, path: Path) -> None:
        """Called with each figure of a trial that has ended, a PNG file, under a name like ``embedding/map``."""

    def on_end(self, trial: TrackedTrial, end: TrialEnd) -> None:
        """Called when a trial has ended, as the last of all."""
