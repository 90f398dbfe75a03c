"""What may be removed from a cache or a store, and what stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from trials import trial

from reprbench.api.pruning import (
    DAY,
    CachePart,
    cache_parts,
    remove_parts,
    remove_superseded,
    superseded,
    unneeded,
)
from reprbench.cache import CacheFile
from reprbench.claim_file import acquire
from reprbench.errors import UserError
from reprbench.owner import myself
from reprbench.runner.waiting import fit_claim, trial_claim
from reprbench.store import Store

ONE, OTHER = "1" * 64, "2" * 64
HOLDER = """
import sys, time
from pathlib import Path
from reprbench.claim_file import acquire
from reprbench.owner import myself
path = Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
acquire(path, myself())
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def held():
    """Hold a claim in another process."""
    started = []

    def hold(path):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def cache(tmp_path):
    for name in (f"fits/{ONE}/unlabeled/state.safetensors", f"fits/{OTHER}/unlabeled/state.safetensors",
                 f"features/{ONE}/a.npy", "features/old.npy", "decoded/birds/train.npy"):  # fmt: skip
        with CacheFile(tmp_path, name).write() as writer:
            writer.write(b"x" * 1000)
    (tmp_path / "plugins" / "ab").mkdir(parents=True)
    (tmp_path / "plugins" / "ab" / "captured_x.py").write_text("")
    return tmp_path


def names(parts):
    return sorted(f"{part.kind}/{part.name[:4]}" for part in parts)


def test_a_cache_is_listed_with_sizes(cache):
    parts = cache_parts(cache)
    assert names(parts) == ["decoded/bird", "features/1111", "features/old.", "fits/1111", "fits/2222", "plugins/ab"]
    assert all(part.size > 1000 and time.time() - part.made < 60 for part in parts if part.kind != "plugins")
    with pytest.raises(UserError, match="no such folder"):
        cache_parts(cache / "missing")


PARTS = [CachePart(None, kind, name, 1, day * DAY) for kind, name, day in [
    ("fits", "a", 1), ("features", "a", 9), ("fits", "b", 2), ("features", "old", 8), ("decoded", "d", 3),
    ("plugins", "p", 0), ("plugins", "q", 10 - 0.5 / 24),
]]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "fits", "expected"),
    [
        (5, None, ["decoded/d", "fits/b", "plugins/p"]),
        (0, None, ["decoded/d", "features/a", "features/old", "fits/a", "fits/b", "plugins/p"]),
        (11, None, []),
        (None, {"a"}, ["features/old", "fits/b"]),
        (None, {"a", "b"}, ["features/old"]),
        (5, {"b"}, []),
        (None, set(), ["features/a", "features/old", "fits/a", "fits/b"]),
    ],
)
def test_what_is_not_needed(days, fits, expected):
    assert names(unneeded(PARTS, days, fits, 10 * DAY)) == expected


def test_parts_are_removed_whole_and_claims_are_left_as_they_were(cache):
    said = []
    removed = remove_parts(unneeded(cache_parts(cache), None, {OTHER}, 0), cache, said.append)
    assert names(removed) == ["features/1111", "features/old.", "fits/1111"]
    assert names(cache_parts(cache)) == ["decoded/bird", "fits/2222", "plugins/ab"]
    assert not list(cache.rglob(".removed-*"))
    assert not list((cache / "claims").glob("*.claim"))
    assert not said


def test_files_of_classes_are_removed_some_time_after_a_run_asked_for_them(cache):
    path = cache / "plugins" / "ab" / "captured_x.py"
    found = unneeded(cache_parts(cache), 0, None, time.time() + 60)
    assert not remove_parts([part for part in found if part.kind == "plugins"], cache, print)
    os.utime(path, (0, time.time() - 2 * 3600))
    found = [part for part in unneeded(cache_parts(cache), 0, None, time.time()) if part.kind == "plugins"]
    assert names(remove_parts(found, cache, print)) == ["plugins/ab"]
    assert not path.exists()


def test_what_a_living_run_has_claimed_stays(cache, held):
    held(fit_claim(cache, ONE))
    said = []
    removed = remove_parts(unneeded(cache_parts(cache), 0, None, time.time() + DAY), cache, said.append)
    assert names(removed) == ["features/old.", "fits/2222"]
    stay = ["decoded/birds", "features/11111111", "fits/11111111", "plugins/ab"]
    assert sorted(line.split(" stays: ")[0] for line in said) == stay


def test_superseded_trials_are_removed_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    for digest, when in (("a1" * 32, "2025"), ("a2" * 32, "2026"), ("a3" * 32, "2027")):
        store.write(trial("ae", digest=digest, requested=when), {})
    store.write(trial("ae", digest="b1" * 32, seed=1), {})
    found = {one.folder for one in superseded(store)}
    assert found == {"mine/ae/0-a1a1a1a1", "mine/ae/0-a2a2a2a2"}
    # One of them was meanwhile asked for again.
    store.write(trial("ae", digest="a1" * 32, requested="2028"), {})
    assert [one.folder for one in remove_superseded(store, found, print)] == ["mine/ae/0-a2a2a2a2"]
    assert {one.folder for one in store.read()[0]} == {"mine/ae/0-a1a1a1a1", "mine/ae/0-a3a3a3a3", "mine/ae/1-b1b1b1b1"}


def test_a_superseded_trial_that_is_running_stays(tmp_path, held):
    store = Store(tmp_path)
    store.write(trial("ae", digest="a1" * 32, requested="2025"), {})
    store.write(trial("ae", digest="a2" * 32, requested="2026"), {})
    held(trial_claim(store, "mine/ae/0-a1a1a1a1"))
    said = []
    assert not remove_superseded(store, {"mine/ae/0-a1a1a1a1"}, said.append)
    assert said[0].startswith("mine/ae/0-a1a1a1a1 stays: ")


def test_a_claim_of_this_process_keeps_a_trial_too(tmp_path):
    store = Store(tmp_path)
    store.write(trial("ae", digest="a1" * 32, requested="2025"), {})
    store.write(trial("ae", digest="a2" * 32, requested="2026"), {})
    path = trial_claim(store, "mine/ae/0-a1a1a1a1")
    path.parent.mkdir(exist_ok=True)
    acquire(path, myself())
    assert not remove_superseded(store, {"mine/ae/0-a1a1a1a1"}, lambda line: None)
    assert (store.root / "mine/ae/0-a1a1a1a1").exists()
