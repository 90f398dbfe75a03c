from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from reprbench.cache import CacheFile, content_size
from reprbench.data import digests as module
from reprbench.data.digests import Digests, fresh_check, hash_tree
from reprbench.data.locate import DataFile
from reprbench.errors import UserError


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened to be digested or unzipped."""
    opened: list[Path] = []
    open_content = module.open_content

    def spy(path: Path):  # type: ignore[no-untyped-def]
        opened.append(path)
        return open_content(path)

    monkeypatch.setattr(module, "open_content", spy)
    return opened


def test_all_digests_come_from_one_reading_and_are_remembered(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "file"
    content = os.urandom(3 * 2**20 + 5)  # more than a chunk
    path.write_bytes(content)
    file = DataFile(path, "md5:" + hashlib.md5(content).hexdigest())
    for _ in range(2):
        check = Digests(tmp_path / "cache").check(file)
        assert check.ok
        assert check.sha256 == hashlib.sha256(content).hexdigest()
    assert reads == [path]


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_file_is_read_again(tmp_path: Path, reads: list[Path], change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    digests = Digests(tmp_path / "cache")
    digests.sha256(path)
    path.write_bytes(b"other" if change == "content" else b"two")
    os.utime(path, ns=(1, 1 if change == "content" else 2))
    assert digests.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("content", "said"), [("", 1), ("{", 1), ("[]", 1), ("null", 1), ('{"file": 3}', 0), ("\udcff", 1)]
)
def test_a_cache_that_cannot_be_read_is_discarded(
    tmp_path: Path, content: str, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    memory = tmp_path / "digests.json"
    memory.write_bytes(content.replace("file", str(path)).encode("utf-8", "surrogateescape"))
    assert Digests(tmp_path).sha256(path) == hashlib.sha256(b"one").hexdigest()
    entries = CacheFile(tmp_path, "digests.json").read(lambda found: json.loads(bytes(found)))
    assert entries[str(path)]["sha256"] == hashlib.sha256(b"one").hexdigest()
    assert len(caplog.messages) == said, "what an earlier version wrote is not damaged"


def test_an_algorithm_that_was_not_used_before_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    digests = Digests(tmp_path / "cache")
    digests.sha256(path)
    assert digests.check(DataFile(path, "sha1:0")).found == "sha1:" + hashlib.sha1(b"one").hexdigest()


def test_a_file_that_is_not_the_official_one(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"one"))
    check = Digests(tmp_path / "cache").check(DataFile(path, "md5:0"))
    assert not check.ok
    assert check.note == f"file: not the official file (md5 {hashlib.md5(b'one').hexdigest()})"
    assert Digests(tmp_path / "cache").check(DataFile(path)).ok


def test_unzipped_copies_follow_the_content(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "file.gz"
    digests = Digests(tmp_path / "cache")
    copies = []
    for content in (b"one", b"two!", b"one"):
        path.write_bytes(gzip.compress(content, mtime=len(copies)))
        os.utime(path, ns=(len(copies), len(copies)))
        copies.append(digests.unzipped(DataFile(path)))
        assert copies[-1].read_bytes()[: content_size(copies[-1])] == content
        assert copies[-1].name == "file"
    assert copies[0] == copies[2] != copies[1]
    before = len(reads)
    digests.unzipped(DataFile(path))
    assert len(reads) == before
    assert digests.unzipped(DataFile(tmp_path / "plain")) == tmp_path / "plain"


@pytest.mark.parametrize("damage", ["cut", "flip", "plain"])
def test_corrupt_gzip_names_the_file_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    zipped = bytearray(gzip.compress(os.urandom(5000)))
    if damage == "flip":
        zipped[-6] ^= 1  # in the checksum
    path = tmp_path / "file.gz"
    path.write_bytes({"cut": zipped[:-100], "flip": zipped, "plain": b"no gzip at all"}[damage])
    with pytest.raises(UserError, match=r"file\.gz: truncated or corrupt .*; expected a complete gzip file"):
        Digests(tmp_path / "cache").unzipped(DataFile(path))
    assert not (tmp_path / "cache").exists()


def test_a_tree_is_read_again_only_when_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    files = [root / "a", root / "b"]
    for path in files:
        path.write_text(path.name)
        os.utime(path, ns=(1, 1))
    digests = Digests(tmp_path / "cache")
    first = digests.tree(root, files)
    assert first == hash_tree(root, files)
    with monkeypatch.context() as patch:
        patch.setattr(module, "hash_tree", lambda *_: pytest.fail("read again"))
        assert digests.tree(root, files) == first
    files[1].write_text("c")
    os.utime(files[1], ns=(2, 2))
    assert digests.tree(root, files) != first
    moved = tmp_path / "moved"
    root.rename(moved)
    (moved / "b").write_text("b")
    assert digests.tree(moved, [moved / "a", moved / "b"]) == first


def test_a_fresh_check_does_not_trust_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    official = "md5:" + hashlib.md5(b"one").hexdigest()
    digests = Digests(tmp_path / "cache")
    digests.check(DataFile(path, official))
    path.write_bytes(b"two")  # as a failing disk would: size and time stay
    os.utime(path, ns=(1, 1))
    assert digests.check(DataFile(path, official)).ok
    assert not fresh_check(DataFile(path, official)).ok
