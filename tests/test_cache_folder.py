from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reprbench.cache_folder import prepare
from reprbench.errors import UserError
from reprbench.files import make_ignored


def test_a_cache_ignores_itself_and_keeps_what_a_user_wrote(tmp_path):
    prepare(tmp_path / "a" / "cache")
    ignored = tmp_path / "a" / "cache" / ".gitignore"
    assert ignored.read_text() == "*\n"
    ignored.write_text("fits/\n")
    make_ignored(tmp_path / "a" / "cache")
    prepare(tmp_path / "a" / "cache")
    assert ignored.read_text() == "fits/\n"
    assert [path.name for path in ignored.parent.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("name", ["cache", "cache/fits", "cache/features", "cache/decoded", "cache/unzipped"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("in the way")
    with pytest.raises(UserError, match=rf"^cache {tmp_path / name}: is a file; expected a folder; remove it$"):
        prepare(tmp_path / "cache")


@pytest.mark.parametrize("below", ["", "fits"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, below, monkeypatch):
    from tempfile import TemporaryFile

    prepare(tmp_path)
    (tmp_path / "fits").mkdir()

    def refuse(dir: Path):  # noqa: A002  (as permissions would, which root ignores)
        if dir == tmp_path / below:
            raise PermissionError(13, "Permission denied", str(dir))
        return TemporaryFile(dir=dir)

    monkeypatch.setattr("reprbench.cache_folder.tempfile.TemporaryFile", refuse)
    with pytest.raises(
        UserError, match=rf"^cache {tmp_path / below}: cannot be written \(permission denied\); free it"
    ):
        prepare(tmp_path)


def test_what_killed_processes_left_is_removed_and_what_is_being_written_stays(tmp_path):
    folder = tmp_path / "fits" / "a" / "b"
    folder.mkdir(parents=True)
    old, new = folder / ".state.safetensors.x1y2z3", folder / ".checkpoint.safetensors.a1b2c3"
    whole = folder / "state.safetensors"
    for path in (old, new, whole):
        path.write_bytes(b"")
    days_ago = time.time() - 3 * 24 * 3600
    for path in (old, whole):
        os.utime(path, (days_ago, days_ago))
    prepare(tmp_path)
    assert (old.exists(), new.exists(), whole.exists()) == (False, True, True)
