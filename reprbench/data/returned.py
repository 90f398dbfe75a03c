"""What the function of a dataset may return, and its conversion to a `Dataset`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from reprbench.data.dataset import SMALLEST_SIDE, Dataset, assemble
from reprbench.data.folder import OnError, Share, load_folder
from reprbench.data.image_files import Color
from reprbench.data.locate import DataRequest
from reprbench.errors import UserError
from reprbench.images import Images, Indices, Labels
from reprbench.spec import mistakes
from reprbench.texts import reason

_BLOCK = 4096
"""Images digested at a time: a memory-mapped array is never read as a whole."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageArrays:
    """Images and labels of a dataset, as its function returns them.

    Images are uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3, at least 8×8 pixels, and of the same
    size in all splits. They may be memory-mapped (``numpy.load(path, mmap_mode="r")``). Images of floats from 0 to 1
    are converted: x becomes 255 x, rounded to the nearest integer, halves to the even one.

    Attributes
    ----------
    x_train, y_train : the labeled images for training, and their labels, integers or texts of shape (N,). The
        classes are the values that occur in `y_train`, in order.
    x_test, y_test : the images of the test split and their labels, all of which occur in `y_train`.
    x_unlabeled : the images that learners are fitted to; by default those of `x_train`.
    classes : a name for each class, in order; by default the labels themselves.
    folds : rows of `x_train`, an array of integers per fold; by default drawn by the dataset's name.
    title : for display; by default the call, as in ``birds[size=64]``.
    """

    x_train: NDArray[Any]
    y_train: ArrayLike
    x_test: NDArray[Any]
    y_test: ArrayLike
    x_unlabeled: NDArray[Any] | None = None
    classes: Sequence[str] | None = None
    folds: Sequence[ArrayLike] | None = None
    title: str | None = None


@dataclass(frozen=True)
class ImageFolder:
    """A folder of image files, ``train/<class>/*``, ``test/<class>/*`` and perhaps ``unlabeled/*``.

    It is read like the dataset `folder`: images are cropped to the central square, resized, and decoded only once.

    Attributes
    ----------
    path : absolute, or relative to a data folder (``--data-dir``).
    image_size : pixels, the side of the decoded images.
    gray : decode one channel of luminance instead of RGB.
    title : for display; by default the call.
    split : the share of the labeled images that are for training, where there is no test folder.
    on_error : "skip" leaves out files that are not readable as images.
    background : a color that transparent images are put on.
    """

    path: str | PathLike[str]
    image_size: int = 32
    gray: bool = False
    title: str | None = None
    split: float | None = None
    on_error: OnError = "raise"
    background: str | None = None


def as_dataset(returned: Any, request: DataRequest) -> Dataset:
    """Convert what a function returned, arrays, a folder or a dataset, to a dataset.

    Raises
    ------
    UserError
        If it is something else, or its parts do not fit together.
    """
    what = f"dataset {request.name!r}"
    if isinstance(returned, ImageArrays):
        return from_arrays(request, returned, what)
    if isinstance(returned, ImageFolder):
        _check_folder(returned, what)
        return load_folder(request, **{**vars(returned), "path": Path(returned.path)})
    if not isinstance(returned, Dataset):
        raise UserError(f"{what}: its function returned {type(returned).__name__}; expected ImageArrays or ImageFolder")
    return returned


def _check_folder(folder: ImageFolder, what: str) -> None:
    """Check what the parameters of the dataset `folder` are checked for when a user writes them."""
    size = folder.image_size
    if isinstance(size, bool) or not isinstance(size, int) or size < SMALLEST_SIDE:
        raise UserError(f"{what}: image_size is {size!r}; expected a whole number of at least {SMALLEST_SIDE}")
    if not isinstance(folder.path, str | PathLike):
        raise UserError(f"{what}: path is of type {type(folder.path).__name__}; expected the path of a folder")
    _check_title(folder.title, what)
    kinds: dict[str, Any] = {"split": Share | None, "on_error": OnError, "background": Color | None}
    for name, kind in kinds.items():
        try:
            TypeAdapter(kind).validate_python(getattr(folder, name))
        except ValidationError as error:
            raise UserError("\n".join(mistakes(error, f"{what}: {name}"))) from None


def _check_title(title: Any, what: str) -> None:
    if title is not None and not isinstance(title, str):
        raise UserError(f"{what}: title is of type {type(title).__name__}; expected a text")


def from_arrays(request: DataRequest, arrays: ImageArrays, where: str) -> Dataset:
    """Check arrays and make a dataset of them; messages begin with `where`, such as the name of their file."""
    images = {"x_train": arrays.x_train, "x_test": arrays.x_test, "x_unlabeled": arrays.x_unlabeled}
    pixels = {name: _images(array, f"{where}: {name}") for name, array in images.items() if array is not None}
    values, train_labels = np.unique(_values(arrays.y_train, f"{where}: y_train"), return_inverse=True)
    test_values = _values(arrays.y_test, f"{where}: y_test")
    if values.dtype.kind != test_values.dtype.kind:
        raise UserError(f"{where}: y_train is of {values.dtype} and y_test of {test_values.dtype}; expected one kind")
    unknown = np.setdiff1d(test_values, values)
    if len(unknown):
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        shown = f"{unknown[:10].tolist()}{more}"
        raise UserError(f"{where}: y_test has the classes {shown}, which y_train lacks; expected the same")
    _check_title(arrays.title, where)
    test_labels = np.searchsorted(values, test_values).astype(np.int64)
    content = {**pixels, "y_train": train_labels.astype("<i8"), "y_test": test_labels.astype("<i8")}
    return assemble(
        call=request.call,
        title=arrays.title or str(request.call),
        unlabeled=Images(pixels["x_unlabeled"]) if "x_unlabeled" in pixels else None,
        train=Images(pixels["x_train"]),
        train_labels=train_labels.astype(np.int64),
        test=Images(pixels["x_test"]),
        test_labels=test_labels,
        classes=_classes(arrays.classes, values, where),
        folds=None if arrays.folds is None else _folds(arrays.folds, len(pixels["x_train"]), where),
        content={name: _sha256(array) for name, array in content.items()},
    )


def _images(array: Any, what: str) -> NDArray[np.uint8]:
    """Return images with shape (N, C, H, W), contiguous unless they are memory-mapped."""
    plain = isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)
    if not plain or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        found = array.dtype if plain else type(array).__name__
        raise UserError(f"{what} has type {found}; expected uint8, values 0 to 255, or floats from 0 to 1")
    shape, mapped = array.shape, isinstance(array, np.memmap) and array.dtype == np.uint8
    if array.ndim == 3:
        array = array[:, np.newaxis]
    elif array.ndim == 4 and shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise UserError(f"{what} has shape {shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3")
    if array.dtype != np.uint8:
        array = _from_floats(array, what)
    return array if mapped else np.ascontiguousarray(array)


def _from_floats(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Return 255 times the values, rounded to the nearest integer, halves to the even one."""
    converted = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK].astype(np.float64)
        if not ((block >= 0) & (block <= 1)).all():
            low, high = block.min(), block.max()
            raise UserError(f"{what} has values from {low:g} to {high:g}; expected floats from 0 to 1, or uint8")
        converted[start : start + _BLOCK] = np.rint(block * 255)
    return converted


def _values(array: ArrayLike, what: str) -> NDArray[Any]:
    """Return labels: integers, or texts."""
    try:
        texts = np.asarray(array)
    except Exception:  # its message is that of other arrays
        return _integers(array, what)
    return texts if texts.dtype.kind == "U" and texts.ndim == 1 else _integers(texts, what, "integers or texts")


def _integers(array: ArrayLike, what: str, expected: str = "integers") -> Labels:
    try:
        array = np.asarray(array)
    except Exception as error:  # of lists whose parts differ, and of whatever has an ``__array__``
        raise UserError(f"{what} is not an array ({reason(error)}); expected {expected} of shape (N,)") from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(f"{what} has type {array.dtype} and shape {array.shape}; expected {expected} of shape (N,)")
    if len(array) and int(array.max()) > np.iinfo(np.int64).max:
        raise UserError(f"{what} has the value {array.max()}; expected integers below 2^63")
    return array.astype(np.int64)


def _classes(names: Sequence[str] | None, values: NDArray[Any], where: str) -> list[str]:
    if names is None:
        return [str(value) for value in values]
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise UserError(f"{where}: classes is of type {type(names).__name__}; expected a list of names")
    if len(names) != len(values):
        raise UserError(
            f"{where}: {len(names)} classes for {len(values)} different labels in y_train; expected as many"
        )
    return [str(name) for name in names]


def _folds(folds: Sequence[ArrayLike], count: int, where: str) -> list[Indices]:
    """Return the rows of each fold in order."""
    if not isinstance(folds, Sequence | np.ndarray):
        raise UserError(f"{where}: folds is of type {type(folds).__name__}; expected a list of rows for each fold")
    if not len(folds):
        raise UserError(f"{where}: no folds; expected at least one, or None to have them drawn")
    checked = []
    for number, fold in enumerate(folds):
        rows = _integers(fold, f"{where}: fold {number}")
        unique = np.unique(rows)
        if not len(rows) or len(unique) != len(rows) or unique[0] < 0 or unique[-1] >= count:
            raise UserError(f"{where}: fold {number} must have at least one row, each once, of 0 to {count - 1}")
        checked.append(unique)
    return checked


def _sha256(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(str(array.shape).encode())
    for start in range(0, len(array), _BLOCK):
        digest.update(np.ascontiguousarray(array[start : start + _BLOCK]).data)
    return digest.hexdigest()
