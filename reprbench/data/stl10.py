"""STL-10: binary files in column-major order, memory-mapped, with their own folds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from reprbench.data.dataset import Dataset, assemble, match_labels
from reprbench.data.digests import Digests
from reprbench.data.locate import DataFile, DataRequest, Layout, locate
from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.images import Images, Indices, Labels

_SIDE = 96
_IMAGE_BYTES = 3 * _SIDE * _SIDE
_LONGEST_FOLDS = 2**24
"""Bytes of the largest file of folds that is read; the official one has 50 kB."""
_ROW = re.compile(r"-?[0-9]{1,18}")

# The digests of torchvision.datasets.STL10; that of the folds is from the official archive.
_LAYOUT = Layout(
    folders=("stl10_binary", "stl10/stl10_binary", "stl10"),
    files={
        "train_X.bin": "md5:918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "md5:5a34089d4802c674881badbb80307741",
        "test_X.bin": "md5:7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "md5:36f9794fa4beb8a2c72628de14fa638e",
        "unlabeled_X.bin": "md5:5242ba1fed5e4be9e1e742405eb56ca4",
        "fold_indices.txt": "md5:4bbf8cd098ab9f87fe03fbcb37c06b28",
    },
)

# The order of class_names.txt.
_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


def stl10_files(request: DataRequest) -> list[DataFile]:
    """Return the six files of STL-10."""
    return list(locate(request, _LAYOUT).values())


def load_stl10(request: DataRequest) -> Dataset:
    """STL-10: 96×96 color, 10 classes, 5,000 + 8,000 images and 100,000 unlabeled, with 10 folds of its own.

    Source: Coates, Ng, Lee (2011). The folds are those of ``fold_indices.txt``. The first load reads every file once to
    digest it.
    """
    files = locate(request, _LAYOUT)
    paths = {name: file.path for name, file in files.items()}
    train, test = map_images(paths["train_X.bin"]), map_images(paths["test_X.bin"])
    unlabeled = map_images(paths["unlabeled_X.bin"])
    train_labels, test_labels = _read_labels(paths["train_y.bin"], train), _read_labels(paths["test_y.bin"], test)
    folds = read_folds(paths["fold_indices.txt"], len(train))
    digests = Digests(request.cache_dir)
    checks = {name: digests.check(file) for name, file in files.items()}
    return assemble(
        call=request.call,
        title="STL-10",
        unlabeled=unlabeled,
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=_CLASSES,
        folds=folds,
        content={name: check.sha256 for name, check in checks.items()},
        notes=[check.note for check in checks.values() if not check.ok],
    )


def map_images(path: Path) -> Images:
    """Map a file of images: the red, then the green, then the blue values of each image, column by column.

    Raises
    ------
    UserError
        If the file's size is not a whole number of images.
    """
    size = path.stat().st_size
    if size == 0 or size % _IMAGE_BYTES:
        raise UserError(
            f"{path}: has {size} bytes; expected a multiple of {_IMAGE_BYTES}, one {_SIDE}×{_SIDE} color image; "
            "fetch it again"
        )
    columns = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, _SIDE, _SIDE)
    return Images(columns.transpose(0, 1, 3, 2))


def _read_labels(path: Path, images: Images) -> Labels:
    # One more than there should be: a file of any size is refused without being read.
    in_file = np.fromfile(path, dtype=np.uint8, count=len(images) + 1).astype(np.int64)  # 1 … 10
    if len(in_file) > len(images):
        raise UserError(
            f"{path}: has {path.stat().st_size} labels; expected {len(images)}, one per image; fetch it again"
        )
    return match_labels(in_file - 1, images, path)


def read_folds(path: Path, n_images: int) -> tuple[Indices, ...]:
    """Read one fold per line: zero-based rows of the training images, separated by spaces.

    Raises
    ------
    UserError
        If there is no fold, a line has no row or one row twice, or a row is not a number from 0 to `n_images` - 1.
    """
    with open_regular(path) as file:
        content = file.read(_LONGEST_FOLDS + 1)
    lines = content.decode("ascii", errors="replace").rstrip().splitlines()
    if not lines or len(content) > _LONGEST_FOLDS:
        found = "no folds" if not lines else f"more than {_LONGEST_FOLDS} bytes"
        raise UserError(f"{path}: {found}; expected one fold per line; fetch it again")
    return tuple(_fold(line, f"{path}: line {number}", n_images) for number, line in enumerate(lines, start=1))


def _fold(line: str, where: str, n_images: int) -> Indices:
    words = line.split()
    if not words or not all(_ROW.fullmatch(word) for word in words):
        raise UserError(f"{where} is not a list of row numbers; fetch it again")
    rows = np.array([int(word) for word in words], dtype=np.int64)
    if rows.min() < 0 or rows.max() >= n_images:
        raise UserError(
            f"{where} has rows from {rows.min()} to {rows.max()}; "
            f"expected 0 to {n_images - 1}, the training images; fetch it again"
        )
    if len(np.unique(rows)) != len(rows):
        raise UserError(f"{where} has a row more than once; expected each once; fetch it again")
    return np.sort(rows)
