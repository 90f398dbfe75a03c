"""Any arrays that NumPy saved: x_train, y_train, x_test, y_test and perhaps x_unlabeled in one npz file."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprbench.data.dataset import Dataset, assemble
from reprbench.data.locate import DataFile, Request, locate_path
from reprbench.errors import UserError
from reprbench.images import Images, Labels

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("x_unlabeled",)


def npz_files(request: Request, *, path: Path, title: str | None = None) -> list[DataFile]:
    """Return the one file."""
    return [DataFile(_locate(request, path))]


def load_npz(request: Request, *, path: Path, title: str | None = None) -> Dataset:
    """Load images and labels from an npz file, into memory.

    Parameters
    ----------
    path : absolute, or relative to a data folder
    title : for tables; by default the call

    Images are uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3. Labels are integers; the classes are
    the values that occur in ``y_train``, in order.

    Raises
    ------
    UserError
        If an array is missing, or of another type or shape. Arrays of objects (pickles) are refused.
    """
    file = _locate(request, path)
    arrays = _read(file)
    images = {name: _images(array, f"{file}: {name}") for name, array in arrays.items() if name.startswith("x_")}
    classes, train_labels = np.unique(_labels(arrays["y_train"], f"{file}: y_train"), return_inverse=True)
    test_labels = _labels(arrays["y_test"], f"{file}: y_test")
    unknown = np.setdiff1d(test_labels, classes)
    if len(unknown):
        raise UserError(f"{file}: y_test has the classes {unknown.tolist()}, which y_train lacks; expected the same")
    test_labels = np.searchsorted(classes, test_labels).astype(np.int64)
    content = {**images, "y_train": train_labels.astype("<i8"), "y_test": test_labels.astype("<i8")}
    return assemble(
        name=request.call,
        title=title or request.call,
        unlabeled=Images(images["x_unlabeled"]) if "x_unlabeled" in images else None,
        train=Images(images["x_train"]),
        train_labels=train_labels.astype(np.int64),
        test=Images(images["x_test"]),
        test_labels=test_labels,
        classes=[str(label) for label in classes],
        content={name: _sha256(array) for name, array in content.items()},
    )


def _locate(request: Request, path: Path) -> Path:
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


def _images(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Return images as a contiguous array of shape (N, C, H, W)."""
    if array.dtype != np.uint8:
        raise UserError(f"{what} has type {array.dtype}; expected uint8, values 0 to 255")
    if array.ndim == 3:
        array = array[:, np.newaxis]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise UserError(f"{what} has shape {array.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3")
    return np.ascontiguousarray(array)


def _labels(array: NDArray[Any], what: str) -> Labels:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"{what} has type {array.dtype} and shape {array.shape}; expected integers of shape (N,)")
    return array.astype(np.int64)


def _sha256(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(array.data)
    return digest.hexdigest()
