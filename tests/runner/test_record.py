"""What is recorded of a trial whose process ended, however it ended."""

from __future__ import annotations

import msgspec
import pytest
from jobs import protocol_spec
from msgspec.structs import replace
from test_plan import spec, stored

from reprbench.files import write_json
from reprbench.runner.job import FIT, TrialResult, evaluation_path, unfinished
from reprbench.runner.plan import Planned
from reprbench.runner.record import Finished, protocol_jobs, read_finished, record, so_far
from reprbench.trial import Cost, Figure, to_json

NAMES = ("knn", "embedding", "robustness")
PROTOCOLS = tuple(protocol_spec(name) for name in NAMES)


def planned(action: str = "run", kind: str = "unsupervised", **changes) -> Planned:
    asked = spec(protocols=PROTOCOLS, method={"kind": kind})
    return Planned(asked, action, "new", PROTOCOLS, **changes)


DONE = [stored(spec(protocols=PROTOCOLS)).evaluations[number] for number in range(3)]
FIT_DONE = TrialResult(status="done", cost=Cost(fit_seconds=2.0), provenance={"device": "cpu"}, warnings=["slow"])
KILLED = TrialResult(status="timeout", reason="too long", traceback="output", cost=Cost(peak_memory=7))


def statuses(found) -> list[tuple[str, str]]:
    return [(str(one.call), one.status) for one in found.evaluations]


def test_what_ends_the_process_in_its_third_protocol_is_that_protocols(tmp_path):
    found = record(planned(), KILLED, "SIGKILL", Finished(FIT_DONE, tuple(DONE[:2])), "1")
    assert (found.status, found.reason, found.traceback, found.signal) == ("done", "", "", None)
    assert statuses(found) == [("knn", "done"), ("embedding", "done"), ("robustness", "timeout")]
    last = found.evaluations[-1]
    assert (last.reason, last.traceback, last.signal) == ("too long", "output", "SIGKILL")
    assert last.ended
    assert (found.cost.fit_seconds, found.cost.peak_memory, found.cost.evaluation_seconds) == (2.0, 7, 2)
    assert (found.warnings, found.provenance["device"], found.requested) == (["slow"], "cpu", "1")


def test_what_ends_the_process_in_its_first_protocol_leaves_no_record_of_the_others():
    found = record(planned(), KILLED, None, Finished(FIT_DONE), "1")
    assert statuses(found) == [("knn", "timeout")]
    assert found.outcome(found.protocols[1]) == ("not evaluated", "the trial ended in knn: timeout")


def test_what_ends_the_process_before_its_fit_is_done_is_the_trials():
    found = record(planned(), KILLED, "SIGKILL", Finished(), "1")
    assert (found.status, found.reason, found.signal, found.evaluations) == ("timeout", "too long", "SIGKILL", [])
    assert found.outcome(found.protocols[2]) == ("timeout", "too long")


def test_what_ends_the_process_after_its_last_evaluation_takes_nothing_away():
    found = record(planned(), KILLED, "SIGKILL", Finished(FIT_DONE, tuple(DONE)), "1")
    assert found.failure() is None
    assert statuses(found) == [(name, "done") for name in NAMES]
    assert found.warnings == ["slow", "its size is not known: timeout after the last evaluation: too long"]
    interrupted = replace(KILLED, status="interrupted")
    assert record(planned(), interrupted, None, Finished(FIT_DONE, tuple(DONE)), "1").warnings == ["slow"]


def test_a_result_without_one_of_its_evaluations_is_a_failure():
    found = record(planned(), FIT_DONE, None, Finished(FIT_DONE, tuple(DONE[:2])), "1")
    assert (found.failure().call.name, found.failure().reason) == ("robustness", "its process left no result of it")


def test_a_fit_that_is_in_the_store_stays_done_and_so_does_where_it_ran():
    before = stored(spec(protocols=PROTOCOLS[:1]))
    before = replace(before, provenance={"device": "cuda", "ended": "0"})
    missing = replace_missing(planned("evaluate", stored=before))
    found = record(missing, TrialResult(status="failed", reason="the data changed"), None, Finished(), "1")
    assert (found.status, found.provenance) == ("done", before.provenance)
    assert statuses(found) == [("embedding", "failed")]


def replace_missing(one: Planned) -> Planned:
    return Planned(one.spec, one.action, one.reason, PROTOCOLS[1:], one.stored)


def test_evaluations_are_read_as_far_as_they_are_written(tmp_path):
    jobs = protocol_jobs(planned())
    assert read_finished(tmp_path, jobs) == Finished()
    write_json(tmp_path / FIT, to_json(FIT_DONE))
    # The process may write what it likes; which protocol it was, is known.
    write_json(evaluation_path(tmp_path, jobs[0]), {**to_json(DONE[0]), "hash": "another", "call": {"name": "x"}})
    write_json(evaluation_path(tmp_path, jobs[2]), to_json(DONE[2]))
    found = read_finished(tmp_path, jobs)
    assert found == Finished(FIT_DONE, (DONE[0],))
    assert so_far(planned(), found, "1").evaluations == [DONE[0]]
    assert so_far(planned(), found, "1").status == "done"


def test_figures_beyond_the_bound_are_not_recorded(tmp_path):
    drawn = [Figure(str(number), f"figures/{number}.png") for number in range(200)]
    write_json(evaluation_path(tmp_path, protocol_jobs(planned())[0]), to_json(replace(DONE[0], figures=drawn)))
    (found,) = read_finished(tmp_path, protocol_jobs(planned())).evaluations
    assert found.figures == drawn[:100]


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"status": "fine"}'])
def test_an_evaluation_that_cannot_be_read_failed(tmp_path, content):
    path = evaluation_path(tmp_path, protocol_jobs(planned())[0])
    path.parent.mkdir()
    path.write_text(content)
    (found,) = read_finished(tmp_path, protocol_jobs(planned())).evaluations
    assert found.status == "failed"
    assert found.reason.startswith("its result cannot be read: ")
    assert found.hash == PROTOCOLS[0].record.hash


def test_a_record_of_a_failure_is_what_the_store_can_read():
    job = protocol_jobs(planned())[0]
    one = unfinished(job, "timeout", "too long")
    assert msgspec.convert(to_json(one), type(one)) == one
