"""Logs runs to MLflow, where MLFLOW_TRACKING_URI or MLflow's own default says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from reprbench.errors import UserError
from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd

try:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
except ImportError:
    raise UserError("--log-to mlflow needs MLflow; install it with: pip install 'reprbench[mlflow]'") from None

LONGEST = 500
"""Characters of a parameter's value: as many as all versions of MLflow take."""

_ENDS = {"done": "FINISHED", "skipped": "FINISHED", "interrupted": "KILLED"}


class MLflowTracker(Tracker):
    """Makes a run of MLflow for each trial.

    Parameters
    ----------
    where : the experiment; by default it is called like the benchmark.
    """

    def __init__(self, where: str = "") -> None:
        self._experiment = where
        self._runs: dict[str, str] = {}

    def on_start(self, trial: TrackedTrial) -> None:
        """Begin a run with the settings of the trial."""
        self._client = MlflowClient()
        name = self._experiment or trial.benchmark
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, tags={"trial": trial.folder}, run_name=trial.name)
        self._runs[trial.folder] = run.info.run_id
        params = [Param(_key(name), str(value)[:LONGEST]) for name, value in trial.settings.items()]
        self._client.log_batch(run.info.run_id, params=params)

    def on_log(self, trial: TrackedTrial, step: float, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._add(trial, round(step), values)

    def on_image(self, trial: TrackedTrial, name: str, path: Path) -> None:
        """Add a figure as an artifact."""
        self._client.log_artifact(self._runs[trial.folder], str(path), "figures")

    def on_end(self, trial: TrackedTrial, end: TrialEnd) -> None:
        """Add what was measured, and end the run."""
        self._add(trial, 0, end.measurements)
        run = self._runs.pop(trial.folder)
        self._client.set_tag(run, "status", f"{end.status} {end.reason}".rstrip())
        self._client.set_terminated(run, _ENDS.get(end.status, "FAILED"))

    def _add(self, trial: TrackedTrial, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_key(name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self._runs[trial.folder], metrics=metrics)


def _key(name: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)
