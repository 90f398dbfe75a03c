"""Files that users name with ``-o``: written through links and into devices and FIFOs, which all stay what they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from common import REPOSITORY

from reprbench.cli.compare import command as compare
from reprbench.cli.report import command as report
from reprbench.errors import UserError
from reprbench.files import write_output

needs_devices = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")


@needs_devices
def test_a_full_device_is_one_line_and_stays_a_device():
    with pytest.raises(UserError, match="^/dev/full: cannot be written: no space left on device; choose another"):
        write_output(Path("/dev/full"), "text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@needs_devices
@pytest.mark.parametrize("command", [report, compare], ids=["report", "compare"])
def test_the_commands_write_as_users_expect(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stores = [str(REPOSITORY / "results")] * (2 if command is compare else 1)
    with pytest.raises(UserError, match="/dev/full: cannot be written"):
        command.main([*stores, "-o", "/dev/full"], standalone_mode=False)
    (tmp_path / "link").symlink_to("real")
    command.main([*stores, "-o", "link"], standalone_mode=False)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text(encoding="utf-8")


def test_what_lies_behind_a_link_is_replaced_atomically_and_the_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    real.write_text("old and longer")
    link.symlink_to("elsewhere/real")
    before = real.stat().st_ino
    write_output(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_ino != before
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["elsewhere", "link", "real"]


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to("new/real")
    write_output(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "real").read_text() == "text"


def test_missing_folders_are_made_and_permissions_are_those_of_any_new_file(tmp_path):
    write_output(tmp_path / "a" / "b", "text")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a" / "b").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_fifo_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)  # so that writing does not wait for a reader
    text = "x" * 200_000  # more than a FIFO holds
    read: list[bytes] = []
    writer = threading.Thread(target=write_output, args=(tmp_path / "fifo", text), daemon=True)
    writer.start()
    os.set_blocking(reader, True)
    while sum(map(len, read)) < len(text) and (writer.is_alive() or read):
        read.append(os.read(reader, 65536))
    writer.join(60)
    os.close(reader)
    assert b"".join(read) == text.encode()
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_fifo_whose_reader_has_gone_is_one_line(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    write = os.write

    def close_and_write(descriptor: int, content: bytes) -> int:
        os.close(reader)
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", close_and_write)
    with pytest.raises(UserError, match="cannot be written: broken pipe"):
        write_output(tmp_path / "fifo", "text")


@pytest.mark.parametrize("kind", ["folder", "loop", "below a file", "long"])
def test_what_cannot_be_written_is_one_line(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("it")
    elif kind == "below a file":
        path.touch()
        path /= "more"
    else:
        path = tmp_path / ("x" * 300)
    with pytest.raises(UserError, match="cannot be written: ") as caught:
        write_output(path, "text")
    assert "\n" not in str(caught.value)


PRINT = """
import sys
from pathlib import Path
from reprbench.files import write_output
print("before")
write_output(Path(sys.argv[1]), "text\\n")
print("after")
"""


@needs_devices
@pytest.mark.parametrize("form", ["pipe", "file", "appended"])
def test_the_standard_output_keeps_what_was_written_to_it(tmp_path, form):
    command = [sys.executable, "-c", PRINT, "/dev/stdout"]
    if form == "pipe":
        found = subprocess.run(command, capture_output=True, check=True).stdout
    else:
        (tmp_path / "out").write_bytes(b"earlier\n")
        with (tmp_path / "out").open("ab" if form == "appended" else "wb") as file:
            subprocess.run(command, stdout=file, check=True)
        found = (tmp_path / "out").read_bytes()
    assert found == b"earlier\n" * (form == "appended") + b"before\ntext\nafter\n"


def test_text_that_is_not_unicode_is_written_all_the_same(tmp_path):
    write_output(tmp_path / "it", "a\udcffb")
    assert (tmp_path / "it").read_bytes() == b"a\\udcffb"
