"""Digests of files, computed in one pass and cached until a file's size or modification time changes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from reprbench.cache import CacheFile, Content
from reprbench.data.locate import DataFile
from reprbench.data.room import check_disk
from reprbench.errors import UserError
from reprbench.files import make_ignored, open_regular

_CHUNK = 2**20


@dataclass(frozen=True)
class FileCheck:
    """The comparison of a dataset's file with the official one."""

    path: Path
    found: str
    """The digest of the unzipped content, in the algorithm of the official one; otherwise SHA-256: ``md5:918c…``."""
    sha256: str
    official: str | None

    @property
    def ok(self) -> bool:
        """Whether the file is the official one, or there is no official one."""
        return self.official is None or self.found == self.official

    @property
    def note(self) -> str:
        """The note that the file is not the official one, without its folder."""
        return f"{self.path.name.removesuffix('.gz')}: not the official file ({self.found.replace(':', ' ')})"


class Digests:
    """The digests of files, cached in ``digests.json`` in the cache folder.

    An entry is valid until the size or modification time of the file at its absolute path changes. Two processes that
    write it at once lose at most an entry.
    """

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir
        self._file = CacheFile(cache_dir, "digests.json")

    def check(self, file: DataFile) -> FileCheck:
        """Return the digests of a file's unzipped content with the official one."""
        algorithms = _algorithms(file)
        compute = lambda: hash_file(file.path, algorithms, file.size)  # noqa: E731
        return _checked(file, self._remembered(file.path, _stamp(file.path), algorithms, compute))

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file's unzipped content."""
        return self.check(DataFile(path)).sha256

    def of_content(self, path: Path, content: Content) -> str:
        """Return the SHA-256 of `content`, which is that of a file of the cache without its checksum."""
        compute = lambda: {"sha256": hashlib.sha256(content.data).hexdigest()}  # noqa: E731
        return self._remembered(path, _stamp(path), ["sha256"], compute)["sha256"]

    def tree(self, root: Path, files: Sequence[Path]) -> str:
        """Return the SHA-256 of `files` and of their paths relative to `root`; unchanged files are not read again."""
        listing = hashlib.sha256()
        for path in files:
            status = path.stat()
            listing.update(os.fsencode(f"{path.relative_to(root)}\0{status.st_size} {status.st_mtime_ns}\0"))
        stamp = listing.hexdigest()
        return self._remembered(root, stamp, ["sha256"], lambda: {"sha256": hash_tree(root, files)})["sha256"]

    def unzipped(self, file: DataFile) -> Path:
        """Return a path with the file's unzipped content: its own, or that of a copy in the cache folder."""
        if file.path.suffix != ".gz":
            return file.path
        # The copy is named after the content's digest: a stale one is never used, and equal files share one.
        sha256 = self.check(file).sha256
        copy = CacheFile(self.cache_dir, f"unzipped/{sha256[:16]}/{file.path.stem}")

        def older(content: Content) -> None:
            if hashlib.sha256(content.data).hexdigest() != sha256:
                raise ValueError("it has other content")

        def make() -> None:
            check_disk(f"{file.path}: its content takes", file.size or 0, self.cache_dir)
            _unzip(file.path, copy)

        copy.get(len, make, older=older)
        return copy.path

    def _remembered(
        self, path: Path, stamp: str, algorithms: Sequence[str], compute: Callable[[], dict[str, str]]
    ) -> dict[str, str]:
        key = os.fsencode(path.resolve()).decode("utf-8", "backslashreplace")
        known = self._read().get(key)
        if isinstance(known, dict) and known.get("stamp") == stamp and all(known.get(name) for name in algorithms):
            return {name: str(known[name]) for name in algorithms}
        digests = compute()
        entries = {**self._read(), key: {"stamp": stamp, **digests}}
        make_ignored(self.cache_dir)
        with self._file.write() as writer:
            writer.write(json.dumps(entries, indent=2).encode("ascii"))
        return digests

    def _read(self) -> dict[str, Any]:
        return self._file.read(_entries) or {}


def _entries(content: Content) -> dict[str, Any]:
    entries = json.loads(bytes(content))
    if not isinstance(entries, dict):
        raise ValueError("it is not an object of JSON")
    return entries


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _unzip(source: Path, target: CacheFile) -> None:
    with open_content(source) as stream, target.write() as writer:
        while chunk := stream.read(_CHUNK):
            writer.write(chunk)


def fresh_check(file: DataFile) -> FileCheck:
    """Read a file (or a folder of files) again and return its digests with the official one."""
    if file.path.is_dir():
        files = sorted(path for path in file.path.rglob("*") if path.is_file())
        return _checked(file, {"sha256": hash_tree(file.path, files)})
    return _checked(file, hash_file(file.path, _algorithms(file)))


def hash_file(path: Path, algorithms: Sequence[str], size: int | None = None) -> dict[str, str]:
    """Return the digests of a file's unzipped content by algorithm; the file is read once for all of them.

    Raises
    ------
    UserError
        If there is another number of bytes than `size`; no more than one chunk beyond that is unzipped.
    """
    hashes, count = {name: hashlib.new(name) for name in algorithms}, 0
    with open_content(path) as stream:
        while (size is None or count <= size) and (chunk := stream.read(_CHUNK)):
            count += len(chunk)
            for digest in hashes.values():
                digest.update(chunk)
    if size is not None and count != size:
        found = count if count < size else f"more than {size}"
        raise UserError(f"{path}: has {found} bytes; expected {size}, as its header says; fetch it again")
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def hash_tree(root: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 of the contents of `files`, in order, and of their paths relative to `root`."""
    digest = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(os.fsencode(f"{path.relative_to(root).as_posix()}\0{content}\0"))
    return digest.hexdigest()


@contextmanager
def open_content(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file's content, unzipped if its name ends in ``.gz``; corrupt data raises a `UserError` on any read."""
    try:
        with open_regular(path) as file, gzip.open(file) if path.suffix == ".gz" else file as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: truncated or corrupt ({error}); expected a complete gzip file; fetch it again"
        ) from None


def _algorithms(file: DataFile) -> list[str]:
    stated = [] if file.official is None else [file.official.partition(":")[0]]
    return [*stated, "sha256"]


def _checked(file: DataFile, digests: dict[str, str]) -> FileCheck:
    algorithm = _algorithms(file)[0]
    return FileCheck(file.path, f"{algorithm}:{digests[algorithm]}", digests["sha256"], file.official)
