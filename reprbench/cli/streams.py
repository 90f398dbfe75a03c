"""Standard output and standard error that may be full, closed or without a reader: that costs what is written there."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


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
def forgiving() -> Iterator[Callable[[], OSError | None]]:
    """Make both streams forgiving for the block; yield a function that returns the failure of standard output, if any.

    Without a reader, as after ``| head -1``, nothing is missing, which is no failure.
    """
    _occupy()
    before = sys.stdout, sys.stderr
    # A stream that the user closed is None.
    made = [None if stream is None else Forgiving(stream) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in made)
    try:
        yield lambda: _failure(made[0])
    finally:
        for stream in filter(None, made):
            stream.flush()
        sys.stdout, sys.stderr = before


def _failure(stream: Forgiving | None) -> OSError | None:
    if stream is None:
        return None
    stream.flush()
    return None if stream.failure is None or stream.failure.errno == errno.EPIPE else stream.failure


def _occupy() -> None:
    """Open what is closed of the descriptors 0, 1 and 2: the next file would get its number, and what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
