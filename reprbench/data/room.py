"""Whether data fit into memory or onto a disk, asked before anything is allocated: sizes come from files and users."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from reprbench.errors import UserError


def check_memory(what: str, size: int) -> None:
    """Raise a `UserError` that begins with `what` if `size` bytes do not fit into the memory that is free now."""
    _check(what, size, psutil.virtual_memory().available, "of memory")


def check_disk(what: str, size: int, folder: Path) -> None:
    """Raise a `UserError` that begins with `what` if `size` bytes do not fit onto the disk of `folder`."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    _check(what, size, shutil.disk_usage(existing).free, f"on the disk of {folder}")


def _check(what: str, size: int, free: int, where: str) -> None:
    if size > free:
        raise UserError(
            f"{what} {gigabytes(size)} {where}; only {gigabytes(free)} are free; use less data, or free some"
        )


def gigabytes(size: int) -> str:
    """Return a number of bytes for messages, also one that no float can hold.

    >>> gigabytes(1_234_000_000), gigabytes(10**500)
    ('1.23 GB', 'more than 10^15 GB')
    """
    return f"{size / 1e9:.3g} GB" if size < 10**24 else "more than 10^15 GB"
