"""The schema of a trial: what is kept of it in ``trial.json``, and how that is read, whatever version wrote it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ValidationError

from reprbench.benchmark import Reference
from reprbench.spec import Budget

SCHEMA = 1
TRIAL = "trial.json"
NO_TRIAL = "not a trial of reprbench"

LARGEST = 1e150
"""The largest measurement: squares of larger ones are not finite."""

if TYPE_CHECKING:
    # Who reads a coordinate knows which of these it is.
    Coordinate = Any
else:
    Coordinate = str | int | float | bool | None

Status = Literal["done", "failed", "timeout", "out-of-memory", "diverged", "interrupted", "skipped"]


class _Part(msgspec.Struct):
    """A part of ``trial.json``; fields that a later version added are kept out of the way, not refused.

    What users write is read by pydantic, whose messages are for them. Trials are written and read by reprbench, and by
    the ten thousand: msgspec takes half the time, and tells what is wrong as well.
    """


class MethodRecord(_Part):
    """The method that ran: as called, with all its parameters, and the code it came from."""

    name: str
    call: str
    parameters: dict[str, Any]
    origin: str
    source: str
    supervised: bool = False
    control: bool = False


class DataRecord(_Part, kw_only=True):
    """The data it ran on."""

    call: str
    title: str
    digest: str
    limit: int | None = None
    shape: tuple[int, int, int]
    unlabeled: int
    train: int
    test: int
    classes: int
    folds: int
    fold_size: int | None = None
    """Images of a fold, on average; unknown in trials from before it was written down."""

    def __post_init__(self) -> None:
        if not 1 <= (self.fold_size or 1) <= self.train or self.classes < 1:
            raise ValueError(f"{self.classes} classes and folds of {self.fold_size} among {self.train} images")


class Measurement(msgspec.Struct, frozen=True):
    """One number: what, how much, in which unit, which way is better, and where.

    Attributes
    ----------
    metric : what was measured.
    value : a number of at most `LARGEST`, so that there is a spread.
    at : coordinates, texts or numbers: fold, layer, noise level, …
    """

    metric: str
    value: Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    at: dict[str, Coordinate] = {}


class Curve(msgspec.Struct, frozen=True):
    """Measurements that are read as a line, beside those of other methods: a metric against a coordinate.

    Attributes
    ----------
    metric : of the measurements.
    x : the name of the numeric coordinate in their `at`.
    at : the other coordinates that select them, the fold excepted: over folds a curve shows mean and spread.
    title, x_label : for people; by default `metric` and `x`.
    log : whether the axis of x is logarithmic.
    """

    metric: str
    x: str
    at: dict[str, Coordinate] = {}
    title: str = ""
    x_label: str = ""
    log: bool = False


class Evaluation(_Part):
    """What one protocol found."""

    name: str
    version: int
    parameters: dict[str, Any]
    text: str
    headline: str
    """The metric that stands in a table."""
    hash: str
    seconds: float
    measurements: list[Measurement]
    warnings: list[str] = []
    missing: str | None = None
    """Why the protocol could not be run on this learner."""
    headline_at: dict[str, Coordinate] = {}
    """The coordinates of the headline's measurements, besides the fold; every measurement of the metric by default."""
    curves: list[Curve] = []
    figures: list[str] = []
    """Files in the trial's folder, such as ``figures/robustness-1a2b3c4d-grid.png``."""


class Cost(_Part):
    """What the trial cost; unknown where it did not come that far."""

    parameters: int | None = None
    encode_flops: int | None = None
    images_seen: int | None = None
    fit_seconds: float | None = None
    evaluation_seconds: float | None = None
    peak_memory: int | None = None
    """Bytes of the trial's process at their most; on CUDA, `peak_device_memory` adds the device's."""
    peak_device_memory: int | None = None


class Trial(_Part, kw_only=True):
    """All that is known of one trial: the content of ``trial.json``."""

    schema_version: int = SCHEMA
    benchmark: str
    label: str
    method: MethodRecord
    dataset: DataRecord
    budget: Budget
    seed: int
    identity: dict[str, Any]
    hash: str
    status: Status
    reason: str = ""
    traceback: str = ""
    signal: str | None = None
    protocols: list[str] = []
    """The protocols that were asked for, also where the trial did not come so far."""
    deviations: list[str] = []
    warnings: list[str] = []
    reference: Reference | None = None
    evaluations: list[Evaluation] = []
    cost: Cost = msgspec.field(default_factory=Cost)
    provenance: dict[str, Any] = {}

    def __post_init__(self) -> None:
        for name in ("code", "versions", "machine", "fit"):
            if not isinstance(self.known(name), dict):
                raise ValueError(f"provenance: expected {name} to be an object")

    def known(self, part: str) -> dict[str, Any]:
        """Return a part of the provenance, such as ``machine``; empty where it is not told."""
        return self.provenance.get(part) or {}

    @property
    def folder(self) -> str:
        """The trial's folder inside the store, as ``benchmark/method/seed-hash``."""
        return f"{self.benchmark}/{self.method.name}/{self.seed}-{self.hash[:8]}"


def to_json(part: msgspec.Struct) -> Any:
    """Return a trial, or a part of one, as what JSON knows: dicts, lists, texts and numbers."""
    return msgspec.to_builtins(part, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if not hasattr(value, "item"):
        raise TypeError(f"{value!r} is neither a text nor a number")
    # A number of NumPy's or PyTorch's: measurements may come from any plugin.
    return value.item()


def _as_model(kind: type[BaseModel], value: Any) -> BaseModel:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


_TRIAL = msgspec.json.Decoder(Trial, dec_hook=_as_model)


class _Any(msgspec.Struct):
    schema_version: int


_ANY = msgspec.json.Decoder(_Any)


def read_trial(path: str | Path) -> Trial:
    """Read a ``trial.json``; raise a `ValueError` in one line if it is not one this version can read."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see `reprbench.store.Store._trial_files`
        content = file.read()
    try:
        trial = _TRIAL.decode(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(_what_is_wrong(content, str(error))) from None
    if trial.schema_version > SCHEMA:
        raise ValueError(_newer(trial.schema_version))
    return trial


def _what_is_wrong(content: bytes, message: str) -> str:
    """Return why `content` is no trial: `message`, unless that only follows from what the file is."""
    try:
        version = _ANY.decode(content).schema_version
    except msgspec.ValidationError:
        return NO_TRIAL
    except (ValueError, RecursionError):
        return message
    return _newer(version) if version > SCHEMA else message


def _newer(version: int) -> str:
    return f"written by a newer reprbench (schema {version}; this one reads up to {SCHEMA})"
