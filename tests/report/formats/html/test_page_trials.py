from __future__ import annotations

import os
from pathlib import Path

import pytest
from report_pages import Page, in_store, noise, payload_of
from trials import evaluation, trial

from reprbench.report.formats.html import as_html
from reprbench.report.formats.html.trials import link_to
from reprbench.report.table import Settings, make_tables
from reprbench.report.trial_files import file_of
from reprbench.trial import Figure


@pytest.mark.parametrize("file", ["../secret.png", "/etc/hostname", "figures/../../secret.png", "a\0.png", "figures"])
def test_a_file_outside_the_trials_folder_is_not_found(tmp_path, file):
    (one,) = in_store(tmp_path, trial(evaluations=[evaluation([1.0], figures=[Figure("grid", "figures/a.png")])]))
    noise(Path(one.path).parent.parent / "secret.png", 30, 20)
    assert file_of(one, file) is None


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_a_figure_that_is_no_file_in_the_trials_folder_is_neither_shown_nor_linked(tmp_path, what):
    (one,) = in_store(tmp_path, trial(evaluations=[evaluation([1.0], figures=[Figure("grid", "figures/a.png")])]))
    folder = Path(one.path).parent
    noise(folder.parent / "a.png", 30, 20)
    (folder / "figures/a.png").unlink()
    if what == "link":
        (folder / "figures/a.png").symlink_to(folder.parent / "a.png")
    elif what == "pipe":
        os.mkfifo(folder / "figures/a.png")
    else:
        (folder / "figures").rmdir()
        (folder / "figures").symlink_to(folder.parent, target_is_directory=True)
    assert file_of(one, "figures/a.png") is None
    page = Page(as_html(make_tables([one]), [tmp_path], tmp_path))
    assert page.all("img") == []
    assert [link for link in page.all("a") if "data-figure" in link] == []


def test_a_file_inside_the_trials_folder_is_found(tmp_path):
    (one,) = in_store(tmp_path, trial(evaluations=[evaluation([1.0], figures=[Figure("grid", "figures/a.png")])]))
    assert file_of(one, "figures/a.png") == Path(one.path).parent / "figures/a.png"
    assert file_of(one, "figures/b.png") is None
    assert file_of(trial(), "figures/a.png") is None


def test_equal_folders_of_two_stores_keep_their_own_figures(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    trials = []
    for place, root in enumerate((first, second)):
        root.mkdir()
        found = evaluation([1.0 + place], figures=[Figure("grid", "figures/grid.png")])
        trials += in_store(root, trial(evaluations=[found], provenance={"ended": f"2026-01-0{place + 1}"}))
    tables = make_tables(trials, settings=Settings(every=True))
    text = as_html(tables, [first, second], tmp_path)
    folder = trials[0].folder
    assert [one["link"] for one in payload_of(text)["trials"]] == [
        f"{name}/results/{folder}/trial.json" for name in ("second", "first")
    ]
    links = [link["href"] for link in Page(text).all("a") if "data-figure" in link]
    assert links == [f"{name}/results/{folder}/figures/grid.png" for name in ("second", "first")]


def test_a_link_is_relative_and_escaped(tmp_path):
    path = tmp_path / "my results?/a/b/0-1/x#1.png"
    assert link_to(path, tmp_path / "pages") == "../my%20results%3F/a/b/0-1/x%231.png"
