"""What can happen to a file that others wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, Path], None]
"""Is given the file, and a file of the same kind that belongs to something else."""


def _changed(change: Callable[[bytearray], object]) -> Damage:
    def damage(path: Path, other: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return damage


def _flip(content: bytearray, place: int) -> None:
    content[place] ^= 1


def _replaced(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path, other: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("a file")


DAMAGES: dict[str, Damage] = {
    "zeroed": _changed(lambda content: content.__setitem__(slice(None), bytes(len(content)))),
    "zeroed page": _changed(lambda content: content.__setitem__(slice(0, 64), bytes(64))),
    "a bit flipped early": _changed(lambda content: _flip(content, len(content) // 3)),
    "a bit flipped late": _changed(lambda content: _flip(content, -100)),
    "a bit flipped in the checksum": _changed(lambda content: _flip(content, -5)),
    "truncated": lambda path, other: os.truncate(path, path.stat().st_size // 2),
    "extended": _changed(lambda content: content.extend(b"more")),
    "empty": lambda path, other: os.truncate(path, 0),
    "a byte": lambda path, other: path.write_bytes(b"{") and None,
    "of something else": lambda path, other: shutil.copyfile(other, path) and None,
    "a folder": _replaced(_folder),
    "a pipe": _replaced(os.mkfifo),
    "a link to itself": _replaced(lambda path: path.symlink_to(path.name)),
}
