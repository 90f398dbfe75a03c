from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reprbench import yaml_files
from reprbench.errors import UserError
from reprbench.yaml_files import read_yaml


def read(folder: Path, content: str | bytes) -> tuple[object, list[str]]:
    path = folder / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path, "file")


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    """Both of PyYAML's parsers must reject the same files."""
    base = getattr(yaml, request.param)
    made = type("Loader", (base,), {"yaml_implicit_resolvers": yaml_files._StrictLoader.yaml_implicit_resolvers})
    monkeypatch.setattr(yaml_files, "_StrictLoader", made)


def test_plain_values(tmp_path, loader):
    text = "a: [1, -2.5, true, null, ~, yes, x y, '3', 1e-3, -1E+5, .5e1, 1.e2]\nb: {c: {d: []}}\ne:\n"
    assert read(tmp_path, text) == (
        {
            "a": [1, -2.5, True, None, None, True, "x y", "3", 0.001, -1e5, 5.0, 100.0],
            "b": {"c": {"d": []}},
            "e": None,
        },
        [],
    )
    assert read(tmp_path, "") == (None, [])
    assert read(tmp_path, "[e1, 1e, 1e-, e-3, '1e3']") == (["e1", "1e", "1e-", "e-3", "1e3"], [])


BOMB = "a: &a [x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "line 1: this value is used again by an alias"),
        ("&a [*a]", "alias"),
        ("a: &x 1\nb: *x", "line 1: .* alias"),
        ("a: &x {y: 1}\nb: {<<: *x}", "alias"),
        ("b: {<<: {a: 1}}", "'<<' has the type 'merge'"),
        ("\na: 2020-13-45", "line 2: '2020-13-45' has the type 'timestamp'.*put quotes"),
        ("a: 2026-01-02", "timestamp"),
        ("!!set {a, b}", "'set'"),
        ("a: !!binary x", "'binary'"),
        ("a: !<tag> x", "'tag'"),
        ("!!python/object/apply:os.system [ls]", "python/object"),
        ("a: =", "'value'"),
        ("!!int x", "does not fit its type"),
        ("!!bool x", "does not fit its type"),
        ("!!float x", "does not fit its type"),
        ("!!int [1]", "does not fit its type"),
        ("a: 0b_", "does not fit its type"),
        ("a: " + "1" * 5000, "a number of 5000 digits"),
        ("a: 0x" + "f" * 5000, "a number of 5002 digits"),
        ("1: 2", "line 1: expected a text as key"),
        ("a: 1\non: 3", "line 2: expected a text as key"),
        ("? [a]\n: b", "expected a text as key"),
        ("? {a: b}\n: b", "expected a text as key"),
        ("[" * 100 + "]" * 100, "more than 64 nested lists and mappings"),
        ("- " * 900 + "a", "more than 64 nested lists and mappings|not YAML"),
        ("[" * 100_000, "not YAML"),
        ("{a: " * 100_000, "not YAML"),
        ("--- a\n--- b", "not YAML: expected a single document"),
        ("{a", "not YAML"),
        ("\x00", "not YAML"),
        (b"\xff\xfe\xff", "not UTF-8"),
    ],
)
def test_what_would_surprise_or_harm_is_refused(tmp_path, loader, text, reason):
    with pytest.raises(UserError, match=reason) as caught:
        read(tmp_path, text)
    assert all(line.startswith("file: ") and len(line) < 400 for line in str(caught.value).splitlines())


def test_all_of_it_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, "a: 2026-01-02\nb: &x []\nc: *x\n1: 2\n")
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["line 4", "line 1", "line 2"]


def test_a_key_that_is_given_twice_is_reported_with_the_content(tmp_path, loader):
    content, wrong = read(tmp_path, "a: 1\nb: {c: 1, d: 2, c: 3}\n'a': 2\n")
    assert content == {"a": 2, "b": {"c": 3, "d": 2}}
    assert sorted(wrong) == ["file: line 2: 'c' is given twice", "file: line 3: 'a' is given twice"]


def test_a_file_that_is_missing_a_folder_or_endless(tmp_path):
    with pytest.raises(UserError, match="file: no such file"):
        read_yaml(tmp_path / "no.yaml", "file")
    with pytest.raises(UserError, match="file: is a folder"):
        read_yaml(tmp_path, "file")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo.yaml")
    for name in ("zero.yaml", "fifo.yaml"):
        with pytest.raises(UserError, match="file: is a (device|FIFO); expected a regular file"):
            read_yaml(tmp_path / name, "file")
    (tmp_path / "long.yaml").write_bytes(b" " * (yaml_files.LARGEST + 1))
    with pytest.raises(UserError, match="file: larger than 16 MB"):
        read_yaml(tmp_path / "long.yaml", "file")
    with pytest.raises(UserError, match="file: embedded null byte"):
        read_yaml(tmp_path / "a\0b", "file")


@given(st.one_of(st.text(), st.text(alphabet="ab:-[]{}&*!?|>'\"# \n012.e<", max_size=60)))
def test_any_text_is_read_or_a_mistake(tmp_path_factory, text):
    with suppress(UserError):
        read(tmp_path_factory.getbasetemp(), text)
