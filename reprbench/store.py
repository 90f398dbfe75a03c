"""Trials on disk: one folder each, small and readable, written in one step, readable for ever."""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, ValidationError
from typing_extensions import TypedDict

from reprbench.benchmark import Reference
from reprbench.errors import UserError
from reprbench.files import sync, write_json
from reprbench.spec import Budget

SCHEMA = 1
TRIAL = "trial.json"
NO_TRIAL = "not a trial of reprbench"
_OLD = ".old-"

Status = Literal["done", "failed", "timeout", "out-of-memory", "diverged", "interrupted", "skipped"]


class _Part(BaseModel):
    # Fields that a later version added are kept out of the way, not refused.
    model_config = ConfigDict(extra="ignore")


class MethodRecord(_Part):
    """The method that ran: as called, with all its parameters, and the code it came from."""

    name: str
    call: str
    parameters: dict[str, Any]
    origin: str
    source: str
    supervised: bool = False
    control: bool = False


class DataRecord(_Part):
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


@dataclass(frozen=True)
class Curve:
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
    at: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    x_label: str = ""
    log: bool = False


class MeasurementRecord(TypedDict):
    """One number, as `reprbench.protocols.base.Measurement` describes it."""

    metric: str
    value: float
    unit: str
    better: Literal["higher", "lower", "neither"]
    at: dict[str, Any]


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
    # Plain dicts for who reads them; what stands in a file is checked to be a `MeasurementRecord`.
    measurements: Annotated[
        list[dict[str, Any]], GetPydanticSchema(lambda source, handler: handler(list[MeasurementRecord]))
    ]
    warnings: list[str] = Field(default_factory=list)
    missing: str | None = None
    """Why the protocol could not be run on this learner."""
    headline_at: dict[str, Any] = Field(default_factory=dict)
    """The coordinates of the headline's measurements, besides the fold; every measurement of the metric by default."""
    curves: list[Curve] = Field(default_factory=list)
    figures: list[str] = Field(default_factory=list)
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


class Trial(_Part):
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
    protocols: list[str] = Field(default_factory=list)
    """The protocols that were asked for, also where the trial did not come so far."""
    deviations: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    reference: Reference | None = None
    evaluations: list[Evaluation] = Field(default_factory=list)
    cost: Cost = Field(default_factory=Cost)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The trial's folder inside the store."""
        return Path(self.benchmark, self.method.name, f"{self.seed}-{self.hash[:8]}")


class Store:
    """A folder of finished trials.

    Raises
    ------
    UserError
        If `root` is there and not a folder.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise UserError(f"store {root}: is a file; expected a folder (give another with --store)")
        self.root = root

    def check_writable(self) -> None:
        """Make the folder, and raise a `UserError` if nothing can be written there."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise UserError(
                f"store {self.root}: cannot be written ({error.strerror}); choose another folder with --store"
            ) from None

    def write(self, trial: Trial, files: Mapping[str, Path]) -> Path:
        """Write a trial with its `files` (name in the folder → file to copy), replacing an older one in one step."""
        final = self.root / trial.folder
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
        try:
            temporary.chmod(0o755)
            for name, source in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, temporary / name)
                sync(temporary / name)
            write_json(temporary / TRIAL, trial.model_dump(mode="json"))
            _swap(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return final

    def read(self) -> tuple[list[Trial], list[str]]:
        """Return all trials, and a line for each file that is not one: broken, foreign, or of a newer schema."""
        problems: list[str] = []
        with collector_paused():
            return list(self.each(problems)), problems

    def each(self, problems: list[str]) -> Iterator[Trial]:
        """Yield what `read` returns, one trial at a time; a line for each file that is not one goes to `problems`."""
        for path in self._trial_files():
            try:
                yield read_trial(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                problems.append(f"{path}: skipped: {error}")

    def find(self, prefix: str) -> list[tuple[Path, Trial]]:
        """Return the trials, with their folders, whose folder or hash begins with `prefix`.

        Raises
        ------
        UserError
            If one of them cannot be read.
        """
        found = []
        for path in self._trial_files():
            folder = path.parent.relative_to(self.root)
            names = (str(folder), folder.name, folder.name.partition("-")[2])
            if any(name.startswith(prefix.rstrip("/")) for name in names):
                try:
                    found.append((path.parent, read_trial(path)))
                except FileNotFoundError:
                    continue
                except ValueError as error:
                    raise UserError(f"{path}: cannot be read: {error}") from None
        return found

    def _trial_files(self) -> Iterator[Path]:
        """Yield where every ``trial.json`` should be; where a crash came between two renames, the older one."""
        for benchmark in _folders(self.root):
            for method in _folders(benchmark):
                names = {path.name for path in _folders(method)}
                for name in sorted(names):
                    lost = name.startswith(_OLD) and name.removeprefix(_OLD) not in names
                    if lost or not name.startswith("."):
                        yield method.joinpath(name, TRIAL)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, in the order of their names."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries if entry.is_dir())]


def read_trial(path: Path) -> Trial:
    """Read a ``trial.json``; raise a `ValueError` in one line if it is not one this version can read."""
    content = path.read_bytes()
    try:
        trial = Trial.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(_what_is_wrong(content, error)) from None
    if "schema_version" not in trial.model_fields_set:
        raise ValueError(NO_TRIAL)
    if trial.schema_version > SCHEMA:
        raise ValueError(_newer(trial.schema_version))
    return trial


def _what_is_wrong(content: bytes, error: ValidationError) -> str:
    """Return in one line why `content` cannot be read; pydantic's `error` may speak of what follows from it alone."""
    try:
        decoded = json.loads(content)
    except RecursionError:
        return "nested too deeply"
    except ValueError as broken:
        return str(broken)
    version = decoded.get("schema_version") if isinstance(decoded, dict) else None
    if not isinstance(version, int):
        return NO_TRIAL
    if version > SCHEMA:
        return _newer(version)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _newer(version: int) -> str:
    return f"written by a newer reprbench (schema {version}; this one reads up to {SCHEMA})"


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's collector from walking, over and over, all that is being read: none of it is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Nor need the passes that follow walk it: it lives for as long as the command.
        gc.freeze()
        if enabled:
            gc.enable()


def _swap(new: Path, final: Path) -> None:
    """Put `new` in the place of `final`, which stays readable under another name until `new` is there."""
    sync(new)
    old = final.with_name(_OLD + final.name)
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    new.rename(final)
    sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)
