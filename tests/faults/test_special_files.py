"""FIFOs, sockets, devices, loops of links and folders where files are expected: nothing waits for them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from reader_files import (
    refusal,
    write_folder,
    write_mnist,
)

from reprbench.data import data_dirs
from reprbench.files import NotRegularError, open_regular
from reprbench.registry import Registry, discover
from reprbench.store import Store


def put_special(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        server, before = socket.socket(socket.AF_UNIX), Path.cwd()
        os.chdir(path.parent)  # the path of a socket has at most 107 characters
        server.bind(path.name)
        os.chdir(before)
        server.close()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "loop": path.name, "broken": "nowhere"}[kind])


SPECIAL = ["FIFO", "socket", "device", "loop", "broken", "folder"]


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["npz", "mnist", "folder"])
def test_datasets_of_special_files_are_refused(load, tmp_path, name, kind):
    data = tmp_path / "data"
    if name == "npz":
        put_special(data / "some.npz", kind)
        found = refusal(lambda: load("npz", path="some.npz"))
    elif name == "mnist":
        write_mnist(data / "mnist")
        put_special(data / "mnist" / "train-images-idx3-ubyte.gz", kind)
        found = refusal(lambda: load("mnist"))
        assert "lacks train-images-idx3-ubyte" in found
    else:
        write_folder(data)
        put_special(data / "train" / "dog" / "one.png", kind)
        found = refusal(lambda: load("folder", image_size=8))
    assert kind in found or kind in ("loop", "broken") or name == "folder"


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device"])
def test_only_regular_files_are_opened(tmp_path, kind):
    put_special(tmp_path / "it", kind)
    with pytest.raises(NotRegularError, match=f"is a {kind}; expected a regular file"):
        open_regular(tmp_path / "it")


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_in_a_store_are_skipped_in_one_line(tmp_path, kind):
    folder = tmp_path / "results" / "quick" / "ae" / "0-12345678"
    folder.mkdir(parents=True)
    put_special(folder / "trial.json", kind)
    trials, problems = Store(tmp_path / "results").read()
    assert not trials
    assert len(problems) == (kind != "broken")
    assert all("\n" not in line for line in problems)


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_among_plugins_are_problems(tmp_path, kind):
    (tmp_path / "methods").mkdir()
    put_special(tmp_path / "methods" / "mine.py", kind)
    found: Registry = discover(folder=tmp_path)
    (problem,) = found.problems.values()
    assert problem
    assert "\n" not in problem


def test_plugins_that_the_parser_cannot_hold_are_problems(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "deep.py").write_text("(" * 100_000)
    (tmp_path / "methods" / "sum.py").write_text("x = " + "-" * 200_000 + "1")
    assert len(discover(folder=tmp_path).problems) == 2


def test_a_folder_of_an_unknown_user_is_one_line(monkeypatch):
    monkeypatch.setenv("REPRBENCH_DATA", "~nobody-of-that-name/data")
    assert "no such user" in refusal(lambda: data_dirs(None))
