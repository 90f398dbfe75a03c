"""Small valid files of each kind of dataset, to be damaged, and what a refusal has to be."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reprbench.data import Dataset
from reprbench.errors import UserError

RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (count, 8, 8), dtype=np.uint8) for count in (12, 6))
ARRAYS: dict[str, Any] = {"x_train": TRAIN, "y_train": np.arange(12) % 3, "x_test": TEST, "y_test": np.arange(6) % 3}


Load = Callable[..., Dataset]


def refusal(action: Callable[[], Any]) -> str:
    """Return the message of the error that an action raises, which is one line of a bounded length."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    return message


IDX = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": (np.arange(12) % 10).astype(np.uint8),
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": (np.arange(6) % 10).astype(np.uint8),
}


def idx_header(*shape: int) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


def write_mnist(folder: Path, **changes: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in IDX.items():
        zipped = gzip.compress(idx_header(*array.shape) + array.tobytes())
        (folder / f"{name}.gz").write_bytes(changes.get(name[:11], zipped))


PIXELS = RANDOM.integers(0, 256, (4, 3072), dtype=np.uint8)


def cifar_batch(data: Any = PIXELS, labels: Any = (1, 2, 3, 4), protocol: int = 2) -> bytes:
    return pickle.dumps({"labels": list(labels), "data": data}, protocol=protocol)


def png(color: int = 100, size: tuple[int, int] = (8, 8), mode: str = "RGB", form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new(mode, size, color).save(content, form)
    return content.getvalue()


def write_folder(root: Path, **changes: bytes) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "one.png").write_bytes(changes.get(f"{split}_{name}", png(50 + number)))
