from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench.data import Dataset
from reprbench.errors import UserError

Load = Callable[..., Dataset]


def arrays(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (30, 8, 10, 3), dtype=np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": random.integers(0, 256, (9, 8, 10, 3), dtype=np.uint8),
        "y_test": np.arange(9) % 3,
        **changes,
    }


def save(tmp_path: Path, name: str = "some.npz", **changes: Any) -> dict[str, Any]:
    values = {name: value for name, value in arrays(**changes).items() if value is not None}
    (tmp_path / "data").mkdir(exist_ok=True)
    np.savez(tmp_path / "data" / name, **values)
    return values


def test_arrays_become_a_dataset(load: Load, tmp_path: Path) -> None:
    values = save(tmp_path)
    dataset = load("npz", path="some.npz", title="Some arrays")
    assert (str(dataset.call), dataset.title) == ("npz[path=some.npz]", "Some arrays")
    assert dataset.train.shape == (3, 8, 10)
    assert np.array_equal(dataset.train.pixels(slice(0, 30)), values["x_train"].transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.test_labels, values["y_test"])
    assert dataset.unlabeled is dataset.train
    assert load("npz", path=str(tmp_path / "data" / "some.npz")).digest == dataset.digest


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW"])
def test_layouts_of_gray_images_are_one_content(load: Load, tmp_path: Path, layout: str) -> None:
    axes = {"NHW": (), "NHWC": -1, "NCHW": 1}[layout]
    gray = {name: arrays()[name][..., 0] for name in ("x_train", "x_test")}
    save(tmp_path, "plain.npz", **gray)
    save(tmp_path, **{name: np.expand_dims(images, axes) for name, images in gray.items()})
    dataset = load("npz", path="some.npz")
    assert np.array_equal(dataset.train.pixels(slice(0, 30))[:, 0], gray["x_train"])
    assert dataset.digest == load("npz", path="plain.npz").digest


def test_unlabeled_images(load: Load, tmp_path: Path) -> None:
    unlabeled = np.random.default_rng(1).integers(0, 256, (50, 3, 8, 10), dtype=np.uint8)
    save(tmp_path, x_unlabeled=unlabeled)
    dataset = load("npz", path="some.npz")
    assert np.array_equal(dataset.unlabeled.pixels(slice(0, 50)), unlabeled)
    save(tmp_path)
    assert load("npz", path="some.npz").digest != dataset.digest


def test_classes_are_the_labels_that_occur(load: Load, tmp_path: Path) -> None:
    save(tmp_path, y_train=np.array([7, -2, 30] * 10, dtype=np.int16), y_test=np.array([30] * 9))
    dataset = load("npz", path="some.npz")
    assert dataset.classes == ("-2", "7", "30")
    assert dataset.train_labels[:3].tolist() == [1, 0, 2]
    assert dataset.test_labels.tolist() == [2] * 9


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_from_0_to_1_become_the_nearest_of_256_values(load: Load, tmp_path: Path, kind: Any) -> None:
    values = save(tmp_path)
    floats = {name: (values[name] / 255).astype(kind) for name in ("x_train", "x_test")}
    save(tmp_path, "floats.npz", **floats)
    assert load("npz", path="floats.npz").digest == load("npz", path="some.npz").digest


def test_halves_become_the_even_value(load: Load, tmp_path: Path) -> None:
    image = np.zeros((30, 8, 10))
    image[0, 0, :6] = np.array([0.5, 1.5, 2.5, 0.499, 254.5, 255]) / 255
    save(tmp_path, x_train=image, x_test=np.ones((9, 8, 10)))
    pixels = load("npz", path="some.npz").train.pixels(slice(0, 1))
    assert pixels[0, 0, 0, :6].tolist() == [0, 2, 2, 0, 254, 255]


def test_labels_may_be_the_names_of_classes(load: Load, tmp_path: Path) -> None:
    names = np.array(["owl", "hawk", "grebe"])
    save(tmp_path, y_train=names[np.arange(30) % 3], y_test=names[np.arange(9) % 3])
    dataset = load("npz", path="some.npz")
    assert dataset.classes == ("grebe", "hawk", "owl")
    assert dataset.train_labels[:3].tolist() == [2, 1, 0]
    assert dataset.test_labels[:3].tolist() == [2, 1, 0]


def test_compression_changes_no_digest(load: Load, tmp_path: Path) -> None:
    values = save(tmp_path)
    np.savez_compressed(tmp_path / "data" / "small.npz", **values)
    assert load("npz", path="small.npz").digest == load("npz", path="some.npz").digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_train": np.zeros((30, 8, 10), np.int16)},
            "x_train has type int16; expected uint8, .* or floats from 0 to 1",
        ),
        ({"x_train": np.full((30, 8, 10), 1.01)}, "x_train has values from 1.01 to 1.01; expected floats from 0 to 1"),
        ({"x_test": np.full((9, 8, 10), -1e-6)}, "x_test has values from -1e-06 to -1e-06"),
        ({"x_test": np.full((9, 8, 10), np.nan)}, "x_test has values from nan to nan"),
        ({"y_train": np.array(["a", "b", "c"] * 10)}, "y_train is of <U1 and y_test of int64; expected one kind"),
        ({"y_train": np.array(["a"] * 30), "y_test": np.array(["b"] * 9)}, r"y_test has the classes \['b'\]"),
        ({"y_train": np.array([b"a", b"b", b"c"] * 10)}, "y_train has type .S1 .* expected integers or texts"),
        ({"x_test": np.zeros((9, 8, 10, 4), np.uint8)}, r"x_test has shape \(9, 8, 10, 4\); expected \(N, H, W\)"),
        ({"x_test": np.zeros(9, np.uint8)}, r"x_test has shape \(9,\)"),
        ({"x_test": np.zeros((9, 8, 11, 3), np.uint8)}, "expected one shape"),
        ({"y_train": np.zeros(30)}, "y_train has type float64 .*; expected integers or texts"),
        ({"y_train": np.zeros((30, 1), int)}, "y_train .* expected integers"),
        ({"y_train": np.arange(29) % 3}, "30 images and 29 labels"),
        ({"y_test": np.arange(9)}, r"y_test has the classes \[3, 4, 5, 6, 7, 8\], which y_train lacks"),
        ({"y_test": None, "x_test": None}, "lacks x_test, y_test; found x_train, y_train"),
        ({"y_train": np.array([object()] * 30)}, "not readable as npz without pickles"),
    ],
)
def test_wrong_arrays_are_named(load: Load, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        load("npz", path="some.npz")


@pytest.mark.parametrize("damage", ["text", "cut", "npy", "empty"])
def test_damaged_files_are_named(load: Load, tmp_path: Path, damage: str) -> None:
    save(tmp_path)
    path = tmp_path / "data" / "some.npz"
    content = path.read_bytes()
    if damage == "npy":
        np.save(tmp_path / "data" / "some.npy", np.zeros(3))
        path.write_bytes((tmp_path / "data" / "some.npy").read_bytes())
    else:
        path.write_bytes({"text": b"no arrays", "cut": content[: len(content) // 2], "empty": b""}[damage])
    with pytest.raises(UserError, match=r"some\.npz: "):
        load("npz", path="some.npz")


def test_missing_file_says_what_was_searched(load: Load, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"dataset 'npz': 'none.npz' not found; searched .*data/none.npz; expected an npz"
    ):
        load("npz", path="none.npz")
