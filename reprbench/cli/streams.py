"""Standard output and standard error that may be full, closed or without a reader: that costs what is written there."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Forgiving:
    """A text stream whose failures are kept instead of raised; after one, what is written is dropped.

    Attributes
    ----------
    failure : the first failure; None if there was none.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write `text`, if that is possible."""
        with self._forgiven():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, if that is possible."""
        with self._forgiven():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error
            with contextlib.suppress(OSError, ValueError):
                # What is buffered would fail again when Python exits, and change its exit status.
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)


@contextmanager
def forgiving() -> Iterator[list[OSError]]:
    """Make both streams forgiving for the block; yield a list, which then has the failure of standard output, if any.

    Without a reader, as after ``| head -1``, nothing is missing, and the list stays empty.
    """
    _occupy()
    lost: list[OSError] = []
    before = sys.stdout, sys.stderr
    made = [stream and Forgiving(stream) for stream in before]
    sys.stdout, sys.stderr = made
    try:
        yield lost
    finally:
        for stream in filter(None, made):
            stream.flush()
        sys.stdout, sys.stderr = before
        failure = made[0].failure if made[0] else None
        if failure is not None and failure.errno != errno.EPIPE:
            lost.append(failure)


def _occupy() -> None:
    """Open what is closed of the descriptors 0, 1 and 2: the next file would get its number, and what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
