"""What the function of a plugin's dataset returns and raises."""

from __future__ import annotations

import numpy as np
import pytest
from reader_files import (
    ARRAYS,
    TRAIN,
    refusal,
)

from reprbench import ImageArrays, ImageFolder
from reprbench.data import load_dataset
from reprbench.data.locate import DataRequest
from reprbench.data.returned import as_dataset
from reprbench.registry import Entry, register_dataset
from reprbench.spec import Call


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ((image for image in TRAIN), "returned generator; expected ImageArrays"),
        (None, "returned NoneType"),
        (ImageArrays(**{**ARRAYS, "x_train": (image for image in TRAIN)}), "x_train has type generator"),
        (ImageArrays(**{**ARRAYS, "x_train": np.ma.masked_array(TRAIN)}), "x_train has type MaskedArray"),
        (ImageArrays(**{**ARRAYS, "y_train": (label for label in range(12))}), "expected integers"),
        (ImageArrays(**{**ARRAYS, "y_train": [[1], [1, 2]] * 6}), "y_train is not an array"),
        (ImageArrays(**{**ARRAYS, "y_train": [2**63, 2**63 + 1] * 6}), "has the value 9223372036854775809"),
        (ImageArrays(**{**ARRAYS, "y_train": [0, 1, 2**70] * 4}), "expected integers"),
        (ImageArrays(**{**ARRAYS, "y_train": [], "y_test": []}), "expected integers"),
        (ImageArrays(**{**ARRAYS, "y_train": [0] * 12, "y_test": [0] * 6}), "1 class"),
        (ImageArrays(**ARRAYS, classes=iter("abc")), "classes is of type str"),
        (ImageArrays(**ARRAYS, classes="abc"), "classes is of type str; expected a list"),
        (ImageArrays(**ARRAYS, title=5), "title is of type int"),
        (ImageArrays(**ARRAYS, folds=iter([[0, 1]])), "folds is of type list_iterator"),
        (ImageArrays(**ARRAYS, folds=[[0]]), "fold 0 has 1 images of 1 class; expected at least two"),
        (ImageArrays(**ARRAYS, folds=[[0, 1], [0, 3, 6]]), "fold 1 has 3 images of 1 class"),
        (ImageFolder("some", image_size="32"), "image_size is '32'"),
        (ImageFolder("some", image_size=True), "image_size is True"),
        (ImageFolder("some", image_size=-1), "image_size is -1"),
        (ImageFolder("some", split=1.0), "split: Input should be less than 1, not 1.0"),
        (ImageFolder("some", on_error="ignore"), "on_error: Input should be 'raise' or 'skip', not 'ignore'"),
        (ImageFolder("some", background="whyte"), "background: expected a color like white or #f0f0f0, not 'whyte'"),
        (ImageFolder(5), "path is of type int"),
    ],
)
def test_what_a_dataset_function_returns_is_checked(tmp_path, returned, message):
    request = DataRequest(Call(name="some"), (tmp_path,), tmp_path / "cache")
    assert message in refusal(lambda: as_dataset(returned, request))


class Mute(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [Mute(), SystemExit(0), RecursionError("deep"), ValueError("a\nb" * 10_000)])
def test_whatever_a_dataset_function_raises_is_one_line(tmp_path, monkeypatch, error):
    @register_dataset("mine")
    def mine() -> None:
        raise error

    monkeypatch.setattr(Entry, "load", lambda self: mine)
    entry = Entry("mine", "file", "mine.py", "dataset")
    found = refusal(lambda: load_dataset(entry, {}, data_dirs=[tmp_path], cache_dir=tmp_path / "cache"))
    assert found.startswith(f"dataset 'mine': {type(error).__name__}: ")
