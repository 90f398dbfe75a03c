"""The digits that come with scikit-learn: the default dataset, which needs no files."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprbench.data.dataset import Dataset, assemble
from reprbench.data.folds import named_generator, stratified_rows
from reprbench.data.locate import DataRequest
from reprbench.images import Images

_TEST_SHARE = 0.25


def load_digits(request: DataRequest) -> Dataset:
    """scikit-learn's digits: 8×8 gray, 10 classes, 1,797 images; needs no files.

    They are the test set of UCI's optdigits (Alpaydin, Kaynak 1998). A stratified quarter of them, the same for every
    user, is the test split. The values 0 … 16 are scaled to 0 … 255.
    """
    table = _table()
    pixels = np.round(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    test = stratified_rows(labels, round(_TEST_SHARE * len(labels)), named_generator("digits test"))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return assemble(
        call=request.call,
        title="Digits",
        train=Images(pixels[train]),
        train_labels=labels[train],
        test=Images(pixels[test]),
        test_labels=labels[test],
        classes=tuple("0123456789"),
        content={
            "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "labels": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
            "test rows": hashlib.sha256(test.astype("<i8").tobytes()).hexdigest(),
        },
    )


def _table() -> NDArray[Any]:
    """Return one row per image: its 64 values and its label.

    Its file is read directly, if it is found: importing scikit-learn takes longer than a small trial.
    """
    package = find_spec("sklearn")
    path = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn import datasets  # type: ignore[import-untyped, unused-ignore]

    return np.column_stack(datasets.load_digits(return_X_y=True))
