from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench.data import Dataset
from reprbench.data.digests import hash_file
from reprbench.data.stl10 import map_images
from reprbench.errors import UserError

Load = Callable[..., Dataset]


@pytest.fixture
def folder(write_stl10: Any, tmp_path: Path) -> Path:
    path = tmp_path / "data" / "stl10_binary"
    write_stl10(path)
    return path


def test_pixels_are_where_they_belong(load: Load, write_stl10: Any, tmp_path: Path) -> None:
    splits = write_stl10(tmp_path / "data" / "stl10_binary")
    dataset = load("stl10")
    for split, images in (("train", dataset.train), ("test", dataset.test), ("unlabeled", dataset.unlabeled)):
        assert np.array_equal(images.pixels(np.arange(len(images))), splits[split])
    # The rule by which the pixels were made: image 4, green, row 10, column 30.
    assert dataset.train.pixels(slice(4, 5))[0, 1, 10, 30] == (7 * 4 + 50 + 10 + 2 * 30) % 256


def test_labels_start_at_zero(load: Load, folder: Path) -> None:
    dataset = load("stl10")
    assert dataset.train_labels.tolist() == [*range(10), *range(10)]
    assert dataset.test_labels.tolist() == list(range(9, -1, -1))
    assert dataset.classes[7] == "monkey"


def test_folds_are_those_of_the_file(load: Load, folder: Path) -> None:
    dataset = load("stl10")
    assert [fold.tolist() for fold in dataset.folds] == [list(range(f % 2, 20, 2)) for f in range(10)]
    assert dataset.folds[0].dtype == np.int64


def test_row_numbers_beyond_a_byte_are_read(load: Load, folder: Path) -> None:
    for name, n in (("train", 500), ("test", 10)):
        (folder / f"{name}_X.bin").write_bytes(bytes(n * 27648))
        (folder / f"{name}_y.bin").write_bytes(bytes([1 + i % 10 for i in range(n)]))
    (folder / "fold_indices.txt").write_text("499 255 256 0\n")
    assert load("stl10").folds[0].tolist() == [0, 255, 256, 499]


def test_limited_draws_other_folds(load: Load, folder: Path) -> None:
    limited = load("stl10").limited(10)
    assert len(limited.unlabeled) == len(limited.train) == 10
    assert all(fold.max() < 10 for fold in limited.folds)


def test_every_file_is_read_at_most_once(load: Load, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def spy(path: Path, algorithms: Any, size: int | None) -> dict[str, str]:
        read.append(path.name)
        return hash_file(path, algorithms, size)

    monkeypatch.setattr("reprbench.data.digests.hash_file", spy)
    digest = load("stl10").digest
    assert sorted(read) == sorted(path.name for path in folder.iterdir())
    assert load("stl10").digest == digest
    assert len(read) == 6


def test_other_folds_are_other_data(load: Load, folder: Path) -> None:
    before = load("stl10")
    (folder / "fold_indices.txt").write_text("0 1 2\n3 4 5\n")
    assert load("stl10").digest != before.digest
    assert len(before.notes) == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_X.bin", bytes(27648 * 20 - 1), "has 552959 bytes; expected a multiple of 27648"),
        ("unlabeled_X.bin", b"", "has 0 bytes"),
        ("train_y.bin", bytes([1] * 19), "has 19 labels; expected 20"),
        ("train_y.bin", bytes([1] * 21), "has 21 labels; expected 20"),
        ("fold_indices.txt", b"1 2 x\n", "line 1 is not a list of row numbers"),
        ("fold_indices.txt", b"1 2\n3 20\n", "line 2 has rows from 3 to 20; expected 0 to 19"),
        ("fold_indices.txt", b"-1\n", "line 1 has rows from -1"),
        ("fold_indices.txt", b"\n", "no folds"),
    ],
)
def test_damaged_files_are_named(load: Load, folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {message}"):
        load("stl10")


@pytest.mark.parametrize("value", [0, 11])
def test_labels_run_from_1_to_10(load: Load, folder: Path, value: int) -> None:
    (folder / "test_y.bin").write_bytes(bytes([value] * 10))
    with pytest.raises(UserError, match="test labels run from"):
        load("stl10")


@pytest.mark.parametrize("name", ["unlabeled_X.bin", "fold_indices.txt"])
def test_every_file_is_needed(load: Load, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"stl10_binary lacks {name}"):
        load("stl10")


DRAW = """
import json, sys
import numpy as np, psutil
from pathlib import Path
from reprbench.data.stl10 import map_images
images = map_images(Path(sys.argv[1]))
random = np.random.default_rng(0)
process = psutil.Process()
before = peak = process.memory_info().rss
for _ in range(int(sys.argv[2])):
    images.pixels(random.integers(0, len(images), 128))
    peak = max(peak, process.memory_info().rss)
print(json.dumps([len(images), peak - before]))
"""


def drawn_memory(path: Path, size: int, n_batches: int) -> tuple[int, int]:
    """Return the number of images in a sparse file of `size` bytes, and the memory that drawing batches of it takes."""
    with path.open("wb") as file:
        file.truncate(size)
    run = subprocess.run(
        [sys.executable, "-c", DRAW, str(path), str(n_batches)], capture_output=True, text=True, check=True
    )
    n_images, grown = json.loads(run.stdout)
    return n_images, grown


def test_mapped_pages_do_not_stay(tmp_path: Path) -> None:
    # 120 batches touch most of the 400 MB; they stayed if their pages were not given back.
    n_images, grown = drawn_memory(tmp_path / "X.bin", 27648 * 15_000, 120)
    assert n_images == 15_000
    assert grown < 60e6


@pytest.mark.slow
def test_1000_batches_of_the_whole_of_stl10_take_less_than_300_mb(tmp_path: Path) -> None:
    n_images, grown = drawn_memory(tmp_path / "unlabeled_X.bin", 2_764_800_000, 1000)
    assert n_images == 100_000
    assert grown < 300e6


def test_a_slice_of_a_mapped_file_is_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "X.bin"
    path.write_bytes(bytes(27648 * 3))
    pixels = map_images(path).pixels(slice(0, 2))
    pixels[:] = 1  # a view of the read-only file would refuse
    assert pixels.flags.c_contiguous
    assert map_images(path).pixels(slice(0, 3)).max() == 0
