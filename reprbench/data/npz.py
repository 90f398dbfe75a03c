"""Arrays saved by NumPy: x_train, y_train, x_test, y_test and perhaps x_unlabeled in one npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprbench.data.dataset import Dataset
from reprbench.data.locate import DataFile, DataRequest, locate_path
from reprbench.data.returned import ImageArrays, from_arrays
from reprbench.errors import UserError

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("x_unlabeled",)


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
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{file}: a single array; expected an npz file, as numpy.savez writes")
        with archive:
            missing = [name for name in _REQUIRED if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise UserError(f"{file}: lacks {', '.join(missing)}; found {found}; expected {', '.join(_REQUIRED)}")
            return {name: archive[name] for name in (*_REQUIRED, *_OPTIONAL) if name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{file}: not readable as npz without pickles ({error}); save plain arrays") from None
