"""The history of a fit: what is written is read; what is no history has no rows."""

from __future__ import annotations

import os

import pytest

from reprbench import history_file
from reprbench.history_file import read_history, write_history


def test_the_history_keeps_all_columns_and_digits(tmp_path):
    write_history(tmp_path / "h.csv", [{"step": 1, "a": 1 / 3}, {"step": 2, "b": 0.5}])
    assert (tmp_path / "h.csv").read_text() == f"step,a,b\n1,{1 / 3!r},\n2,,0.5\n"
    assert read_history(tmp_path / "h.csv") == [{"step": 1.0, "a": 1 / 3}, {"step": 2.0, "b": 0.5}]


@pytest.mark.parametrize(
    "text", ["", "a", "loss\n1\n", 'step,"\n', "step\nnan\n", "\x00\xff", "step,x\n1", "\nstep\n1"]
)
def test_a_history_that_is_none_has_no_rows(tmp_path, text):
    (tmp_path / "history.csv").write_text(text, encoding="latin-1")
    assert all(row == {"step": 1.0} for row in read_history(tmp_path / "history.csv"))


def test_nothing_is_read_from_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert [read_history(tmp_path / name) for name in ("missing", "pipe", "")] == [[], [], []]


def test_nothing_is_read_from_one_that_is_too_large(tmp_path, monkeypatch):
    (tmp_path / "history.csv").write_text("step\n1\n")
    monkeypatch.setattr(history_file, "LARGEST", 6)
    assert read_history(tmp_path / "history.csv") == []
