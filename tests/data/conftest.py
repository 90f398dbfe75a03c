"""Datasets with known pixels, written in the exact layouts of their publishers."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench.data import Dataset, load_dataset

Load = Callable[..., Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a dataset from ``tmp_path/data``, with the cache in ``tmp_path/cache``."""

    def call(name: str, data_dir: Path | None = None, cache: str = "cache", **parameters: Any) -> Dataset:
        return load_dataset(name, parameters, data_dirs=[data_dir or tmp_path / "data"], cache_dir=tmp_path / cache)

    return call


@pytest.fixture
def real_data() -> list[Path]:
    """The folders with real data; the test is skipped where there are none."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    named = [Path(part) for part in os.environ.get("REPRBENCH_DATA", "").split(os.pathsep) if part]
    folders = [folder for folder in (*named, beside) if folder.is_dir()]
    if not folders:
        pytest.skip("no real data: REPRBENCH_DATA is not set")
    return folders


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def write_mnist() -> Callable[..., dict[str, np.ndarray]]:
    """Write four IDX files to a folder, gzipped or not, and return their arrays."""

    def write(folder: Path, zipped: bool = False, n_train: int = 40, n_test: int = 20) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        arrays = {
            "train-images-idx3-ubyte": random.integers(0, 256, (n_train, 9, 11), dtype=np.uint8),
            "train-labels-idx1-ubyte": (np.arange(n_train) % 10).astype(np.uint8),
            "t10k-images-idx3-ubyte": random.integers(0, 256, (n_test, 9, 11), dtype=np.uint8),
            "t10k-labels-idx1-ubyte": (np.arange(n_test) * 3 % 10).astype(np.uint8),
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            content = idx_bytes(array)
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
        return arrays

    return write


@pytest.fixture
def write_stl10() -> Callable[[Path], Mapping[str, np.ndarray]]:
    """Write STL-10's files with images whose pixel (c, y, x) of image i is (7 i + 50 c + y + 2 x) mod 256."""

    def write(folder: Path) -> Mapping[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        image, channel, y, x = np.ogrid[:30, :3, :96, :96]
        pixels = ((7 * image + 50 * channel + y + 2 * x) % 256).astype(np.uint8)
        splits = {"train": pixels[:20], "test": pixels[20:], "unlabeled": pixels[::2]}
        for split, images in splits.items():
            # Column-major: within a channel the first 96 values are the leftmost column, from top to bottom.
            values = [images[i, c, :, column] for i in range(len(images)) for c in range(3) for column in range(96)]
            (folder / f"{split}_X.bin").write_bytes(np.concatenate(values).tobytes())
        (folder / "train_y.bin").write_bytes(bytes([1 + i % 10 for i in range(20)]))
        (folder / "test_y.bin").write_bytes(bytes([10 - i % 10 for i in range(10)]))
        folds = [" ".join(str((fold + 2 * i) % 20) for i in range(10)) + " " for fold in range(10)]
        (folder / "fold_indices.txt").write_text("\n".join(folds) + "\n")
        return splits

    return write
