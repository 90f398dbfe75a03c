"""What is asked for in Python, as calls."""

from __future__ import annotations

import sys

import pytest
from learners_of_cells import Broken, Centered
from reprbench.methods.controls import RawPixels
from reprbench.methods.kmeans import KMeans

import reprbench as rb
from reprbench import Learner, UserError
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
    for given in ("knn,linear-svm[grid=1]", ["knn", several[1]], several):
        assert asked_calls(given, "protocols") == several
    assert asked_calls(several[0], "protocols") == several[:1]


class NoEncode(Learner):
    def fit(self, images, run): ...


class WrongFit(NoEncode):
    def fit(self, images): ...

    def encode(self, x): ...


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": 3}, "methods: 3: expected a name, a call, or a class derived from Learner"),
        ({"methods": None}, "methods: None: expected a name"),
        ({"methods": ["pca", 3]}, "methods: 3: expected a name"),
        ({"methods": NoEncode}, "class NoEncode does not define encode"),
        ({"methods": WrongFit()}, r"class WrongFit.fit takes \(images\), but is called with \(images, run\)"),
        ({"dataset": 3}, "dataset: 3: expected a name or a call"),
        ({"dataset": rb.dataset("digits", limit=20)}, "dataset: Dataset.*: expected a name or a call"),
        ({"protocols": 3}, "protocols: 3: expected a name or a call"),
        ({"protocols": ["knn", 3]}, "protocols: 3: expected a name or a call"),
        ({"log_to": rb.Tracker}, "log_to: the class Tracker is no Tracker; expected one, or tensorboard"),
        ({"log_to": [rb.Tracker]}, "log_to: the class Tracker is no Tracker"),
        ({"log_to": 3}, "log_to: int is no Tracker"),
        ({"settings": 3}, "run: settings"),
        ({"settings": {3: 4}}, "run: settings"),
        ({"store": None}, "store: None: expected a path"),
        ({"cache": 3}, "cache: 3: expected a path"),
        ({"data_dir": 3}, "data_dir: 3: expected a path"),
        ({"plugins": 3}, "plugins: 3: expected a list of paths"),
        ({"plugins": [3]}, "plugins: 3: expected a path"),
        ({"plugins": "missing.py"}, "missing.py"),
    ],
)
def test_what_a_run_cannot_read_is_one_line(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        rb.run(**{"methods": "pca", "device": "cpu", "quiet": True, **given})
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
