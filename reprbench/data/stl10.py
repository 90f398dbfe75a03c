"""STL-10: binary files in column-major order, memory-mapped, with their own folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reprbench.data.dataset import Dataset, assemble, match_labels
from reprbench.data.digests import Digests
from reprbench.data.locate import DataFile, DataRequest, Layout, locate
from reprbench.errors import UserError
from reprbench.images import Images, Indices, Labels

_SIDE = 96
_IMAGE_BYTES = 3 * _SIDE * _SIDE

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
    in_file = np.fromfile(path, dtype=np.uint8).astype(np.int64)  # 1 … 10
    return match_labels(in_file - 1, images, path)


def read_folds(path: Path, n_images: int) -> tuple[Indices, ...]:
    """Read one fold per line: zero-based rows of the training images, separated by spaces.

    Raises
    ------
    UserError
        If there is no fold, or a row is not a number from 0 to `n_images` - 1.
    """
    folds = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), start=1):
        try:
            rows = np.array(line.split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise UserError(f"{path}: line {number} is not a list of row numbers; fetch it again") from None
        if len(rows) and (rows.min() < 0 or rows.max() >= n_images):
            raise UserError(
                f"{path}: line {number} has rows from {rows.min()} to {rows.max()}; "
                f"expected 0 to {n_images - 1}, the training images; fetch it again"
            )
        if len(rows):
            folds.append(np.sort(rows))
    if not folds:
        raise UserError(f"{path}: no folds; expected one per line; fetch it again")
    return tuple(folds)
