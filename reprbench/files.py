"""Files of the harness, written atomically, and files that others name: read if regular, written through links."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from reprbench.errors import UserError, system_reason

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularError(OSError, ValueError):
    """Something that is not a regular file: reading it could block, never end or have side effects."""

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        super().__init__(f"is {kind}; expected a regular file")
        self.path = os.fspath(path)


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file, or a link to one, for reading bytes.

    Raises
    ------
    NotRegularError
        If it is anything else; a FIFO or device is not opened.
    OSError
        If it cannot be opened.
    """
    if kind := kind_of_special(path):
        raise NotRegularError(path, kind)
    # It may be another file by now, and opening a FIFO must not wait for a writer.
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - strings are faster; the caller closes it
    if kind := _kind(os.fstat(file.fileno())):
        file.close()
        raise NotRegularError(path, kind)
    return file


def kind_of_special(path: str | os.PathLike[str]) -> str:
    """Return what a path is, such as "a FIFO", if it is not a regular file, and an empty string if it is one."""
    return _kind(os.stat(path))  # noqa: PTH116 - strings are faster


def _kind(status: os.stat_result) -> str:
    return "" if stat.S_ISREG(status.st_mode) else _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def write_output(path: Path, content: str | bytes) -> None:
    """Write a text, or bytes, to a file that the user named; a regular file changes all at once.

    What lies behind a link is written and the link stays; a device or FIFO is written to, not replaced. ``/dev/stdout``
    and ``/dev/stderr`` are the program's own, with what was written to them before.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    content = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if (descriptor := _standard_stream(path)) is not None:
        _append(descriptor, content)
        return
    try:
        if _special(path):
            with path.open("wb", buffering=0) as special:
                _append(special.fileno(), content)
        else:
            with replacing(Path(os.path.realpath(path))) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {system_reason(error)}; choose another file") from None


def _standard_stream(path: Path) -> int | None:
    """Return the descriptor of the standard stream that `path` is; opening a file again would truncate it."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            same = os.path.samestat(path.stat(), os.fstat(descriptor))
        except OSError:
            continue
        if same:
            if stream is not None:
                stream.flush()
            return descriptor
    return None


def _special(path: Path) -> bool:
    try:
        return bool(kind_of_special(path))
    except FileNotFoundError:
        return False


def _append(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to `path`; what is written there replaces `path` if the block raises nothing.

    What is not `lasting` may be lost if the machine fails, and so it is written at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        if lasting:
            sync(temporary)
        temporary.chmod(0o666 & ~umask())
        temporary.replace(path)
        if lasting:
            sync(path.parent)
    except OSError as error:
        # Writing to an open file, as when the disk is full, names none.
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` by `text` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace the content of `path` by `value` as indented JSON; numbers that are not finite are errors."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def make_ignored(folder: Path) -> None:
    """Make a folder, if it is not there, and let git ignore it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", "*\n")


def sync(path: Path) -> None:
    """Wait until the content of `path` (a file or a folder) has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """Return this process's umask."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    # The only portable way to read it is to set it, which other threads notice.
    mask = os.umask(0)
    os.umask(mask)
    return mask
