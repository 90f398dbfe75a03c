from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from reprbench.arrays import as_array, npy_header
from reprbench.cache import CacheFile, collected_warnings, content_size
from reprbench.errors import UserError


def write(file: CacheFile, content: bytes) -> None:
    with file.write() as writer:
        for start in range(0, len(content), 1000):
            writer.write(content[start : start + 1000])


def parse(content) -> bytes:
    """Only what the tests write is whole."""
    found = bytes(content)
    if not found.startswith(b"whole"):
        raise ValueError("it does not begin as it should")
    return found


def read(file: CacheFile) -> bytes | None:
    return file.read(parse)


@pytest.mark.parametrize("size", [0, 1, 999, 2**20 - 5, 2**20, 2**21 + 1])
def test_what_was_written_is_read(tmp_path, size):
    file, content = CacheFile(tmp_path, "a/b"), b"whole" + os.urandom(size)
    assert read(file) is None
    write(file, content)
    assert read(file) == content
    assert content_size(file.path) == len(content) < file.path.stat().st_size
    file.path.write_bytes(content)
    assert content_size(file.path) == len(content)
    file.discard()
    file.discard()
    assert read(file) is None


def test_every_byte_is_checked(tmp_path, caplog):
    file = CacheFile(tmp_path, "a")
    write(file, b"whole content")
    good = file.path.read_bytes()

    def refuse(content):
        raise ValueError("no earlier version wrote this")

    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 4
        file.path.write_bytes(changed)
        assert file.read(bytes, older=refuse) is None
        assert not file.path.exists()
    for size in range(len(good)):
        file.path.write_bytes(good[:size])
        assert file.read(bytes, older=refuse) is None
    file.path.write_bytes(good)
    assert read(file) == b"whole content"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.damaged"}


def test_content_belongs_to_its_name(tmp_path, caplog):
    one, other = CacheFile(tmp_path, "fit/one"), CacheFile(tmp_path, f"{'0123456789abcdef' * 4}/other")
    write(one, b"whole")
    other.path.parent.mkdir()
    one.path.rename(other.path)
    assert read(other) is None
    (line,) = caplog.messages
    assert line == (
        f"cache file {tmp_path.name}/01234567…/other was damaged (its checksum is not that of its name and content): "
        "it is made anew, and the damaged one kept as other.damaged"
    )


def test_the_cache_may_be_moved(tmp_path):
    write(CacheFile(tmp_path / "here", "a"), b"whole")
    (tmp_path / "here").rename(tmp_path / "there")
    assert read(CacheFile(tmp_path / "there", "a")) == b"whole"


def test_content_that_cannot_be_parsed_is_damaged(tmp_path, caplog):
    file = CacheFile(tmp_path, "a")
    write(file, b"something else")
    assert read(file) is None
    assert "(it does not begin as it should)" in caplog.messages[0]


def test_what_has_no_checksum_and_is_whole_is_of_an_earlier_version(tmp_path, caplog):
    file = CacheFile(tmp_path, "a")
    file.path.write_bytes(b"whole" + bytes(1000))
    assert read(file) is None
    assert file.path.exists()
    assert caplog.messages == []
    assert file.get(parse, lambda: write(file, b"whole")) == b"whole"


def test_a_failure_while_writing_leaves_what_was_there(tmp_path):
    file = CacheFile(tmp_path, "a")
    write(file, b"whole")
    with pytest.raises(KeyError), file.write() as writer:
        writer.write(b"half")
        raise KeyError
    assert read(file) == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_get_makes_only_what_is_missing_and_gives_up_on_a_disk_that_loses_it(tmp_path):
    file, made = CacheFile(tmp_path, "a"), []

    def make():
        made.append(1)
        write(file, b"whole")

    assert file.get(parse, make) == file.get(parse, make) == b"whole"
    assert len(made) == 1
    file.discard()
    with pytest.raises(UserError, match="cache file .*a: is not what was just written; check the disk"):
        file.get(parse, lambda: None)


def test_a_file_that_another_process_made_anew_meanwhile_stays(tmp_path, caplog):
    file = CacheFile(tmp_path, "a")
    write(file, b"not what it should be")

    def slow(content):
        write(file, b"whole")
        return parse(content)

    assert file.read(slow) is None
    assert read(file) == b"whole"
    assert caplog.messages == []


def test_a_verified_file_is_not_verified_again_until_it_is_replaced(tmp_path, monkeypatch):
    import reprbench.cache

    passes, checksum = [], reprbench.cache._checksum
    monkeypatch.setattr(reprbench.cache, "_checksum", lambda *given: passes.append(1) or checksum(*given))
    file, verified = CacheFile(tmp_path, "a"), set()
    write(file, b"whole")
    for _ in range(3):
        assert file.read(parse, verified) == b"whole"
    assert len(passes) == 1
    write(file, b"whole and new")
    assert file.read(parse, verified) == b"whole and new"
    assert len(passes) == 2
    file.read(parse)
    assert len(passes) == 3


def test_readers_and_writers_of_one_file_do_not_disturb_each_other(tmp_path, caplog):
    file, contents = CacheFile(tmp_path, "a"), [b"whole" + bytes([n]) * 30_000 * n for n in range(1, 4)]
    write(file, contents[0])
    found, end = [], threading.Event()

    def keep_writing(content):
        while not end.is_set():
            write(file, content)

    threads = [threading.Thread(target=keep_writing, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    try:
        found = [read(file) for _ in range(200)]
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert set(found) <= set(contents)
    assert caplog.messages == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_warnings_are_collected_only_inside_the_block(tmp_path, capfd, monkeypatch):
    file, lines = CacheFile(tmp_path, "a"), []
    with collected_warnings(lines):
        file.path.write_bytes(b"x")
        read(file)
    assert len(lines) == 1
    file.path.write_bytes(b"x")
    read(file)
    assert len(lines) == 1


@pytest.mark.parametrize("shape", [(5, 3), (7,), (2, 1, 3, 3)])
def test_arrays_are_mapped_as_numpy_writes_them(tmp_path, shape):
    file, array = CacheFile(tmp_path, "a"), np.random.default_rng(0).random(shape, dtype=np.float32)
    with file.write() as writer:
        writer.write(npy_header(shape, np.float32))
        writer.write(array.data)
    found = file.read(as_array)
    np.testing.assert_array_equal(found, array)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.save(tmp_path / "numpy.npy", array)
    assert file.path.read_bytes()[: content_size(file.path)] == (tmp_path / "numpy.npy").read_bytes()
    np.testing.assert_array_equal(np.load(file.path), array)


@pytest.mark.parametrize(
    "array", [np.array([{}], dtype=object), np.ones((2, 3), order="F")], ids=["objects", "Fortran order"]
)
def test_other_arrays_are_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    content = np.fromfile(tmp_path / "a.npy", dtype=np.uint8)
    with pytest.raises(ValueError, match="not an array in C order without objects"):
        as_array(content)
