"""A notebook, and one run for all tests of a file, made by the function that users call."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from learners_of_cells import Broken, Centered
from notebooks import Notebook

import reprbench as rb


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of a run of two methods that work and one that does not, its folder, store and cache."""
    folder = tmp_path_factory.mktemp("run")
    places = {"store": folder / "results", "cache": folder / "cache"}
    asked = ["raw-pixels", Centered(factor=2.0), Broken]
    again = {"epochs": 1, "protocols": "knn", "limit": 150, "device": "cpu", "quiet": True, **places}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        results = rb.run(asked, "digits", **again)
    store = rb.load(places["store"], cache=places["cache"])
    return SimpleNamespace(results=results, folder=folder, loaded=store, asked=asked, again=again, **places)


@pytest.fixture
def notebook(monkeypatch):
    """A new notebook, in which this process seems to be."""
    made = Notebook()
    shell = SimpleNamespace(history_manager=SimpleNamespace(input_hist_parsed=made.history))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "__main__", made.module)
    return made
