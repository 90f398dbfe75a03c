"""Mutated inputs: valid command lines and files with a few random changes, given to the program in this process."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import random
import struct
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

BENCHMARK = b"""name: mine
title: Mutated
dataset: digits
protocols: [knn, "linear-svm[costs=[0.1, 1]]"]
budget: {epochs: 2}
seeds: [0, 1]
methods:
  - method: pca[n_components=4]
    label: few components
    reference: {value: 84.3, spread: 1.1, citation: "A. Author, 2016"}
  - method: ae[width=4, lr=1e-3]
"""
NASTY = (
    *(b"\x00", b"\xff\xfe", b"\n", b"\t", b"{", b"]", b"'", b",", b"-", b"../"),
    *(b"&a [*a]", b"!!int x", b"9" * 400, b"nan", b".inf", b"true"),
)
ARGUMENTS = (
    ("--methods", "pca[n_components=4],ae[width=4]"),
    ("--protocols", "knn,linear-svm[costs=[0.1,1]]"),
    ("--dataset", "digits"),
    ("--epochs", "3"),
    ("--limit", "100"),
    ("--seeds", "0,1"),
    ("--set", "ae.width=4"),
    ("--timeout", "60"),
    ("--memory", "4GB"),
)


def fault_of_input(folder: Path, number: int, random_: random.Random) -> tuple[str, str]:
    """Give one mutated input to ``reprbench``; return what was mutated, and the outcome in words."""
    kind, make = random_.choice(list(KINDS.items()))
    arguments = make(folder, number, random_)
    output, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = run(arguments)
    except BaseException:
        print(f"{arguments}\n{traceback.format_exc()}", file=sys.stderr)
        return f"mutated {kind}", "traceback"
    outcome = _outcome(status, errors.getvalue())
    if outcome not in ("accepted", "refused with a reason"):
        print(f"{arguments}\n{errors.getvalue()[-1000:]}", file=sys.stderr)
    return f"mutated {kind}", outcome


def _outcome(status: int, errors: str) -> str:
    if "Traceback" in errors:
        return "printed a traceback"
    if status not in (0, 2):
        return f"exit {status}"
    if status == 2 and "Error: " not in errors:
        return "exit 2 without a reason"
    return "accepted" if status == 0 else "refused with a reason"


def run(arguments: list[str]) -> int:
    from reprbench.cli.main import main

    with mock.patch.object(sys, "argv", ["reprbench", *arguments]):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def mutated(content: bytes, random_: random.Random) -> bytes:
    """Return `content` with one to three random changes."""
    changed = bytearray(content)
    for _ in range(random_.randint(1, 3)):
        place = random_.randrange(len(changed) + 1)
        match random_.randrange(4):
            case 0:
                changed[place:place] = random_.choice(NASTY)
            case 1:
                del changed[place : place + random_.randint(1, 20)]
            case 2 if place < len(changed):
                changed[place] ^= 1 << random_.randrange(8)
            case _:
                changed[place:place] = changed[place : place + random_.randint(1, 40)]
    return bytes(changed)


def _benchmark(folder: Path, number: int, random_: random.Random) -> list[str]:
    path = folder / f"{number}.yaml"
    path.write_bytes(mutated(BENCHMARK, random_))
    return ["run", "--benchmark", str(path), "--plan", "--store", str(folder / "store")]


def _arguments(folder: Path, number: int, random_: random.Random) -> list[str]:
    given = [list(pair) for pair in ARGUMENTS if pair[0] == "--methods" or random_.random() < 0.4]
    one = random_.choice(given)
    one[1] = mutated(one[1].encode(), random_).replace(b"\0", b"").decode("utf-8", "surrogateescape")
    return ["run", "--plan", "--store", str(folder / "store"), *(word for pair in given for word in pair)]


def _digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    return numbers.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8), np.arange(count) % 2


def _reading(dataset: str) -> list[str]:
    return ["run", "--methods", "pca[n_components=4]", "--dataset", dataset, "--plan", "--store", "nowhere"]


def _npz(folder: Path, number: int, random_: random.Random) -> list[str]:
    images, labels = _digits(40)
    path = folder / f"{number}.npz"
    spoiled = random_.choice(("x_train", "y_train", "x_test", "the zip file"))
    with zipfile.ZipFile(path, "w") as file:
        for name, array in (("x_train", images), ("y_train", labels), ("x_test", images), ("y_test", labels)):
            buffer = io.BytesIO()
            np.save(buffer, array)
            content = buffer.getvalue()
            file.writestr(f"{name}.npy", mutated(content, random_) if name == spoiled else content)
    if spoiled == "the zip file":
        path.write_bytes(mutated(path.read_bytes(), random_))
    return _reading(f"npz[path={path}]")


def _images(folder: Path, number: int, random_: random.Random) -> list[str]:
    root = folder / f"images-{number}"
    images, _ = _digits(8)
    for place, pixels in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, random_.choice(("PNG", "JPEG", "TIFF", "BMP", "GIF")))
        for split in ("train", "test"):
            path = root / split / "ab"[place % 2] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutated(buffer.getvalue(), random_) if place == 3 else buffer.getvalue())
    return _reading(f"folder[path={root}, image_size=8]")


def _idx(folder: Path, number: int, random_: random.Random) -> list[str]:
    root = folder / f"idx-{number}"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    spoiled = random_.randrange(4)
    for place, (name, array) in enumerate(
        (f"{split}-{what}", array)
        for split in ("train", "t10k")
        for what, array in (("images-idx3-ubyte", pixels), ("labels-idx1-ubyte", np.arange(20, dtype=np.uint8) % 10))
    ):
        head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
        content = head + array.tobytes()
        inside = place == spoiled and random_.random() < 0.5
        content = gzip.compress(mutated(content, random_) if inside else content)
        (root / f"{name}.gz").write_bytes(mutated(content, random_) if place == spoiled and not inside else content)
    return [*_reading("mnist"), "--data-dir", str(root)]


def _cifar(folder: Path, number: int, random_: random.Random) -> list[str]:
    root = folder / f"cifar-{number}" / "cifar-10-batches-py"
    root.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        content = pickle.dumps({b"data": pixels, b"labels": [n % 10 for n in range(20)]}, protocol=2)
        (root / name).write_bytes(mutated(content, random_) if name == "data_batch_2" else content)
    return [*_reading("cifar10"), "--data-dir", str(root.parent)]


KINDS: dict[str, Callable[[Path, int, random.Random], list[str]]] = {
    "benchmark file": _benchmark,
    "command line": _arguments,
    "npz file": _npz,
    "image folder": _images,
    "idx files": _idx,
    "CIFAR batches": _cifar,
}


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    for seed in range(int(sys.argv[2])):
        print(seed, *fault_of_input(Path.cwd(), seed, random.Random(seed)))  # noqa: S311
