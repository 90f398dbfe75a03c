"""Arrays saved by NumPy: x_train, y_train, x_test, y_test and perhaps x_unlabeled in one npz file."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from reprbench.data.dataset import Dataset
from reprbench.data.locate import DataFile, DataRequest, locate_path
from reprbench.data.returned import ImageArrays, from_arrays
from reprbench.data.room import check_memory
from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.texts import reason

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("x_unlabeled",)
_LONGEST_HEADER = 2**14
"""Bytes; NumPy itself reads headers of up to 10,000 characters."""


def npz_files(request: DataRequest, *, path: Path, title: str | None = None) -> list[DataFile]:
    """Return the one file."""
    return [DataFile(_locate(request, path))]


def load_npz(request: DataRequest, *, path: Path, title: str | None = None) -> Dataset:
    """Your arrays: x_train, y_train, x_test, y_test, perhaps x_unlabeled in one npz file; parameters path, title.

    Parameters
    ----------
    path : absolute, or relative to a data folder
    title : for display; by default the call

    The arrays are read into memory. See `ImageArrays` for their types and shapes.

    Raises
    ------
    UserError
        If an array is missing, has another type or shape, or holds objects (pickles).
    """
    file = _locate(request, path)
    arrays: dict[str, Any] = _read(file)
    return from_arrays(request, ImageArrays(**arrays, title=title), str(file))


def _locate(request: DataRequest, path: Path) -> Path:
    return locate_path(request, path, f"an npz file with {', '.join(_REQUIRED)} and perhaps {_OPTIONAL[0]}")


def _read(file: Path) -> dict[str, NDArray[Any]]:
    with open_regular(file) as stream:
        if stream.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise UserError(f"{file}: a single array; expected an npz file, as numpy.savez writes")
        try:
            with zipfile.ZipFile(stream) as archive:
                members = _members(file, archive)
                sizes = [_check_header(archive, member) for member in members.values()]
                check_memory(f"{file}: its arrays need", sum(sizes))
                return {name: _array(archive, member) for name, member in members.items()}
        except UserError:
            raise
        except Exception as error:  # `zipfile` and NumPy raise errors of many types on corrupt files
            raise UserError(
                f"{file}: not readable as npz without pickles ({reason(error)}); save plain arrays with numpy.savez"
            ) from None


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members with the arrays, by the arrays' names."""
    found = Counter(info.filename.removesuffix(".npy") for info in archive.infolist())
    if missing := [name for name in _REQUIRED if not found[name]]:
        names = ", ".join([*found][:10]) or "nothing"
        raise UserError(f"{file}: lacks {', '.join(missing)}; found {names}; expected {', '.join(_REQUIRED)}")
    wanted = [name for name in (*_REQUIRED, *_OPTIONAL) if found[name]]
    if twice := [name for name in wanted if found[name] > 1]:
        raise UserError(f"{file}: has {', '.join(twice)} more than once; expected each array once; save it again")
    return {name: info for info in archive.infolist() if (name := info.filename.removesuffix(".npy")) in wanted}


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return the bytes of an array; raise a `ValueError` if its header says another size than the archive."""
    with archive.open(member) as stream:
        start = BytesIO(stream.read(_LONGEST_HEADER))
    version = npy.read_magic(start)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{member.filename} is in version {version} of the format; expected 1.0 or 2.0")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(start)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects")
    if min(shape, default=0) < 0 or start.tell() + size != member.file_size:
        raise ValueError(f"{member.filename} has {member.file_size} bytes, not those of its shape {shape}")
    return size


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        return array
