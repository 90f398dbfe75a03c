"""Folders of image files that Pillow cannot read, that are too large, or that have odd names."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

import pytest
from PIL import Image
from reader_files import (
    png,
    refusal,
    write_folder,
    write_mnist,
)


@pytest.mark.parametrize(
    "error",
    [
        struct.error("no"),
        SyntaxError("no\nno"),
        RecursionError(),
        MemoryError(),
        RuntimeError("no"),
        AssertionError(),
        Image.DecompressionBombError("bomb"),
        zlib.error("no"),
        KeyError("no"),
        OverflowError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_an_image_plugin_raises_is_one_line(load, tmp_path, monkeypatch, error):
    write_folder(tmp_path / "data")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert "one.png: not readable as an image" in refusal(lambda: load("folder", image_size=16))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"DDS " + b"\xff" * 200,
        b"II*\0" + b"\xff" * 90,
        b"\0\0\0 ftypavif" + bytes(50),
    ],
)
def test_files_that_begin_like_images_are_refused(load, tmp_path, capfd, content):
    write_folder(tmp_path / "data", train_dog=content)
    assert "one.png" in refusal(lambda: load("folder", image_size=8))
    assert capfd.readouterr().err == ""


def test_warnings_of_pillow_stay_off_the_terminal(load, tmp_path, capfd, recwarn, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    write_folder(tmp_path / "data", train_dog=png(size=(12, 12)))
    load("folder", image_size=8)
    assert not recwarn.list
    assert capfd.readouterr().err == ""


def test_images_larger_than_the_disk_are_refused_before_anything_is_allocated(load, tmp_path):
    write_folder(tmp_path / "data")
    found = refusal(lambda: load("folder", image_size=1_000_000_000))
    assert "image_size=1000000000: 2 decoded images take 6e+09 GB on the disk of" in found
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert "more than 10^15 GB" in refusal(lambda: load("folder", image_size=10**400))


def test_names_that_are_not_utf_8_are_read_and_classes_so_named_are_refused(load, tmp_path):
    write_folder(tmp_path / "data")
    odd = os.fsdecode(b"\xff.png")
    (tmp_path / "data" / "train" / "cat" / odd).write_bytes(png(7))
    assert len(load("folder", image_size=8).train) == 3
    for split in ("train", "test"):
        (tmp_path / "data" / split / "cat").rename(tmp_path / "data" / split / os.fsdecode(b"c\xff"))
    assert "is not UTF-8; rename it" in refusal(lambda: load("folder", image_size=8))


def test_a_cache_folder_that_is_not_utf_8_works(load, tmp_path):
    write_mnist(tmp_path / "data" / "mnist")
    odd = os.fsdecode(b"cache\xff")
    assert load("mnist", cache=odd).digest == load("mnist").digest == load("mnist", cache=odd).digest
