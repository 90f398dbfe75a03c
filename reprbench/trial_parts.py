"""The parts of a trial that are no results: its method, data and protocols, how they deviate, and what it cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from reprbench.evaluation import Code, Seconds
from reprbench.learner import Kind
from reprbench.limit import Limit
from reprbench.spec import Call

# Others come from no run, and reports could not compute with them.
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class MethodRecord(msgspec.Struct, kw_only=True):
    """The method that ran: its call, all its parameters, and its code."""

    call: Call
    parameters: dict[str, Any]
    origin: str
    code: Code
    kind: Kind = "unsupervised"

    @property
    def name(self) -> str:
        """The name under which the method is registered."""
        return self.call.name


class DataRecord(msgspec.Struct, kw_only=True):
    """The dataset."""

    call: Call
    title: str
    digest: str
    limit: Size | Limit | None = None
    shape: tuple[Size, Size, Size]
    unlabeled: Size
    train: Size
    test: Size
    classes: Size
    folds: Size
    fold_size: Size | None = None
    """Images per fold, on average; unknown in trials from before it was recorded."""
    read_from: str = ""
    """The folder in which the data were found, if ``--data-dir`` named another."""

    def __post_init__(self) -> None:
        if not 1 <= (self.fold_size or 1) <= self.train or self.classes < 1:
            raise ValueError(f"{self.classes} classes and folds of {self.fold_size} among {self.train} images")

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The note that the data were found in another folder than the user named, if they were."""
        named = "the folder named with --data-dir does not have them"
        return (f"data read from {self.read_from}: {named}",) if self.read_from else ()


DeviationKind = Literal[
    "dataset", "protocol", "budget", "limit", "precision", "parameters", "data", "own protocol", "own budget"
]  # fmt: skip


class Deviation(msgspec.Struct, frozen=True):
    """A difference between a trial and its benchmark.

    Attributes
    ----------
    kind : what differs. "own protocol" and "own budget" are set by the benchmark's file for this row, "data" concerns
        the files (they are not the official ones), and the others come from the command line.
    text : the deviation in words.
    """

    kind: DeviationKind
    text: str

    @property
    def from_benchmark(self) -> bool:
        """Whether it makes the trial another experiment than the benchmark's; what the file itself sets does not."""
        return self.kind not in ("own protocol", "own budget")

    def __str__(self) -> str:
        return self.text


class ProtocolRecord(msgspec.Struct, frozen=True):
    """A protocol that was requested.

    Attributes
    ----------
    call : its name, and the parameters that are not the defaults.
    hash : of everything that distinguishes this evaluation from others of the same fit, as in `Evaluation`.
    table : the benchmark's protocol in whose table the row appears, if the row has a protocol of its own.
    """

    call: Call
    hash: str
    table: Call | None = None


class Cost(msgspec.Struct):
    """The cost of the trial; unknown if it did not get that far."""

    parameters: Size | None = None
    encode_flops: Size | None = None
    images_seen: Size | None = None
    steps: Size | None = None
    """Of the optimizer, or iterations."""
    fit_flops: Size | None = None
    """FLOPs of these steps, as far as torch counts them: products and convolutions."""
    fit_seconds: Seconds | None = None
    evaluation_seconds: Seconds | None = None
    peak_memory: Size | None = None
    """The most bytes that the trial's process used; on CUDA, `peak_device_memory` is that of the device."""
    peak_device_memory: Size | None = None
