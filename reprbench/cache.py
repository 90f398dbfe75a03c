"""Checked files that can be made anew: each ends with a checksum of its name and content, verified when it is read."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from reprbench.errors import UserError, system_reason
from reprbench.files import NotRegularError, open_regular, replacing

Content = NDArray[np.uint8]
"""The content of a file without its checksum, memory-mapped and read-only."""

Identity = tuple[int, int, int]
"""Inode, size and modification time of a file."""

DAMAGED = ".damaged"
"""Added to the name of a file that is set aside; an older one of that name is removed."""

_CHUNK = 2**20
_LONG_HASH = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b")
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class _Damage(Exception):
    """Says what is wrong with a file."""


@dataclass(frozen=True)
class CacheFile:
    """A file that can be made anew, bound to its name: the content of another file is not accepted in its place.

    The checksum is in the file itself, behind the content, so that both are always replaced together. A file that is
    damaged is set aside as ``NAME.damaged``, with a warning in the log.

    Parameters
    ----------
    root : a folder.
    name : below the root, with slashes; it identifies the content.
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.root / self.name

    def get(
        self,
        parse: Callable[[Content], _T],
        make: Callable[[], object],
        verified: set[Identity] | None = None,
        older: Callable[[Content], object] | None = None,
    ) -> _T:
        """Return what `parse` makes of the content; `make` is called to write a file that is not there. See `read`."""
        found = self.read(parse, verified, older)
        for _ in range(2):  # another process may set aside what it saw before this one wrote it anew
            if found is None:
                make()
                found = self.read(parse, verified, older)
        if found is None:
            raise UserError(f"cache file {self.path}: is not what was just written; check the disk, or use another")
        return found

    def read(
        self,
        parse: Callable[[Content], _T],
        verified: set[Identity] | None = None,
        older: Callable[[Content], object] | None = None,
    ) -> _T | None:
        """Return what `parse` makes of the content; None if there is no such file, or it was damaged.

        Earlier versions of reprbench wrote no checksums: what they wrote is treated as absent.

        Parameters
        ----------
        parse : raises a `ValueError` if it cannot read the content.
        verified : files that need not be verified again; a file that was verified is added.
        older : raises an error unless a file without checksum is whole; by default `parse`.
        """
        before = None
        try:
            before = self.path.stat()
            with _open(self.path) as file:
                return self._parsed(file, parse, older or parse, set() if verified is None else verified)
        except FileNotFoundError:
            return None
        except (_Damage, OSError, ValueError) as error:
            self._set_aside(before, system_reason(error))
        return None

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """Yield a writer of the content; the file is replaced atomically if the block raises nothing.

        Raises
        ------
        UserError
            If it cannot be written, for example to a full disk.
        """
        with ExitStack() as stack:
            with _writing(self.path):
                temporary = stack.enter_context(replacing(self.path))
                file = stack.enter_context(temporary.open("wb"))
            writer = Writer(self, file)
            yield writer
            with _writing(self.path):
                file.write(writer.trailer())
                stack.close()

    def discard(self) -> None:
        """Remove the file, if there is one."""
        with _writing(self.path):
            _remove(self.path)

    def _parsed(
        self,
        file: BufferedReader,
        parse: Callable[[Content], _T],
        older: Callable[[Content], object],
        verified: set[Identity],
    ) -> _T | None:
        status = os.fstat(file.fileno())
        if not status.st_size:
            raise _Damage("it is empty")
        whole: Content = np.memmap(file, dtype=np.uint8, mode="r")
        end = max(0, len(whole) - _TRAILER_SIZE)
        trailer = whole[end:].tobytes()
        if not trailer.startswith(_trailer(end, "")[:-1]):
            with contextlib.suppress(Exception):  # whatever reading damaged bytes may raise
                older(whole)
                return None
            raise _Damage("it is truncated or overwritten")
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        if identity not in verified:
            if trailer != _trailer(end, _checksum(self.name, file, end)):
                raise _Damage("its checksum is not that of its name and content")
            verified.add(identity)
        return parse(whole[:end])

    def _set_aside(self, judged: os.stat_result | None, why: str) -> None:
        """Rename the file and say so, unless it is another one by now than the one that was judged."""
        aside = self.path.with_name(self.path.name + DAMAGED)
        with _writing(self.path):
            try:
                if judged is not None and not os.path.samestat(judged, self.path.stat()):
                    return
                _remove(aside)
                self.path.rename(aside)
            except FileNotFoundError:
                return  # another process was faster
        _log.warning(
            "cache file %s was damaged (%s): it is made anew, and the damaged one kept as %s",
            _LONG_HASH.sub(r"\1…", f"{self.root.name}/{self.name}"),
            why,
            aside.name,
        )


class Writer:
    """Writes the content of a file, and computes its checksum."""

    def __init__(self, target: CacheFile, file: BinaryIO) -> None:
        self._path, self._file, self._size = target.path, file, 0
        self._hash = _hash_of(target.name)

    def write(self, content: bytes | memoryview) -> None:
        """Append to the content."""
        with _writing(self._path):
            self._size += self._file.write(content)
        self._hash.update(content)

    def trailer(self) -> bytes:
        """Return what follows the content written so far."""
        return _trailer(self._size, self._hash.hexdigest())


def content_size(path: Path) -> int:
    """Return the size of a file without its checksum, if it has one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = max(0, size - _TRAILER_SIZE)
        file.seek(end)
        return end if file.read().startswith(_trailer(end, "")[:-1]) else size


class _Lines(logging.Handler):
    """Appends messages to a list."""

    def __init__(self, into: list[str]) -> None:
        super().__init__()
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


@contextmanager
def collected_warnings(into: list[str]) -> Iterator[None]:
    """Append the warnings about damaged files to a list during the block, instead of showing them on standard error."""
    handler = _Lines(into)
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """Return the mistake that nothing can be written at `path`, in the cache."""
    return UserError(f"cache {path}: cannot be written ({system_reason(error)}); free it, or work in another folder")


def _open(path: Path) -> BufferedReader:
    try:
        return open_regular(path)
    except NotRegularError:
        raise _Damage("it is not a regular file") from None


def _trailer(size: int, checksum: str) -> bytes:
    return f"\nreprbench: {size:020d} bytes, xxh3-128 {checksum}\n".encode("ascii")


_TRAILER_SIZE = len(_trailer(0, 32 * "0"))


def _hash_of(name: str) -> xxhash.xxh3_128:
    return xxhash.xxh3_128(name.encode("utf-8", "surrogateescape") + b"\0")


def _checksum(name: str, file: BufferedReader, size: int) -> str:
    """Hash the first `size` bytes; reading is slower than mapping, but mapped pages count as memory of the process."""
    digest, buffer = _hash_of(name), memoryview(bytearray(_CHUNK))
    file.seek(0)
    while size and (count := file.readinto(buffer[: min(size, _CHUNK)])):
        digest.update(buffer[:count])
        size -= count
    return digest.hexdigest()


def _remove(path: Path) -> None:
    """Remove whatever is at `path`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
