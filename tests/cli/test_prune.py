"""``reprbench cache`` and ``store prune`` say what they would remove, and ask."""

from __future__ import annotations

import io

import pytest
from trials import trial

from reprbench.cache import CacheFile
from reprbench.store import Store

FIT = "1" * 64


@pytest.fixture
def folder(tmp_path):
    """A folder with a store of two trials of a row, and a cache with the fit of the newer one and of another."""
    store = Store(tmp_path / "results")
    store.write(trial("ae", digest="a1" * 32, requested="2026"), {})
    store.write(trial("ae", digest=FIT, requested="2027"), {})
    for name in (f"fits/{FIT}/unlabeled/state.safetensors", f"features/{FIT}/a.npy", f"fits/{'2' * 64}/x"):
        with CacheFile(tmp_path / ".reprbench", name).write() as writer:
            writer.write(bytes(3 * 2**20))
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_fits_are_listed_with_their_trials(folder, here):
    lines = here("cache", "list").stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["11111111", "today", "3.0", "MB", "3.0", "MB", "mine:", "ae", "(seed", "0)"],
        ["22222222", "today", "3.0", "MB", "0", "kB", "in", "no", "trial", "of", "the", "store"],
    ]


def test_sizes_add_up(folder, here):
    lines = here("cache", "size").stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["fits", "2", "6.0", "MB"], ["features", "1", "3.0", "MB"], ["all", "3", "9.0", "MB"],
    ]  # fmt: skip


def test_fits_of_no_trial_are_removed_after_a_question(folder, here, monkeypatch):
    other = folder / ".reprbench" / "fits" / ("2" * 64)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    done = here("cache", "prune", "--keep-store", "results")
    assert "fits/2222222222222222  3.0 MB\nremove these 1 parts, 3.0 MB? [y/N]:" in done.stdout
    assert other.exists()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "removed 1 parts, 3.0 MB" in here("cache", "prune", "--keep-store", "results").stdout
    assert not other.exists()
    assert here("cache", "prune", "--keep-store", "results", "--yes").stdout == "nothing to remove\n"


def test_superseded_trials_are_removed(folder, here):
    done = here("store", "prune", "--superseded", "--yes")
    assert done.stdout.splitlines() == [
        "mine/ae/0-a1a1a1a1  ae, seed 0, done, ended unknown",
        "removed 1 trial",
    ]
    assert [one.hash for one in Store(folder / "results").read()[0]] == [FIT]
    assert here("store", "prune", "--superseded").stdout == "nothing to remove\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cache", "prune"), "Error: say what to keep: --keep DAYS, or --keep-store STORE"),
        (("cache", "prune", "--keep-store", "none"), "Error: --keep-store none: no such folder"),
        (("cache", "prune", "--keep", "0"), "Error: remove these 3 parts, 9.0 MB? There is nobody to ask; --yes"),
        (("store", "prune"), "Error: say which trials to remove: --superseded"),
        (("store", "prune", "--superseded", "--store", "none"), "Error: store none: no such folder"),
        (("store", "prune", "--superseded"), "Error: remove these 1 trials? There is nobody to ask; --yes"),
    ],
)
def test_nothing_is_removed_by_mistake(folder, here, monkeypatch, words, message):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = here(*words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(message)
    assert len(Store(folder / "results").read()[0]) == 2


def test_without_a_cache_there_is_nothing_to_list(tmp_path, here):
    done = here("cache", "list")
    assert done.returncode == 2
    assert "no such folder; `reprbench run` makes it" in done.stderr
