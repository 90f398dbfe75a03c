"""Makes the trackers that a run asks for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from reprbench.errors import UserError
from reprbench.trackers.base import Tracker

KINDS = {
    "csv": "csv_file:CSVTracker",
    "mlflow": "mlflow:MLflowTracker",
    "tensorboard": "tensorboard:TensorBoardTracker",
    "wandb": "wandb:WandbTracker",
}
"""The modules and classes of the trackers that have names."""

FORMS = "tensorboard[:FOLDER], mlflow[:EXPERIMENT], wandb:PROJECT or csv[:FILE]"


def make_trackers(asked: Sequence[str | Tracker]) -> list[tuple[str, Tracker]]:
    """Return the trackers, and what they are called in messages; nothing is written or sent yet.

    Raises
    ------
    UserError
        If one is not known, or what it needs is not installed.
    """
    return [
        (one, _made(one)) if isinstance(one, str) else (type(_checked(one)).__name__, one)
        for one in dict.fromkeys(asked)
    ]


def _made(asked: str) -> Tracker:
    kind, colon, where = asked.partition(":")
    if kind not in KINDS or bool(colon) != bool(where) or (kind == "wandb" and not where):
        raise UserError(f"--log-to {asked[:80]!r}: expected {FORMS}")
    module, _, name = KINDS[kind].partition(":")
    made: Tracker = getattr(import_module(f"reprbench.trackers.{module}"), name)(*([where] if where else []))
    return made


def _checked(asked: object) -> object:
    if not isinstance(asked, Tracker):
        what = f"the class {asked.__name__}" if isinstance(asked, type) else type(asked).__name__
        raise UserError(f"log_to: {what} is no Tracker; expected one, or {FORMS}")
    return asked
