"""What is asked for in Python, as calls."""

from __future__ import annotations

import sys

from learners_of_cells import Broken, Centered
from reprbench.methods.controls import RawPixels
from reprbench.methods.kmeans import KMeans

from reprbench.api.calls import asked_calls, asked_methods
from reprbench.spec import Call, parse_call

REGISTERED = """
from reprbench import Learner, register

class Base(Learner):
    size: int = 2
    def fit(self, images, run): ...
    def encode(self, x): return {"x": x}

@register("of-a-file")
class OfAFile(Base):
    pass
"""


def test_installed_classes_are_their_names(tmp_path):
    calls, plugins = asked_methods([RawPixels, KMeans(n_centroids=8), "ae,dae[noise=0.3]", Call(name="pca")], tmp_path)
    assert list(map(str, calls)) == ["raw-pixels", "kmeans[n_centroids=8]", "ae", "dae[noise=0.3]", "pca"]
    assert not plugins


def test_a_class_that_its_file_registers_comes_from_there_and_others_are_captured(tmp_path, monkeypatch):
    (tmp_path / "registering.py").write_text(REGISTERED)
    monkeypatch.syspath_prepend(str(tmp_path))
    import registering

    calls, plugins = asked_methods([registering.OfAFile(size=3), registering.Base], tmp_path / "cache")
    assert list(map(str, calls)) == ["of-a-file[size=3]", "base"]
    assert plugins[0] == tmp_path / "registering.py"
    assert plugins[1].is_relative_to(tmp_path / "cache")
    del sys.modules["registering"]


def test_a_class_given_twice_is_one_file(tmp_path):
    calls, plugins = asked_methods([Centered, Centered(factor=2.0), Broken], tmp_path)
    assert list(map(str, calls)) == ["centered", "centered[factor=2.0]", "broken"]
    assert len(plugins) == 2


def test_one_method_needs_no_list(tmp_path):
    assert asked_methods("pca", tmp_path)[0] == asked_methods(Call(name="pca"), tmp_path)[0] == (Call(name="pca"),)
    assert asked_methods(Centered, tmp_path)[0] == (Call(name="centered"),)


def test_calls_are_texts_or_calls():
    several = (parse_call("knn"), parse_call("linear-svm[grid=1]"))
    assert asked_calls("knn,linear-svm[grid=1]") == asked_calls(["knn", several[1]]) == asked_calls(several) == several
    assert asked_calls(several[0]) == several[:1]
