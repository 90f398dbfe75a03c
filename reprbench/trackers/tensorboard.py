"""Logs runs to TensorBoard: ``tensorboard --logdir runs`` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprbench.errors import UserError
from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd

try:
    from torch.utils.tensorboard.writer import SummaryWriter
except ImportError:
    raise UserError(
        "--log-to tensorboard needs TensorBoard; install it with: pip install 'reprbench[tensorboard]'"
    ) from None

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TensorBoardTracker(Tracker):
    """Writes a folder of events for each trial.

    Parameters
    ----------
    where : the folder of all trials.
    """

    def __init__(self, where: str = "runs") -> None:
        self._folder = Path(where)
        self._writers: dict[str, Any] = {}

    def on_start(self, trial: TrackedTrial) -> None:
        """Begin the trial's folder with its settings."""
        writer: Any = SummaryWriter(str(self._folder / trial.folder))
        self._writers[trial.folder] = writer
        lines = [f"| {name} | {value} |" for name, value in trial.settings.items()]
        writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *lines]))
        writer.flush()

    def on_log(self, trial: TrackedTrial, step: float, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        for name, value in values.items():
            self._writers[trial.folder].add_scalar(f"fit/{name}", value, round(step))

    def on_image(self, trial: TrackedTrial, name: str, path: Path) -> None:
        """Add a figure."""
        self._writers[trial.folder].add_image(name, _pixels(path), dataformats="HWC")

    def on_end(self, trial: TrackedTrial, end: TrialEnd) -> None:
        """Add what was measured, and how the trial ended."""
        writer = self._writers.pop(trial.folder)
        for name, value in end.measurements.items():
            writer.add_scalar(name, value, 0)
        writer.add_text("end", f"{end.status} {end.reason}".rstrip())
        writer.close()


def _pixels(path: Path) -> NDArray[Any]:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
