from __future__ import annotations

from pathlib import Path

import pytest

from reprbench.errors import UserError
from reprbench.registry import discover, registered_names

LEARNER = """
from reprbench import Learner, register

@register("{name}")
class Mine(Learner):
    def fit(self, images, run): ...
    def encode(self, x): return {{"x": x}}
"""


def write(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LEARNER.format(name=name))
    return path


def test_names_are_read_without_running_the_file(tmp_path):
    path = tmp_path / "loud.py"
    path.write_text(LEARNER.format(name="loud") + "\nraise SystemExit('ran')\n")
    assert discover([path], tmp_path / "none").entries["loud"].target == str(path)


def test_all_three_doors_open(tmp_path):
    named = write(tmp_path / "a.py", "by-file")
    write(tmp_path / "methods" / "b.py", "by-folder")
    registry = discover([named], tmp_path / "methods")
    assert {"ae", "by-file", "by-folder"} <= set(registry.entries)
    assert registry.find("by-folder").load().method_name == "by-folder"
    assert registry.find("by-file").load().__name__ == "Mine"


def test_the_same_file_through_two_doors_is_one_method(tmp_path):
    path = write(tmp_path / "methods" / "b.py", "mine")
    assert "mine" in discover([path], tmp_path / "methods").entries


def test_a_name_given_twice_names_both_origins(tmp_path):
    one, two = write(tmp_path / "one.py", "same"), write(tmp_path / "two.py", "same")
    two.write_text(two.read_text() + "# another\n")
    with pytest.raises(UserError) as caught:
        discover([one, two], tmp_path / "none")
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_a_plugin_cannot_take_the_name_of_a_built_in_method(tmp_path):
    with pytest.raises(UserError, match="two methods are called 'ae'"):
        discover([write(tmp_path / "mine.py", "ae")], tmp_path / "none")


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'sparse-ae'"):
        discover((), tmp_path).find("sparse_ae")


def test_a_broken_file_harms_nothing_else(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def (")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    registry = discover([broken, empty, write(tmp_path / "good.py", "good")], tmp_path / "none")
    assert "good" in registry.entries
    assert "SyntaxError" in registry.problems[str(broken)]
    assert "register" in registry.problems[str(empty)]


def test_a_missing_plugin_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        discover([tmp_path / "no.py"], tmp_path)


def test_a_name_that_is_no_folder_name_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no name"):
        discover([write(tmp_path / "a.py", "../../evil")], tmp_path / "none")


def test_only_literal_names_of_decorated_classes_are_found():
    source = """
@register("a")
class A: ...
@reprbench.register("b")
class B: ...
@other("c")
class C: ...
@register(x)
class D: ...
"""
    assert registered_names(source) == ["a", "b"]
