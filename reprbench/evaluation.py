"""The results of one protocol, with their own status: a part of ``trial.json``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from reprbench.measurement import Curve, Headline, Measurement
from reprbench.spec import Call

Status = Literal["done", "failed", "timeout", "out-of-memory", "diverged", "interrupted", "skipped"]
FINISHED: tuple[Status, ...] = ("done", "skipped")
"""What need not be tried again."""

FIGURES, GRAMS = "figures", "grams"
"""The folders of figures and of Gram matrices in a trial's folder."""

Seconds = Annotated[float, msgspec.Meta(ge=-1, le=1e12)]
"""Differences of times, which rounding may take a little below 0; others come from no run."""

MOST_FIGURES, LARGEST_FIGURE = 100, 16 * 2**20
"""How many figures of one protocol a store keeps, and the bytes of the largest."""

MOST_GRAMS, LARGEST_GRAM = 10, 2**20
"""How many Gram matrices of one protocol a store keeps, and the bytes of the largest."""

_GRAM_FILE = re.compile(rf"{GRAMS}/(?!\.)[^/\\\x00-\x1f\x7f]+\.npy")
_FIGURE_FILE = re.compile(rf"{FIGURES}/(?!\.)[^/\\\x00-\x1f\x7f]+\.png")


class Code(msgspec.Struct, frozen=True):
    """Identifies a state of the code of a method or protocol.

    Attributes
    ----------
    version : its own version number; None if it has none.
    source : the digest of its code; empty if it has a version.
    bases : the versioned classes it derives from, and their versions.
    """

    version: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    source: str = ""
    bases: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        own = f"code {self.source[:8]}" if self.version is None else f"version {self.version}"
        bases = ", ".join(f"{name} {version}" for name, version in self.bases)
        return f"{own} ({bases})" if bases else own


class Figure(msgspec.Struct, frozen=True):
    """A figure that a protocol drew: its name, such as ``grid``, and its file in the trial's folder."""

    name: str
    file: str

    def __post_init__(self) -> None:
        # Stores come from anywhere, and the file is opened: it must not lead out of the folder.
        if not _FIGURE_FILE.fullmatch(self.file):
            raise ValueError(f"{self.file[:80]!r} is not the file of a figure; expected figures/<name>.png")


class Gram(msgspec.Struct, frozen=True):
    """A centered Gram matrix of features, which reports compare with those of other learners.

    Attributes
    ----------
    name : of what has these features, such as ``representation``.
    file : in the trial's folder, see `reprbench.probes.cka.Packed`.
    images : the digest of the images that it is of; matrices of other images cannot be compared.
    """

    name: str
    file: str
    images: str

    def __post_init__(self) -> None:
        if not _GRAM_FILE.fullmatch(self.file):
            raise ValueError(f"{self.file[:80]!r} is not the file of a Gram matrix; expected grams/<name>.npy")


class Evaluation(msgspec.Struct, kw_only=True):
    """The results of one protocol, or why there are none."""

    call: Call
    """The protocol's name, and the parameters that are not the defaults."""
    code: Code
    parameters: dict[str, Any]
    hash: str
    seconds: Seconds
    headlines: list[Headline]
    """The metrics shown in a table; published values are those of the first."""
    measurements: list[Measurement]
    warnings: list[str] = []
    status: Status = "done"
    """"skipped" if the protocol cannot be run on this learner."""
    reason: str = ""
    traceback: str = ""
    signal: str | None = None
    ended: str = ""
    """When it ended, in ISO 8601; empty in evaluations from before it was recorded."""
    curves: list[Curve] = []
    figures: list[Figure] = []
    grams: list[Gram] = []

    def __post_init__(self) -> None:
        if self.finished and not self.headlines:
            raise ValueError("an evaluation without a headline metric")

    @property
    def finished(self) -> bool:
        """Whether it need not be tried again: the protocol was run, or cannot be."""
        return self.status in FINISHED
