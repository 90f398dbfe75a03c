from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench import DataRequest, ImageArrays
from reprbench.data.returned import as_dataset
from reprbench.errors import UserError
from reprbench.spec import Call

RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (count, 8, 10, 3), dtype=np.uint8) for count in (30, 9))
UNLABELED = RANDOM.integers(0, 256, (50, 3, 8, 10), dtype=np.uint8)


def dataset_of(name: str = "some", **changes: Any) -> Any:
    arrays = {"x_train": TRAIN, "y_train": np.arange(30) % 3 + 5, "x_test": TEST, "y_test": np.arange(9) % 3 + 5}
    return as_dataset(
        ImageArrays(**{**arrays, **changes}), DataRequest(Call(name=name, parameters={"n": 1}), (), Path("unused"))
    )


def test_the_parts_are_those_of_the_arrays():
    dataset = dataset_of(x_unlabeled=UNLABELED, classes=("a", "b", "c"), title="Some")
    assert (str(dataset.call), dataset.title, dataset.classes) == ("some[n=1]", "Some", ("a", "b", "c"))
    assert np.array_equal(dataset.train.pixels(slice(None)), TRAIN.transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.test.pixels(slice(None)), TEST.transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.unlabeled.pixels(slice(None)), UNLABELED)
    assert np.array_equal(dataset.train_labels, np.arange(30) % 3)
    assert np.array_equal(dataset.test_labels, np.arange(9) % 3)


def test_by_default_labels_are_classes_training_images_are_unlabeled_and_folds_are_drawn_from_the_name():
    dataset, other = dataset_of(), dataset_of(y_train=list(np.arange(30) % 3 + 5))
    assert (dataset.title, dataset.classes) == ("some[n=1]", ("5", "6", "7"))
    assert dataset.unlabeled is dataset.train
    assert len(dataset.folds) == 10
    assert all(np.array_equal(*pair) for pair in zip(dataset.folds, other.folds, strict=True))


def test_the_digest_is_the_one_of_an_npz_file_before_plugins_had_arrays():
    """Computed with the code of the dataset `npz` at commit 0cb19c7."""
    found = dataset_of("npz", x_unlabeled=UNLABELED).digest
    assert found == "23fdab5dfcc0390ae801d6eef18e7810b7dad1c0a994906f11d40814336069f7"


def test_memory_mapped_images_stay_on_disk(tmp_path):
    in_memory = dataset_of().digest
    for name, images in (("train", TRAIN), ("test", TEST)):
        np.save(tmp_path / f"{name}.npy", images)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("train", "test")}
    dataset = dataset_of(x_train=mapped["train"], x_test=mapped["test"])
    assert dataset.digest == in_memory
    assert np.shares_memory(dataset.train._pixels, mapped["train"])


def test_more_images_than_are_digested_at_a_time_have_the_digest_of_the_whole(monkeypatch):
    whole = dataset_of().digest
    monkeypatch.setattr("reprbench.data.returned._BLOCK", 7)
    assert dataset_of().digest == whole


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": TRAIN ^ 1},
        {"x_test": TEST[::-1]},
        {"x_unlabeled": UNLABELED},
        {"y_train": np.arange(30)[::-1] % 3 + 5},
        {"folds": [[0, 1, 2]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_content_is_in_the_digest(change):
    assert dataset_of(**change).digest != dataset_of().digest


def test_the_largest_label_is_the_largest_of_64_bits():
    largest = 2**63 - 1
    dataset = dataset_of(y_train=[0, largest] * 15, y_test=[largest, 0, 0] * 3)
    assert dataset.classes == ("0", str(largest))
    assert dataset.test_labels.tolist() == [1, 0, 0] * 3


def test_folds_are_sorted():
    dataset = dataset_of(folds=[[4, 2, 3], np.array([0, 29], np.uint8)])
    assert [fold.tolist() for fold in dataset.folds] == [[2, 3, 4], [0, 29]]
    assert all(fold.dtype == np.int64 for fold in dataset.folds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": TRAIN / 128}, "x_train has values from 0 to 1.99219; expected floats from 0 to 1, or uint8"),
        ({"x_train": TRAIN.tolist()}, "x_train has type list; expected uint8"),
        ({"x_test": TEST[..., :2]}, r"x_test has shape \(9, 8, 10, 2\); expected"),
        ({"x_test": TEST[0, 0]}, r"x_test has shape \(10, 3\); expected"),
        ({"x_test": TEST[:, :, :9]}, r"test images are \(3, 8, 9\) and train images \(3, 8, 10\)"),
        ({"y_train": np.arange(30) / 2}, "y_train has type float64"),
        ({"y_train": ["a"] * 30}, "y_train is of <U1 and y_test of int64; expected one kind"),
        ({"y_train": np.arange(29) % 3 + 5}, "30 images and 29 labels"),
        ({"y_test": np.arange(9)}, r"y_test has the classes \[0, 1, 2, 3, 4, 8\], which y_train lacks"),
        ({"y_train": np.full(30, 5), "y_test": np.full(9, 5)}, "1 class; expected at least two"),
        ({"classes": ("a", "b")}, "2 classes for 3 different labels in y_train"),
        ({"folds": []}, "no folds"),
        ({"folds": [[]]}, "fold 0 has type float64"),
        ({"folds": [np.array([], int)]}, "fold 0 must have at least one row"),
        ({"folds": [[0, 1], [1, 1]]}, "fold 1 must have at least one row, each once, of 0 to 29"),
        ({"folds": [[30]]}, "fold 0 must have"),
        ({"folds": [[-1]]}, "fold 0 must have"),
        ({"folds": [[0.5]]}, "fold 0 has type float64"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(change, message):
    with pytest.raises(UserError, match=f"dataset 'some.*{message}"):
        dataset_of(**change)


def test_the_request_finds_absolute_and_relative_paths(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "there").touch()
    request = DataRequest(Call(name="some"), (tmp_path / "a", tmp_path / "b"), Path("unused"))
    assert request.find("there") == request.find(tmp_path / "b" / "there") == tmp_path / "b" / "there"
    with pytest.raises(UserError, match=r"dataset 'some': 'no' not found; searched .*/a/no, .*/b/no; .*--data-dir"):
        request.find("no")
