from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench.data import Dataset, load_dataset
from reprbench.errors import UserError

Load = Callable[..., Dataset]
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("mnist", "MNIST"),
        ("mnist", "."),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_every_layout(load: Load, write_mnist: Any, tmp_path: Path, name: str, folder: str, zipped: bool) -> None:
    arrays = write_mnist(tmp_path / "data" / folder, zipped)
    dataset = load(name)
    assert dataset.name == name
    assert dataset.train.shape == (1, 9, 11)
    assert np.array_equal(dataset.train.pixels(np.arange(40))[:, 0], arrays[TRAIN_IMAGES])
    assert np.array_equal(dataset.train_labels, arrays[TRAIN_LABELS])
    assert np.array_equal(dataset.test.pixels(np.arange(20))[:, 0], arrays["t10k-images-idx3-ubyte"])
    assert np.array_equal(dataset.test_labels, arrays["t10k-labels-idx1-ubyte"])
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int64
    assert len(dataset.classes) == 10
    assert dataset.unlabeled is dataset.train
    assert len(dataset.folds) == 10


def test_digest_is_of_the_content(load: Load, write_mnist: Any, tmp_path: Path) -> None:
    for place, zipped in (("1", False), ("2", True)):
        write_mnist(tmp_path / place / "mnist", zipped)
    write_mnist(tmp_path / "3" / "mnist", n_test=19)
    digests = [load("mnist", tmp_path / place).digest for place in "123"]
    assert digests[0] == digests[1] != digests[2]


def test_plain_files_are_mapped_and_zipped_ones_unzipped_once(load: Load, write_mnist: Any, tmp_path: Path) -> None:
    write_mnist(tmp_path / "data" / "mnist", zipped=True)
    first = load("mnist")
    copies = sorted((tmp_path / "cache" / "unzipped").rglob("*ubyte"))
    assert len(copies) == 4
    times = [path.stat().st_mtime_ns for path in copies]
    assert load("mnist").digest == first.digest
    assert [path.stat().st_mtime_ns for path in copies] == times


def test_files_that_are_not_official_are_noted(load: Load, write_mnist: Any, tmp_path: Path) -> None:
    write_mnist(tmp_path / "data" / "mnist", zipped=True)
    notes = load("mnist").notes
    assert len(notes) == 4
    assert notes[0].startswith(f"{TRAIN_IMAGES}: not the official file (md5 ")


def damaged(content: bytes, how: str) -> bytes:
    return {
        "empty": b"",
        "header": content[:3] + b"\x03",
        "header only": content[:10],
        "cut": content[:-1],
        "long": content + b"\0",
        "magic": b"\0\0\x0d\x03" + content[4:],
        "labels": struct.pack(">BBBBI", 0, 0, 8, 1, 4) + b"abcd",
        "none": struct.pack(">BBBBIII", 0, 0, 8, 3, 0, 28, 28),
    }[how]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "starts with nothing; expected 00000803"),
        ("header only", "has 10 bytes; expected 16"),
        ("cut", "has 3975 bytes; expected 3976"),
        ("long", "has (3977|more than 3976) bytes; expected 3976"),
        ("magic", "starts with 00000d03; expected 00000803"),
        ("labels", "starts with 00000801; expected 00000803"),
        ("none", "at least one image"),
    ],
)
def test_damaged_files_are_named(
    load: Load, write_mnist: Any, tmp_path: Path, how: str, message: str, zipped: bool
) -> None:
    folder = tmp_path / "data" / "mnist"
    write_mnist(folder)
    content = damaged((folder / TRAIN_IMAGES).read_bytes(), how)
    (folder / TRAIN_IMAGES).unlink()
    (folder / (TRAIN_IMAGES + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(UserError, match=rf"{TRAIN_IMAGES}(\.gz)?: .*{message}"):
        load("mnist")


def test_labels_must_match_images_and_classes(load: Load, write_mnist: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mnist"
    write_mnist(folder)
    (folder / TRAIN_LABELS).write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 39) + bytes(39))
    with pytest.raises(UserError, match=f"{TRAIN_LABELS}: has 39 labels; expected 40"):
        load("mnist")
    (folder / TRAIN_LABELS).write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 40) + bytes([10] * 40))
    with pytest.raises(UserError, match="train labels run from 10 to 10; expected the 10 classes 0 to 9"):
        load("mnist")


def test_real_mnist(real_data: list[Path], tmp_path: Path) -> None:
    try:
        dataset = load_dataset("mnist", {}, data_dirs=real_data, cache_dir=tmp_path)
    except UserError:
        pytest.skip("MNIST is not there")
    assert (len(dataset.train), len(dataset.test), dataset.train.shape) == (60000, 10000, (1, 28, 28))
    assert dataset.notes == ()
    # Published counts and values: the first label is a five; the pixels' mean and deviation are 0.1307 and 0.3081.
    assert dataset.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(dataset.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    counts = np.bincount(dataset.train.pixels(slice(0, 60000)).ravel(), minlength=256)
    mean = np.average(np.arange(256) / 255, weights=counts)
    deviation = np.average((np.arange(256) / 255 - mean) ** 2, weights=counts) ** 0.5
    assert (round(mean, 4), round(deviation, 4)) == (0.1307, 0.3081)
    for fold in dataset.folds:
        assert np.bincount(dataset.train_labels[fold]).tolist() == [100] * 10
