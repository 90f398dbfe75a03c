"""Trials on disk: one folder each, small and readable, written in one step, readable for ever."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ValidationError

from reprbench.benchmark import Reference
from reprbench.errors import UserError
from reprbench.files import sync, write_json
from reprbench.spec import Budget

SCHEMA = 1
TRIAL = "trial.json"
NO_TRIAL = "not a trial of reprbench"
_OLD = ".old-"

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
            write_json(temporary / TRIAL, to_json(trial))
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
        for path in map(Path, self._trial_files()):
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

    def _trial_files(self) -> Iterator[str]:
        """Yield where every ``trial.json`` should be; where a crash came between two renames, the older one.

        Texts, not `Path` objects: making those takes as long as reading the files.
        """
        root = str(self.root)
        for benchmark in _folders(root):
            for method in _folders(f"{root}/{benchmark}"):
                folder = f"{root}/{benchmark}/{method}"
                names = _folders(folder)
                for name in names:
                    lost = name.startswith(_OLD) and name.removeprefix(_OLD) not in names
                    if lost or not name.startswith("."):
                        yield f"{folder}/{name}/{TRIAL}"


def _folders(folder: str) -> list[str]:
    """Return the names of the folders in `folder`, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


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
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see `Store._trial_files`
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
