"""Merging two records of one trial: nothing finished is lost, whoever writes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from trials import evaluation, method, protocol, sweep_record, trial

from reprbench.benchmark import Reference
from reprbench.evaluation import Evaluation
from reprbench.merge import fit_of, merged, merged_evaluations
from reprbench.trial import Cost, Deviation, Trial

CALLS = ("knn", "linear-svm", "embedding")


def record(call: str, ended: int, status: str = "done", code: int = 1) -> Evaluation:
    return evaluation(
        [float(ended)] if status == "done" else [], call, version=code, hash=f"{call} {code}", status=status,
        ended=f"{ended:06}", seconds=float(ended),
    )  # fmt: skip


def one(ended: int, *evaluations: Evaluation, asked: str = "", status: str = "done", **changes) -> Trial:
    """Return what a run that ended then says of the trial; `asked` are its protocols, by default the evaluations'."""
    names = asked.split() or [str(found.call) for found in evaluations]
    hashes = {str(found.call): found.hash for found in evaluations}
    return trial(
        status=status, evaluations=list(evaluations), requested=f"{ended - 1:06}", provenance={"ended": f"{ended:06}"},
        protocols=[replace(protocol(name), hash=hashes.get(name, f"{name} 1")) for name in names], **changes,
    )  # fmt: skip


def kept(found: Trial) -> list[tuple[str, str]]:
    return [(str(each.call), each.status) for each in found.evaluations]


def names(found: Trial) -> list[str]:
    return [str(each.call) for each in found.protocols]


def test_two_runs_of_different_protocols_both_keep_theirs():
    first, second = one(10, record("knn", 9)), one(20, record("embedding", 19))
    for found in (merged(first, second), merged(second, first)):
        assert kept(found) == [("knn", "done"), ("embedding", "done")]
        assert names(found) == ["embedding", "knn"]
        assert found.cost.evaluation_seconds == 28


@pytest.mark.parametrize("status", ["interrupted", "failed", "timeout", "out-of-memory"])
def test_a_run_that_fails_leaves_what_another_finished(status):
    done = one(10, record("knn", 9), cost=Cost(fit_seconds=5.0, peak_memory=7))
    in_its_fit = one(20, asked="knn", status=status, reason="bad luck", cost=Cost(peak_memory=9))
    in_its_protocol = one(20, record("knn", 19, status))
    for late in (in_its_fit, in_its_protocol):
        for found in (merged(done, late), merged(late, done)):
            assert (found.status, found.reason, kept(found)) == ("done", "", [("knn", "done")])
            assert found.failure() is None
            assert found.requested == "000019"
            assert found.cost.fit_seconds == 5.0
    assert merged(done, in_its_fit).cost.peak_memory == 9


def test_a_further_protocol_that_fails_stands_beside_the_finished_ones():
    found = merged(one(10, record("knn", 9)), one(20, record("embedding", 19, "timeout")))
    assert kept(found) == [("knn", "done"), ("embedding", "timeout")]
    assert found.failure() is found.evaluations[1]
    assert found.failure({"knn 1"}) is None
    again = merged(found, one(30, record("embedding", 29)))
    assert kept(again) == [("knn", "done"), ("embedding", "done")]


def test_newer_code_replaces_older_unless_it_failed():
    old, new = record("knn", 9), record("knn", 19, code=2)
    assert merged_evaluations([old], [new]) == [new]
    failed = record("knn", 19, "failed", code=2)
    assert merged_evaluations([old], [failed]) == [old, failed]
    assert merged_evaluations([old, failed], [record("knn", 29, code=2)])[0].ended == "000029"
    # With other defaults the same call is another question.
    other = replace(new, parameters={"k": 7})
    assert merged_evaluations([old], [other]) == [old, other]
    # What failed is out of date as soon as anything newer is there.
    assert merged_evaluations([replace(failed, parameters={})], [replace(other, ended="000029")])[0].finished


def test_the_last_request_says_what_is_requested():
    changes = {"reference": Reference(value=1.0, citation="B"), "deviations": [Deviation("limit", "limit 9")]}
    first, second = one(10, record("knn", 9), label="a"), one(20, asked="knn", status="failed", label="b", **changes)
    for found in (merged(first, second), merged(second, first)):
        assert (found.label, found.reference, found.deviations) == ("b", *changes.values())


def test_what_was_changed_by_hand_stays_so():
    edited = one(10, record("knn", 9), changed_by_hand=True)
    assert merged(edited, one(20, record("knn", 19))).changed_by_hand


STATUSES = st.sampled_from(["done", "skipped", "failed", "timeout", "interrupted"])


@st.composite
def several(draw, codes: int = 1, count: int = 3) -> list[Trial]:
    """Draw records of different times, each with evaluations that ended before it."""
    times = iter(draw(st.lists(st.integers(10, 10**5), min_size=9 * count, max_size=9 * count, unique=True)))
    found = []
    for _ in range(count):
        calls = draw(st.lists(st.sampled_from(CALLS), unique=True, max_size=3))
        own = [record(call, next(times), draw(STATUSES), draw(st.integers(1, codes))) for call in calls]
        asked = " ".join(draw(st.lists(st.sampled_from(CALLS), unique=True, min_size=1)) + calls)
        status = draw(st.sampled_from(["done", "failed"]))
        found.append(one(next(times), *own, asked=" ".join(dict.fromkeys(asked.split())), status=status))
    return found


def facts(found: Trial):
    """Return what does not depend on the order of writing: protocols after the first are in any order."""
    return (
        found.status, found.provenance, found.requested, found.evaluations, found.protocols[0],
        {each.hash for each in found.protocols},
    )  # fmt: skip


@given(several(codes=2, count=2))
def test_a_merge_never_loses_a_finished_evaluation(pair):
    stored, new = pair
    result = merged(stored, new)
    for before in (*stored.evaluations, *new.evaluations):
        same = [each for each in result.evaluations if each.call == before.call and each.finished]
        assert not before.finished or any(each.ended >= before.ended for each in same)
    assert result.status == "done" or "done" not in (stored.status, new.status)


@given(several(codes=2, count=2))
def test_merging_again_changes_nothing(pair):
    stored, new = pair
    once = merged(stored, new)
    assert facts(merged(once, new)) == facts(merged(once, once)) == facts(once)


@given(several(count=3))
def test_the_order_of_two_independent_writers_does_not_matter(three):
    stored, first, second = three
    assert facts(merged(merged(stored, first), second)) == facts(merged(merged(stored, second), first))


def test_a_failed_attempt_to_evaluate_leaves_what_is_known_of_the_fit():
    fitted = one(10, record("knn", 9), warnings=["3 dead units"], cost=Cost(fit_seconds=5.0))
    # Its fit had to be made again, and failed: it has the provenance of the stored one, and nothing to say of the fit.
    attempt = replace(fitted, warnings=[], cost=Cost(), evaluations=[record("embedding", 19, "diverged")])
    found = merged(fitted, attempt)
    assert (found.warnings, found.cost.fit_seconds) == (["3 dead units"], 5.0)
    assert kept(found) == [("knn", "done"), ("embedding", "diverged")]
    assert fit_of(fitted, attempt) is fitted


@pytest.mark.parametrize(("kind", "seconds"), [("supervised", 100.0), ("unsupervised", 10.0)])
def test_the_fits_of_a_further_evaluation_replace_those_of_more_folds_by_no_less(kind, seconds):
    made = {"method": method(kind=kind)}
    ten_folds = one(10, record("knn", 9), cost=Cost(images_seen=1000, fit_seconds=100.0), **made)
    one_fold = one(20, record("embedding", 19), cost=Cost(images_seen=100, fit_seconds=10.0), **made)
    for found in (merged(ten_folds, one_fold), merged(one_fold, ten_folds)):
        assert (found.cost.fit_seconds, found.cost.evaluation_seconds) == (seconds, 28)
        assert kept(found) == [("knn", "done"), ("embedding", "done")]


def test_what_was_once_a_row_or_a_setting_of_a_sweep_stays_one():
    first, second = (sweep_record("AE", 1.0, [1.0, rate], (0,)) for rate in (2.0, 3.0))
    alone = one(10, record("knn", 9))
    setting = one(20, record("knn", 19), sweeps=[first], only_setting=True)
    other = one(30, record("knn", 29), sweeps=[second], only_setting=True)
    assert (merged(alone, setting).only_setting, merged(alone, setting).sweeps) == (False, [first])
    assert (merged(setting, other).only_setting, merged(setting, other).sweeps) == (True, [first, second])
    assert merged(other, setting).sweeps == [first, second]
    again = one(40, sweeps=[first], only_setting=True)
    assert merged(merged(setting, other), again).sweeps == [second, first]
    assert merged(setting, alone).only_setting is False
