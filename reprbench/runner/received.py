"""Reads what comes from processes that run the code of plugins: bounded and checked; nothing is trusted."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from reprbench.files import NotRegularError, open_regular
from reprbench.runner.job import FIGURES, GRAMS, HISTORY, TrialResult, converted
from reprbench.texts import LOG_CHARACTERS, TRACEBACK, clean, log_text, one_line, reason, warning_lines

RESULT_BYTES = 64 * 2**20
"""The most that a trial may say in one file: hundreds of times what the largest of our protocols do."""

_LINE_BYTES = 4 * 2**20
_LOOK_BYTES = 2**20
_MESSAGES = 100

Part = TypeVar("Part")


# -- numbers and files ------------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """Return a finite number (of Python, NumPy or torch) as a float, and None for everything else."""
    if isinstance(value, str | bytes | bytearray):
        return None
    try:
        converted = float(value)
    except Exception:  # whatever a plugin passes
        return None
    return converted if math.isfinite(converted) else None


def read_part(path: Path, kind: type[Part], limit: int = RESULT_BYTES) -> Part:
    """Read a JSON file that a trial wrote.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        In one line, if it is not a regular file, has more than `limit` bytes, or is not a `kind`.
    """
    try:
        with open_regular(path) as file:
            content = file.read(limit + 1)
    except NotRegularError:
        raise ValueError(f"{path.name} is not a regular file") from None
    if len(content) > limit:
        raise ValueError(f"{path.name} has more than {limit} bytes")
    try:
        return decode(content, kind)
    except ValueError as error:
        raise ValueError(f"{path.name}: {reason(error)}") from None


def decode(content: bytes, kind: type[Part]) -> Part:
    """Decode JSON as a `kind`; raise a `ValueError` if it is something else."""
    try:
        return msgspec.json.decode(content, type=kind, dec_hook=converted)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def stored_files(folder: Path) -> dict[str, Path]:
    """Return the files in a trial's working folder that belong in its folder in the store, by their paths there."""
    paths = [folder / HISTORY, *sorted(folder.glob(f"{FIGURES}/*.png")), *sorted(folder.glob(f"{GRAMS}/*.npy"))]
    return {str(path.relative_to(folder)): path for path in paths if path.is_file() and not path.is_symlink()}


def cleaned(result: TrialResult) -> TrialResult:
    """Return a result whose texts are as they are kept."""
    result.reason = one_line(result.reason)
    result.traceback = clean(result.traceback, TRACEBACK)
    result.warnings = warning_lines(result.warnings)
    return result


# -- messages ---------------------------------------------------------------------------------------------------------


class LineReader:
    """The whole lines that have come through a pipe; a line that is too long is left out.

    Parameters
    ----------
    descriptor : of the reading end; closed with the reader.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._begun = b""
        self._too_long = False

    def read(self) -> list[bytes]:
        """Return the lines that were completed since the last call, without waiting; not all if there is very much."""
        content = self._available()
        if b"\n" not in content:
            self._begin(self._begun + content)
            return []
        first, *lines, rest = content.split(b"\n")
        found = lines if self._too_long else [self._begun + first, *lines]
        self._too_long = False
        self._begin(rest)
        return [line for line in found if len(line) <= _LINE_BYTES]

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)

    def _begin(self, line: bytes) -> None:
        """Keep what there is of the next line, unless it is already too long."""
        self._too_long = self._too_long or len(line) > _LINE_BYTES
        self._begun = b"" if self._too_long else line

    def _available(self) -> bytes:
        chunks, size = [], 0
        with contextlib.suppress(BlockingIOError):
            while size < _LOOK_BYTES and (chunk := os.read(self._descriptor, 65536)):
                chunks.append(chunk)
                size += len(chunk)
        return b"".join(chunks)


class Progress(msgspec.Struct):
    """How far a trial is.

    Attributes
    ----------
    what : the current task.
    share : of it that is done, 0 to 1.
    values : the latest of what is logged.
    problem : why there will be no result; empty as long as one can be expected.
    """

    what: str
    share: float
    values: dict[str, float] = {}
    problem: str = ""


def progress(lines: list[bytes]) -> list[Progress]:
    """Return what the last lines say about a trial's progress; what says nothing is left out."""
    return [message for line in lines[-_MESSAGES:] if (message := _progress(line)) is not None]


def _progress(line: bytes) -> Progress | None:
    try:
        return checked_progress(decode(line, Progress))
    except ValueError:
        return None


def checked_progress(message: Progress) -> Progress:
    """Return a report whose texts and numbers can be shown."""
    message.what = one_line(message.what, 80)
    message.problem = one_line(message.problem)
    message.share = min(max(message.share, 0.0), 1.0)
    message.values = {one_line(name, 40): value for name, value in list(message.values.items())[:20]}
    return message


# -- output -----------------------------------------------------------------------------------------------------------


class Output:
    """The beginning and the end of what a process writes; the rest is dropped, so that it fills no disk or memory.

    Parameters
    ----------
    descriptor : the reading end of its pipe, which a thread drains until it closes.
    """

    KEPT = LOG_CHARACTERS
    """Bytes of the beginning, and of the end."""

    def __init__(self, descriptor: int) -> None:
        self._head, self._tail, self._size = b"", b"", 0
        self._thread = threading.Thread(target=self._drain, args=(descriptor,), daemon=True)
        self._thread.start()

    def text(self, limit: int = TRACEBACK) -> str:
        """Return it cleaned; wait shortly for the rest if the process has just ended."""
        return clean(self._kept(), limit)

    def log(self) -> str:
        """Return it as it is kept in the store."""
        return log_text(self._kept())

    def _kept(self) -> str:
        self._thread.join(timeout=1)
        head, tail = self._head, self._tail
        dropped = self._size - len(head) - len(tail)
        middle = f"\n… {dropped} bytes …\n".encode() if dropped > 0 else b""
        return (head + middle + tail).decode(errors="replace")

    def _drain(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65536):
                missing = self.KEPT - len(self._head)
                self._head += chunk[:missing]
                self._tail = (self._tail + chunk[missing:])[-self.KEPT :]
                self._size += len(chunk)
