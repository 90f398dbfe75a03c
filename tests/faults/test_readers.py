"""Files of arrays in every state that users, disks and attackers leave them in: one line says what is wrong."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from reader_files import (
    ARRAYS,
    PIXELS,
    TRAIN,
    cifar_batch,
    idx_header,
    refusal,
    write_mnist,
)

from reprbench.data.cifar import read_pickled
from reprbench.data.stl10 import read_folds


def member(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def with_member(path: Path, content: bytes, name: str = "x_train.npy", method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write an npz file in which one member has other content."""
    np.savez(path, **ARRAYS)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for other, data in {**members, name: content}.items():
            archive.writestr(other, data)


def header(shape: str, descr: str = "'|u1'", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (member(header("(1000000, 1000, 1000)")), "not those of its shape"),
        (member(header("(12, 8, -8)"), TRAIN.tobytes()), "not those of its shape"),
        (member(header("(12, 8, 8)"), TRAIN.tobytes() + b"more"), "not those of its shape"),
        (member(header("(12, 8, 8)"), TRAIN.tobytes()[:-1]), "not those of its shape"),
        (member(header("(12, 8, 8)", "'|O'"), b"cos\nsystem\n(S'false'\ntR."), "holds objects"),
        (member(header("(12, 8, 8)", "'<f4'"), TRAIN.astype("<f4").tobytes()), "values from 0 to 255; expected"),
        (member(b"{" * 9000), "not readable as npz"),
        (member(header("(12,", "'|u1'")), "not readable as npz"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + bytes(20_000), "not readable as npz"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version"),
        (b"", "not readable as npz"),
    ],
    ids=["10^12", "negative", "longer", "shorter", "objects", "floats", "nested", "cut", "4 GB header", "new", "empty"],
)
def test_a_member_of_an_npz_file_has_the_size_that_its_header_says(load, tmp_path, content, message):
    with_member(tmp_path / "data" / "some.npz", content)
    found = refusal(lambda: load("npz", path="some.npz"))
    assert "some.npz" in found
    assert message in found


def test_an_npz_file_that_unzips_to_more_than_the_memory_is_not_unzipped(load, tmp_path, monkeypatch):
    with_member(tmp_path / "data" / "some.npz", member(header("(100000, 100, 100)"), bytes(10**9 // 100)))
    content = (tmp_path / "data" / "some.npz").read_bytes()
    place = content.index(b"x_train.npy", content.index(b"PK\x01\x02")) - 22
    # The central directory says that the member has a gigabyte.
    size = 10 + len(header("(100000, 100, 100)")) + 10**9
    (tmp_path / "data" / "some.npz").write_bytes(content[:place] + struct.pack("<I", size) + content[place + 4 :])
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 10**8}))
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *_, **__: pytest.fail("was read"))
    found = refusal(lambda: load("npz", path="some.npz"))
    assert "need 1 GB of memory; 0.1 GB are free" in found


@pytest.mark.parametrize("damage", ["encrypted", "twice", "half", "not a zip", "empty", "crc", "unknown compression"])
def test_a_damaged_npz_file_is_refused(load, tmp_path, damage):
    path = tmp_path / "data" / "some.npz"
    np.savez(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    if damage == "encrypted":
        content[6] |= 1
        content[central + 8] |= 1
    elif damage == "twice":
        with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
            archive.writestr("y_train.npy", b"")
        content = bytearray(path.read_bytes())
    elif damage == "crc":
        content[300] ^= 1
    elif damage == "unknown compression":
        content[8] = content[central + 10] = 77
    else:
        content = bytearray({"half": content[: len(content) // 2], "not a zip": b"PK\x03\x04", "empty": b""}[damage])
    path.write_bytes(content)
    assert "some.npz" in refusal(lambda: load("npz", path="some.npz"))


def test_members_in_fortran_order_are_the_same_images(load, tmp_path):
    np.savez(tmp_path / "data" / "some.npz", **ARRAYS)
    np.savez(tmp_path / "data" / "other.npz", **{**ARRAYS, "x_train": np.asfortranarray(TRAIN)})
    assert load("npz", path="some.npz").digest == load("npz", path="other.npz").digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 2**63] * 4, np.uint64)}, "has the value 9223372036854775808"),
        ({"y_train": np.array([0, 1, 2] * 4, "m8[s]")}, "expected integers"),
        ({"y_train": np.arange(12) % 2 == 0}, "expected integers"),
        ({"y_train": np.array([0, 1, np.nan] * 4)}, "expected integers"),
        ({"y_train": np.array(3)}, "expected integers"),
        ({"x_train": np.full((12, 8, 8), np.nan)}, "values from nan to nan; expected floats from 0 to 1"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": np.zeros(0, int)}, "y_train lacks"),
        ({"y_test": np.arange(6) + 100}, "[100, 101, 102, 103, 104, 105]"),
        ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, "1 class"),
    ],
)
def test_labels_and_images_of_other_types_are_refused(load, tmp_path, changes, message):
    np.savez(tmp_path / "data" / "some.npz", **{**ARRAYS, **changes})
    assert message in refusal(lambda: load("npz", path="some.npz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx_header(12, 8, 8) + bytes(10**8)), "has more than 784 bytes; expected 784"),
        (gzip.compress(idx_header(12, 8, 8) + bytes(767)), "has 783 bytes; expected 784"),
        (gzip.compress(idx_header(2**32 - 1, 2**32 - 1, 2**32 - 1)), "has 16 bytes; expected 7922816"),
        (gzip.compress(idx_header(12, 8)), "starts with 00000802"),
        (gzip.compress(idx_header(12, 8, 8)[:9]), "has 9 bytes; expected 16"),
        (gzip.compress(b""), "starts with nothing"),
        (gzip.compress(idx_header(12, 8, 8) + bytes(768))[:-9], "truncated or corrupt"),
        (gzip.compress(idx_header(12, 8, 8) + bytes(768))[:-8] + bytes(8), "truncated or corrupt"),
        (gzip.compress(idx_header(12, 8, 8) + bytes(768)) + b"more", "truncated or corrupt"),
        (b"", "starts with nothing"),
        (b"no gzip file", "truncated or corrupt"),
    ],
    ids=["bomb", "short", "lie", "magic", "header", "nothing", "cut", "crc", "trailing", "empty", "text"],
)
def test_no_more_is_unzipped_than_the_header_says(load, tmp_path, monkeypatch, content, message):
    chunks: list[int] = []
    spy_on_gzip(monkeypatch, chunks)
    write_mnist(tmp_path / "data" / "mnist", **{"train-image": content})
    found = refusal(lambda: load("mnist"))
    assert "train-images-idx3-ubyte.gz" in found
    assert message in found
    assert sum(chunks) < 2**21


def spy_on_gzip(monkeypatch: pytest.MonkeyPatch, chunks: list[int]) -> None:
    """Record how many bytes are read of the content of files."""
    read = gzip.GzipFile.read

    def spy(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        data = read(self, size)
        chunks.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", spy)


def test_what_does_not_fit_onto_the_disk_is_not_unzipped(load, tmp_path, monkeypatch):
    write_mnist(tmp_path / "data" / "mnist")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    assert "on the disk of" in refusal(lambda: load("mnist"))
    assert not list((tmp_path / "cache").rglob("train-images*"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "data",
    [np.asfortranarray(PIXELS), np.ascontiguousarray(PIXELS.T), PIXELS.view(np.int8), PIXELS.view(">u4")],
    ids=["Fortran", "transposed", "int8", "uint32"],
)
def test_pickled_pixels_that_would_be_scrambled_are_refused(tmp_path, data, protocol):
    path = tmp_path / "batch"
    path.write_bytes(cifar_batch(data, protocol=protocol))
    assert "in C order" in refusal(lambda: read_pickled(path))


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_pickled_pixels_in_c_order_are_read(tmp_path, protocol):
    path = tmp_path / "batch"
    path.write_bytes(cifar_batch(protocol=protocol))
    assert np.array_equal(read_pickled(path)[0], PIXELS)


@pytest.mark.parametrize(
    "content",
    [
        cifar_batch(labels=[1, 2, 3, 256]),
        cifar_batch(labels=[1, 2, 3, -1]),
        cifar_batch(labels=[1, 2, 3, 10**30]),
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1),
        b"I" + b"9" * 10_000 + b"\n.",
        b"Vlabels\nL" + b"9" * 5000 + b"L\n.",
        b"S'\\x9'\n.",
        b"(" * 100_000,
    ],
    ids=["256", "-1", "10^30", "2^62 bytes", "2 GB long", "digits", "label digits", "escape", "marks"],
)
def test_pickles_that_are_no_batch_are_refused(tmp_path, content):
    path = tmp_path / "batch"
    path.write_bytes(content)
    assert "batch: " in refusal(lambda: read_pickled(path))


def test_a_huge_cifar_file_is_not_read(load, tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir()
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        with (folder / name).open("wb") as file:
            file.truncate(2**42)
    assert "data_batch_1.bin: reading it takes" in refusal(lambda: load("cifar10"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 1_0\n", "line 1 is not a list of row numbers"),
        ("0 +1\n", "line 1 is not a list"),
        ("0 1.0\n", "line 1 is not a list"),
        ("0 ٣\n", "line 1 is not a list"),
        ("0 1\n\n2 3\n", "line 2 is not a list"),
        ("0 1\n2 2\n", "line 2 has a row more than once"),
        ("0 20\n", "line 1 has rows from 0 to 20"),
        ("-1 2\n", "line 1 has rows from -1"),
        (f"0 {'9' * 5000}\n", "line 1 is not a list"),
        ("\n\n", "no folds"),
        ("", "no folds"),
        ("0 1 " * 2**23, "more than 16777216 bytes"),
    ],
)
def test_files_of_folds_are_strict(tmp_path, content, message):
    path = tmp_path / "fold_indices.txt"
    path.write_text(content, encoding="utf-8")
    assert message in refusal(lambda: read_folds(path, 20))
