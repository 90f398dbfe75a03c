"""Which trackers a run asks for."""

from __future__ import annotations

import sys

import pytest

from reprbench import Tracker, UserError
from reprbench.trackers.choose import make_trackers


@pytest.mark.parametrize("asked", ["", "tensorflow", "csv:", "wandb", "wandb:", ":x"])
def test_what_is_not_known_is_a_mistake(asked):
    with pytest.raises(
        UserError, match=r"expected tensorboard\[:FOLDER\], mlflow\[:EXPERIMENT\], wandb:PROJECT or csv"
    ):
        make_trackers([asked])


def test_other_objects_are_no_trackers():
    with pytest.raises(UserError, match="log_to: int is no Tracker; expected one"):
        make_trackers([3])


def test_names_and_objects_can_be_mixed(tmp_path):
    own = Tracker()
    (first, made), second = make_trackers([f"csv:{tmp_path}/x.csv", own])
    assert (first, type(made).__name__, second) == (f"csv:{tmp_path}/x.csv", "CSVTracker", ("Tracker", own))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "library"),
    [("tensorboard", "torch.utils.tensorboard.writer"), ("mlflow", "mlflow"), ("wandb:p", "wandb")],
)
def test_what_is_not_installed_can_be(monkeypatch, asked, library):
    kind = asked.partition(":")[0]
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"reprbench.trackers.{kind}", raising=False)
    with pytest.raises(UserError) as error:
        make_trackers([asked])
    assert f"pip install 'reprbench[{kind}]'" in str(error.value)


@pytest.mark.parametrize("content", ["import torch\n", "trial,label\n", "\n"])
def test_a_file_that_is_no_log_is_not_added_to(content, tmp_path):
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(UserError, match="is there already, and is no such log"):
        make_trackers([f"csv:{tmp_path}/mine.py"])
    assert (tmp_path / "mine.py").read_text() == content


def test_an_earlier_log_is_added_to(tmp_path):
    (tmp_path / "log.csv").write_text("trial,label,seed,step,name,value\n")
    assert make_trackers([f"csv:{tmp_path}/log.csv"])
