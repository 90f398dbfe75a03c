"""Logs runs to Weights & Biases, or to files for it if WANDB_MODE is offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reprbench.errors import UserError
from reprbench.evaluation import FINISHED
from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd

try:
    import wandb
except ImportError:
    raise UserError("--log-to wandb needs wandb; install it with: pip install 'reprbench[wandb]'") from None

STEP = "step"
"""The metric over which the others are drawn."""


class WandbTracker(Tracker):
    """Makes a run of Weights & Biases for each trial.

    Parameters
    ----------
    where : the project.
    """

    def __init__(self, where: str) -> None:
        self._project = where
        self._runs: dict[str, Any] = {}

    def on_start(self, trial: TrackedTrial) -> None:
        """Begin a run with the settings of the trial."""
        run = self._runs[trial.folder] = wandb.init(
            project=self._project,
            group=trial.benchmark,
            name=trial.name,
            config={**trial.settings, "trial": trial.folder},
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )
        # W&B's own steps only ascend, and a supervised learner's fits all begin with the first.
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)

    def on_log(self, trial: TrackedTrial, step: float, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._runs[trial.folder].log({**values, STEP: step})

    def on_image(self, trial: TrackedTrial, name: str, path: Path) -> None:
        """Add a figure."""
        self._runs[trial.folder].log({name: wandb.Image(str(path))})

    def on_end(self, trial: TrackedTrial, end: TrialEnd) -> None:
        """Add what was measured, and end the run."""
        run = self._runs.pop(trial.folder)
        run.summary.update({**end.measurements, "status": end.status, "reason": end.reason})
        run.finish(exit_code=0 if end.status in FINISHED else 1)
