"""Small files of each format with random damage: every outcome is data, or an error of one line."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reader_files import (
    ARRAYS,
    PIXELS,
    TRAIN,
    cifar_batch,
    idx_header,
    png,
    write_mnist,
)

from reprbench.data.cifar import read_pickled
from reprbench.data.folder import decode
from reprbench.data.idx import load_mnist
from reprbench.data.locate import DataRequest
from reprbench.data.npz import load_npz
from reprbench.data.stl10 import read_folds
from reprbench.errors import UserError
from reprbench.spec import Call


def mutated(content: bytes, random: random.Random) -> bytes:
    """Return content with a few bits flipped, bytes inserted, or a part cut out."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5))):
        place, how = random.randrange(len(changed) + 1), random.choice(("flip", "insert", "cut", "truncate", "fill"))
        if how == "flip" and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        elif how == "insert":
            changed[place:place] = random.randbytes(random.choice((1, 4, 100)))
        elif how == "cut":
            del changed[place : place + random.choice((1, 4, 100))]
        elif how == "truncate":
            del changed[place:]
        else:
            changed[place : place + 4] = random.choice((b"\xff", b"\0")) * 4
    return bytes(changed)


def request_of(name: str, data: Path) -> DataRequest:
    return DataRequest(Call(name=name), (data,), data / "cache")


def mutations_of_npz(data: Path, number: int, change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    np.savez_compressed(data / "some.npz", **ARRAYS)
    (data / "some.npz").write_bytes(change((data / "some.npz").read_bytes()))
    return lambda: load_npz(request_of("npz", data), path=Path("some.npz"))


def mutations_of_idx(data: Path, number: int, change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    content = idx_header(*TRAIN.shape) + TRAIN.tobytes()
    write_mnist(data / "mnist", **{"train-image": change(gzip.compress(content))})
    return lambda: load_mnist(request_of("mnist", data))


def mutations_of_pickles(data: Path, number: int, change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    (data / "batch").write_bytes(change(cifar_batch(PIXELS[:1], [1])))
    return lambda: read_pickled(data / "batch")


def mutations_of_folds(data: Path, number: int, change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    (data / "folds").write_bytes(change(b"0 1 2\n3 4 5\n" * 3))
    return lambda: read_folds(data / "folds", 20)


def mutations_of_images(data: Path, number: int, change: Callable[[bytes], bytes]) -> Callable[[], Any]:
    (data / "image").write_bytes(change(png(form=FORMS[number % len(FORMS)])))
    return lambda: decode(data / "image", 8, gray=False)


FORMS = (
    "PNG",
    "GIF",
    "TIFF",
    "BMP",
    "JPEG",
    "JPEG2000",
    "WEBP",
    "AVIF",
    "DDS",
    "IM",
    "TGA",
    "PPM",
    "ICO",
    "SGI",
    "PCX",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (mutations_of_npz, 120),
        (mutations_of_idx, 60),
        (mutations_of_pickles, 150),
        (mutations_of_folds, 100),
        (mutations_of_images, 10 * len(FORMS)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_mutation_is_data_or_one_line(tmp_path, make, count):
    generator = random.Random(13)  # noqa: S311
    refused = 0
    for number in range(count):
        action = make(tmp_path, number, lambda content: mutated(content, generator))
        try:
            action()
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > count // 4
