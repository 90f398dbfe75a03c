from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import protocol_spec
from trials import evaluation, trial

from reprbench.claims import Claims
from reprbench.registry import Entry
from reprbench.runner.plan import Planned, TrialSpec
from reprbench.runner.waiting import Waiting, claims_of, held_by_others
from reprbench.store import Store


def spec(label: str = "ae", seed: int = 0, protocols: tuple[str, ...] = ("linear-svm",)) -> TrialSpec:
    known = trial()
    return TrialSpec(
        benchmark="mine", label=label, entry=Entry("ae", "file", "ae.py"), method=known.method, identifying={},
        dataset=known.dataset, dataset_entry=Entry("digits", "entry point", "somewhere:digits", "dataset"),
        budget=known.budget, seed=seed, protocols=tuple(map(protocol_spec, protocols)),
    )  # fmt: skip


def planned(**asked) -> Planned:
    asked = spec(**asked)
    return Planned(asked, "run", "new", asked.protocols)


def stored(asked: TrialSpec, status: str = "done", label: str | None = None):
    """Return a trial as another run would store it, with the results of its first protocol."""
    first = asked.protocols[0].record
    found = evaluation([1.0])
    found.hash, found.call = first.hash, first.call
    return trial(
        label or asked.label, asked.seed, asked.hash, identity=asked.identity(), status=status,
        evaluations=[found], protocols=[one.record for one in asked.protocols],
    )  # fmt: skip


class Drivers:
    """Two runs on one store and cache, as two processes would be; `said` is what they say."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reprbench.owner.Owner.here", False)
        monkeypatch.setattr("reprbench.runner.waiting.time", SimpleNamespace(monotonic=lambda: self.time))
        self.store, self.cache, self.time = Store(folder / "results"), folder / "cache", 0.0
        self.said: list[str] = []
        self.claims = [Claims(print), Claims(print)]

    def waiting(self, number: int, *work: Planned) -> Waiting:
        def say(one, owner):
            assert str(owner.pid) in str(owner)
            self.said.append(f"{number} waits for {one.spec.label} {one.spec.seed}")

        return Waiting(work, self.store, self.cache, self.claims[number], say)


@pytest.fixture
def drivers(tmp_path, monkeypatch):
    made = Drivers(tmp_path, monkeypatch)
    yield made
    for held in made.claims:
        held.release(*held._held)


def test_a_run_goes_on_with_what_no_other_is_running(drivers):
    work = [planned(seed=seed) for seed in range(3)]
    first, second = drivers.waiting(0, *work), drivers.waiting(1, *work)
    assert first.next() is work[0]
    assert second.next() is work[1]
    assert first.next() is work[2]
    for _ in range(3):
        drivers.time += 10
        assert second.next() is None
    assert drivers.said == ["1 waits for ae 0", "0 waits for ae 1", "1 waits for ae 2"]
    first.release(work[0])
    drivers.time += 10
    assert second.next() is work[0]


def test_it_looks_now_and_then_and_at_once_when_one_of_its_own_ends(drivers):
    one, other = planned(seed=0), planned(seed=1)
    first, second = drivers.waiting(0, one), drivers.waiting(1, other, one)
    assert first.next() is one
    assert second.next() is other
    assert second.next() is None
    first.release(one)
    assert second.next() is None
    second.release(other)
    assert second.next() is one


def test_what_another_run_has_finished_is_not_run_again(drivers):
    work = planned()
    first, second = drivers.waiting(0, work), drivers.waiting(1, work)
    first.next()
    assert second.next() is None
    drivers.store.write(stored(work.spec), {})
    first.release(work)
    drivers.time += 10
    now = second.next()
    assert (now.action, now.stored.hash) == ("keep", work.spec.hash)
    assert len(second) == 0


@pytest.mark.parametrize(
    ("change", "action", "missing"),
    [
        ({"status": "interrupted"}, "run", ["linear-svm", "knn"]),
        ({}, "evaluate", ["knn"]),
    ],
)
def test_what_another_run_has_left_is_run(drivers, change, action, missing):
    work = planned(protocols=("linear-svm", "knn"))
    waiting = drivers.waiting(0, work)
    drivers.store.write(stored(work.spec, **change), {})
    now = waiting.next()
    assert (now.action, [str(one.record.call) for one in now.missing]) == (action, missing)


def test_what_has_not_changed_in_the_store_stays_as_it_was_planned(drivers):
    failed = stored(spec(), "failed")
    drivers.store.write(failed, {})
    (read,), _ = drivers.store.read()
    assert read.row
    work = Planned(spec(), "run", "a reason of the plan", spec().protocols, read)
    assert drivers.waiting(0, work).next() is work


def test_rows_of_one_run_with_the_same_fit_run_after_each_other(drivers):
    one, other = planned(label="a"), planned(label="b")
    assert one.spec.hash == other.spec.hash
    waiting = drivers.waiting(0, one, other)
    assert waiting.next() is one
    assert waiting.next() is None
    drivers.store.write(stored(one.spec), {})
    waiting.release(one)
    assert waiting.next().action == "record"


def test_a_row_of_this_run_is_waited_for_without_a_word(drivers, monkeypatch):
    monkeypatch.undo()
    waiting = drivers.waiting(0, planned(label="a"), planned(label="b"))
    waiting.next()
    assert waiting.next() is None
    assert drivers.said == []


def test_of_two_runs_with_the_same_fit_neither_holds_a_part(drivers):
    """Different stores, one cache: the fit is claimed, and the trial given back."""
    work = planned()
    here = drivers.waiting(0, work)
    elsewhere = Store(drivers.store.root.with_name("elsewhere"))
    there = Waiting([work], elsewhere, drivers.cache, drivers.claims[1], lambda *_: None)
    here.next()
    assert there.next() is None
    assert drivers.claims[1]._held == {}
    here.release(work)
    drivers.time += 10
    assert there.next() is work


def test_a_method_that_cannot_be_imported_needs_no_claim(drivers):
    broken = planned()
    broken = replace(broken, spec=replace(broken.spec, problem="its import failed"))
    first, second = drivers.waiting(0, broken), drivers.waiting(1, broken)
    assert first.next() is broken
    assert second.next() is broken


def test_the_owner_of_a_trial_or_of_its_fit_is_found(drivers, tmp_path):
    work = planned()
    assert held_by_others(work, drivers.store, drivers.cache) is None
    drivers.waiting(0, work).next()
    assert held_by_others(work, drivers.store, tmp_path / "another cache") is not None
    assert held_by_others(work, Store(tmp_path / "another store"), drivers.cache) is not None
    assert held_by_others(planned(seed=1), drivers.store, drivers.cache) is None


@pytest.mark.parametrize(
    "name", ["a/../../b", "x" * 300, "ünï code", "a b", "~"], ids=["above", "long", "other letters", "space", "home"]
)
def test_names_of_claims_are_safe(tmp_path, name):
    asked = replace(spec(), benchmark=name)
    path, _ = claims_of(asked, Store(tmp_path), tmp_path / "cache")
    assert path.parent == tmp_path / ".locks"
    assert len(path.name.encode()) < 130
    assert path.name.isascii()
    assert path != claims_of(replace(asked, benchmark=name + "-"), Store(tmp_path), tmp_path)[0]
