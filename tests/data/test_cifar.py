from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reprbench.data import Dataset
from reprbench.data.cifar import read_pickled
from reprbench.errors import UserError

Load = Callable[..., Dataset]


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Assemble a batch, opcode by opcode, as cPickle of Python 2 wrote the official files (protocol 2)."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<I", len(text)) + text

    shape = b"M" + struct.pack("<H", len(pixels)) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\nq\x0d" + string(b"u1") + b"K\x00K\x01\x87Rq\x0f(K\x03" + string(b"|") + b"NNN"
    dtype += (b"J" + struct.pack("<i", -1)) * 2 + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + string(b"b") + b"\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89" + string(pixels.tobytes()) + b"tb"
    names = b"](" + b"".join(string(b"name_s_%06d.png" % i) for i in range(len(labels))) + b"e"
    return (
        b"\x80\x02}q\x01("
        + (string(b"batch_label") + b"q\x02" + string(b"training batch 1 of 5") + b"q\x03")
        + (string(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([i]) for i in labels) + b"e")
        + (string(b"data") + b"q\x06" + array)
        + (string(b"filenames") + names)
        + b"u."
    )


def some_batch(n: int = 12, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 3072), dtype=np.uint8), random.integers(0, 10, n).tolist()


def write_python(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    ):
        (folder / name).write_bytes(python2_pickle(*some_batch(seed=number)))


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    ):
        pixels, labels = some_batch(seed=number)
        records = [bytes([label]) + image.tobytes() for image, label in zip(pixels, labels, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the module is numpy._core today
def test_the_assembled_pickle_is_one() -> None:
    pixels, labels = some_batch()
    batch = pickle.loads(python2_pickle(pixels, labels), encoding="bytes")
    assert batch[b"labels"] == labels
    assert np.array_equal(batch[b"data"], pixels)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["array", "bytes", "bytearray"])
def test_pickles_of_python_3(tmp_path: Path, protocol: int, kind: str) -> None:
    pixels, labels = some_batch()
    data = {"array": pixels, "bytes": pixels.tobytes(), "bytearray": bytearray(pixels.tobytes())}[kind]
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({"num": 7, "data": data, "labels": labels, "more": [1, 2]}, protocol=protocol))
    read_pixels, read_labels = read_pickled(path)
    assert np.array_equal(read_pixels, pixels)
    assert read_labels.tolist() == labels


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the module is numpy._core today
def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    pixels, labels = some_batch()
    path, trace = tmp_path / "batch", tmp_path / "trace"
    evil = b"cos\nmkdir\n(X" + struct.pack("<I", len(str(trace))) + str(trace).encode() + b"tR0"
    benign = python2_pickle(pixels, labels)
    path.write_bytes(benign[:2] + evil + benign[2:])
    assert np.array_equal(read_pickled(path)[0], pixels)
    assert not trace.exists()
    pickle.loads(path.read_bytes(), encoding="bytes")
    assert trace.exists()  # so the trap was armed


@pytest.mark.parametrize(
    ("folder", "write"), [("cifar-10-batches-py", write_python), ("cifar-10-batches-bin", write_binary)]
)
def test_both_versions(load: Load, tmp_path: Path, folder: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / "data" / folder)
    dataset = load("cifar10")
    assert (len(dataset.train), len(dataset.test), dataset.train.shape) == (60, 12, (3, 32, 32))
    expected = [some_batch(seed=number) for number in range(6)]
    pixels = dataset.train.pixels(slice(0, 60))
    assert np.array_equal(pixels.reshape(60, -1), np.concatenate([batch for batch, _ in expected[:5]]))
    # Red comes first, row by row.
    assert pixels[0, 0, 0, 1] == expected[0][0][0, 1]
    assert pixels[0, 2, 1, 0] == expected[0][0][0, 2048 + 32]
    assert dataset.train_labels.tolist() == sum((labels for _, labels in expected[:5]), [])
    assert dataset.test_labels.tolist() == expected[5][1]
    assert len(dataset.notes) == 6
    assert dataset.classes[3] == "cat"


def test_same_pixels_same_digest(load: Load, tmp_path: Path) -> None:
    write_python(tmp_path / "1" / "cifar-10-batches-py")
    write_binary(tmp_path / "2" / "cifar-10-batches-bin")
    assert load("cifar10", tmp_path / "1").digest == load("cifar10", tmp_path / "2").digest


def test_decoded_once(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    write_python(folder)
    first = load("cifar10")
    with monkeypatch.context() as patch:
        patch.setattr("reprbench.data.cifar.read_pickled", lambda _: pytest.fail("decoded again"))
        assert load("cifar10").digest == first.digest
    (folder / "test_batch").write_bytes(python2_pickle(*some_batch(seed=77)))
    changed = load("cifar10")
    assert changed.digest != first.digest
    assert np.array_equal(changed.test.pixels(slice(0, 12)).reshape(12, -1), some_batch(seed=77)[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a pickled batch"),
        (b"garbage", "not a pickled batch"),
        (python2_pickle(*some_batch())[:-20_000], "not a pickled batch"),
        (python2_pickle(some_batch()[0], [1] * 11), "11 labels and 36864 bytes .* 3072 bytes per label"),
        (pickle.dumps({"labels": [300], "data": bytes(3072)}), "not a pickled batch"),
        (pickle.dumps([]), "0 labels and 0 bytes"),
    ],
)
def test_damaged_pickles_are_named(load: Load, tmp_path: Path, content: bytes, message: str) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    write_python(folder)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(UserError, match=f"data_batch_3: .*{message}"):
        load("cifar10")


@pytest.mark.parametrize("size", [0, 3073 * 2 - 1])
def test_damaged_binary_files_are_named(load: Load, tmp_path: Path, size: int) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    write_binary(folder)
    (folder / "test_batch.bin").write_bytes(bytes(size))
    with pytest.raises(UserError, match=rf"test_batch.bin: has {size} bytes; expected a multiple of 3073"):
        load("cifar10")
