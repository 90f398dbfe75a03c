from __future__ import annotations

import os
from pathlib import Path

import pytest

from reprbench.data.locate import DataRequest, Layout, data_dirs, locate, locate_path
from reprbench.errors import UserError
from reprbench.spec import Call

LAYOUT = Layout(folders=("inner", "."), files={"a": "md5:1", "b": None}, zipped=True)


def request_in(*folders: Path) -> DataRequest:
    return DataRequest(Call(name="some"), folders, Path("unused"))


def test_option_then_environment_then_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRBENCH_DATA", os.pathsep.join(["/one", "", "/two"]))
    assert data_dirs(Path("/mine")) == [Path("/mine"), Path("/one"), Path("/two"), Path("data")]
    assert data_dirs(Path("/one")) == [Path("/one"), Path("/two"), Path("data")]
    monkeypatch.delenv("REPRBENCH_DATA")
    assert data_dirs(None) == [Path("data")]


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert data_dirs(Path("~/sets"))[0] == Path("/home/somebody/sets")


def test_the_first_complete_folder_is_taken_unless_an_earlier_one_is_incomplete(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for path in (first / "inner" / "a", second / "a", second / "b.gz"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    request = request_in(tmp_path / "0", second, first)
    files = locate(request, LAYOUT)
    assert request.read_from == [second]
    assert {name: file.path for name, file in files.items()} == {"a": second / "a", "b": second / "b.gz"}
    assert files["a"].official == "md5:1"
    with pytest.raises(UserError) as caught:
        locate(request_in(first, second), LAYOUT)
    assert f"{first / 'inner'} lacks b; {second} has all files, but is searched later; complete" in str(caught.value)
    (first / "inner" / "b").touch()
    assert locate(request_in(first, second), LAYOUT)["a"].path == first / "inner" / "a"


def test_zipped_files_count_only_where_the_layout_allows_them(tmp_path: Path) -> None:
    (tmp_path / "a.gz").touch()
    with pytest.raises(UserError):
        locate(request_in(tmp_path), Layout(folders=(".",), files={"a": None}))


def test_missing_data_is_one_message_with_everything_one_needs(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "a").touch()
    with pytest.raises(UserError) as caught:
        locate(request_in(tmp_path / "1", tmp_path / "2"), LAYOUT)
    message = str(caught.value)
    assert "\n" not in message
    assert "'some'" in message
    for folder in ("1/inner", "1", "2/inner", "2"):
        assert str(tmp_path / folder) in message
    assert "a[.gz], b[.gz]" in message
    assert f"{tmp_path / '1'} lacks b" in message
    assert "`reprbench data fetch some --data-dir DIR`" in message


def test_paths_are_relative_to_the_data_folders_or_absolute(tmp_path: Path) -> None:
    there = tmp_path / "2" / "images"
    there.mkdir(parents=True)
    request = request_in(tmp_path / "1", tmp_path / "2")
    assert locate_path(request, there, "images") == there
    assert request.read_from == []
    assert locate_path(request, Path("images"), "images") == there
    assert request.read_from == [tmp_path / "2"]
    assert locate_path(request, there, "images") == there
    with pytest.raises(UserError, match=r"'pictures' not found; searched .*1/pictures, .*2/pictures; expected images"):
        locate_path(request, Path("pictures"), "images")
