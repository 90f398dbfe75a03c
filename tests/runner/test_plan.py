from __future__ import annotations

from dataclasses import replace as changed

import pytest
from jobs import protocol_spec
from msgspec.structs import replace

from reprbench import source
from reprbench.benchmark import Reference
from reprbench.measurement import Headline
from reprbench.registry import Entry
from reprbench.runner import plan as plan_module
from reprbench.runner.job import OtherData
from reprbench.runner.plan import TrialSpec, digest, plan, protocol_hash, requested_anew
from reprbench.spec import Budget, parse_call
from reprbench.store import Store
from reprbench.trial import Code, DataRecord, Deviation, Evaluation, MethodRecord, Trial, newest_of_each_row, to_json


def spec(**changes) -> TrialSpec:
    method = MethodRecord(call=parse_call("ae"), parameters={"width": 8}, origin="here", code=Code(source="s1"))
    data = DataRecord(
        call=parse_call("digits"), title="Digits", digest="d1", shape=(1, 8, 8), unlabeled=9, train=9, test=4,
        classes=2, folds=2,
    )  # fmt: skip
    method = replace(method, **changes.pop("method", {}))
    values = {
        "benchmark": "mine",
        "label": "ae",
        "entry": Entry("ae", "file", "ae.py"),
        "method": method,
        "identifying": method.parameters,
        "dataset": replace(data, **changes.pop("dataset", {})),
        "dataset_entry": Entry("digits", "entry point", "somewhere:digits", "dataset"),
        "budget": Budget(epochs=1),
        "seed": 0,
        "protocols": (protocol_spec("linear-svm"),),
    }
    return TrialSpec(**{**values, **changes})


def stored(spec: TrialSpec, status: str = "done", protocols=None, ended: str = "1") -> Trial:
    evaluations = [
        Evaluation(
            call=one.record.call, code=one.code, parameters=dict(one.parameters), hash=one.record.hash, seconds=1,
            headlines=[Headline("accuracy")], measurements=[],
        )
        for one in (spec.protocols if protocols is None else protocols)
    ]  # fmt: skip
    return Trial(
        benchmark=spec.benchmark, label=spec.label, method=spec.method, dataset=spec.dataset, budget=spec.budget,
        precision=spec.precision, seed=spec.seed, identity=spec.identity(), hash=spec.hash, status=status,
        evaluations=evaluations, provenance={"ended": ended}, protocols=[one.record for one in spec.protocols],
        reference=spec.reference, deviations=list(spec.deviations), title=spec.title, group=spec.group,
    )  # fmt: skip


def decide(asked: TrialSpec, *there: Trial) -> tuple[str, str]:
    (planned,) = plan([asked], there)
    return planned.action, planned.reason


def test_what_is_not_there_is_new():
    assert decide(spec()) == ("run", "new")
    assert decide(spec(), stored(spec(seed=1)), stored(spec(benchmark="other"))) == ("run", "new")


def test_what_is_there_is_kept():
    assert decide(spec(), stored(spec())) == ("keep", "already there")


@pytest.mark.parametrize("status", ["failed", "timeout", "interrupted", "diverged"])
def test_what_failed_runs_again(status):
    assert decide(spec(), stored(spec(), status)) == ("run", f"failed before ({status})")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": {"code": Code(source="s2")}}, "method changed"),
        ({"method": {"code": Code(version=1)}}, "method changed"),
        ({"method": {"code": Code(source="s1", bases=(("AE", 2),))}}, "method changed"),
        ({"method": {"parameters": {"width": 9}}}, "parameters changed"),
        ({"method": {"code": Code(source="s2"), "parameters": {"width": 9}}}, "method, parameters changed"),
    ],
)
def test_what_changed_is_named(change, reason):
    assert decide(spec(**change), stored(spec())) == ("run", reason)


@pytest.mark.parametrize(
    "change",
    [{"budget": Budget(epochs=2)}, {"precision": "bf16"}, {"dataset": {"digest": "d2"}}, {"seed": 3}, {"label": "b"}],
)
def test_another_budget_precision_dataset_or_seed_is_another_row(change):
    other = spec(**change)
    assert other.row != spec().row
    expected = ("run", "new") if other.hash != spec().hash else ("record", "recorded anew: label")
    assert decide(other, stored(spec())) == expected


def test_what_went_through_the_store_is_compared_like_what_did_not(tmp_path):
    other = stored(spec(method={"parameters": {"width": 9}}))
    Store(tmp_path).write(other, {})
    assert decide(spec(), *Store(tmp_path).read()[0]) == ("run", "parameters changed")


def test_the_last_trial_of_a_row_says_what_changed():
    old = stored(spec(method={"parameters": {"width": 9}}), ended="1")
    new = stored(spec(method={"code": Code(source="s2")}), ended="2")
    assert decide(spec(), old, new) == decide(spec(), new, old) == ("run", "method changed")


def test_files_are_identified_by_content_and_recorded_as_named():
    one, other = ({"method": {"parameters": {"w": name}}, "identifying": {"w": {"file": "f1"}}} for name in "ab")
    assert spec(**one).hash == spec(**other).hash
    assert spec(**{**one, "identifying": {"w": {"file": "f2"}}}).hash != spec(**one).hash


def test_raised_numerics_run_everything_again(monkeypatch):
    there = stored(spec())
    assert spec().identity()["numerics"] == source.NUMERICS
    monkeypatch.setattr(plan_module, "NUMERICS", source.NUMERICS + 1)
    assert decide(spec(), there) == ("run", "reprbench changed")


def test_the_numerics_are_part_of_an_evaluations_identity(monkeypatch):
    before = protocol_hash("knn", Code(version=1), {"k": 1})
    monkeypatch.setattr(plan_module, "NUMERICS", source.NUMERICS + 1)
    assert protocol_hash("knn", Code(version=1), {"k": 1}) != before


def test_other_datasets_are_part_of_an_evaluations_identity_by_content():
    def hashed(*digests: str, call: str = "mnist") -> str:
        others = [OtherData(parse_call(call), Entry("mnist", "entry point", "a:b", "dataset"), one) for one in digests]
        return protocol_hash("transfer", Code(version=1), {"k": 1}, others)

    assert hashed("a") != hashed("b") != hashed("b", "a") != hashed("a", "b")
    assert hashed("a") == hashed("a", call="mnist[path=elsewhere]")
    # Evaluations without any keep the identity that they had before there were some.
    assert hashed() == digest(
        {"name": "transfer", "code": {**to_json(Code(version=1))}, "parameters": {"k": 1}, "numerics": source.NUMERICS}
    )


def test_another_folder_or_origin_is_not_another_trial():
    moved = spec(
        dataset={"call": parse_call("digits[x=1]"), "title": "D"},
        method={"origin": "there", "call": parse_call("ae[width=8]")},
    )
    assert moved.hash == spec().hash


def test_a_changed_protocol_is_evaluated_without_fitting():
    other = protocol_spec("linear-svm[layers=all]")
    (planned,) = plan([spec(protocols=(*spec().protocols, other))], [stored(spec())])
    assert (planned.action, planned.reason, planned.missing) == ("evaluate", "protocol changed", (other,))


@pytest.mark.parametrize("status", ["failed", "timeout", "interrupted", "diverged", "out-of-memory"])
def test_an_evaluation_that_failed_is_made_again_without_fitting(status):
    svm, knn = protocol_spec("linear-svm"), protocol_spec("knn")
    there = stored(spec(protocols=(svm, knn)))
    there.evaluations[1] = replace(there.evaluations[1], status=status, reason="why", headlines=[])
    (planned,) = plan([spec(protocols=(svm, knn))], [there])
    assert (planned.action, planned.reason, planned.missing) == ("evaluate", f"failed before ({status})", (knn,))
    # Nobody asks for it.
    assert decide(spec(protocols=(svm,)), there)[0] == "keep"


def test_an_evaluation_that_was_skipped_is_not_made_again():
    there = stored(spec())
    there.evaluations[0] = replace(there.evaluations[0], status="skipped", reason="needs a decoder")
    assert decide(spec(), there) == ("keep", "already there")


def test_a_raised_version_is_a_changed_protocol():
    there = stored(spec())
    assert decide(spec(protocols=(protocol_spec("linear-svm", 2),)), there) == ("evaluate", "protocol changed")


def test_a_protocol_of_another_name_is_new():
    assert decide(spec(), stored(spec(), protocols=())) == ("evaluate", "protocol new")


def test_an_identity_of_schema_1_names_what_changed():
    there = stored(spec())
    old = {name: value for name, value in there.identity.items() if name not in ("code", "precision", "numerics")}
    there = replace(there, identity={**old, "source": "s0"}, hash="0" * 64)
    assert decide(spec(), there) == ("run", "method changed")


def test_the_identity_is_canonical():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_where_a_row_stands_is_not_part_of_its_identity():
    spec_ = spec()
    (protocol,) = spec_.protocols
    moved = changed(protocol, record=replace(protocol.record, table=parse_call("linear-svm")))
    assert decide(spec(protocols=(moved,)), stored(spec_)) == ("record", "recorded anew: protocols")


REFERENCE = Reference(value=91, citation="Somebody 2011")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"label": "b"}, "label"),
        ({"reference": REFERENCE}, "reference"),
        ({"deviations": (Deviation("data", "other files"),)}, "deviations"),
        ({"method": {"call": parse_call("ae[width=8]")}}, "method"),
        ({"method": {"origin": "there"}}, "method"),
        ({"dataset": {"title": "D"}}, "dataset"),
        ({"title": "A benchmark", "group": "Controls"}, "title, group"),
        ({"label": "b", "reference": REFERENCE}, "label, reference"),
    ],
)
def test_what_is_requested_differently_is_recorded_anew(change, what, tmp_path):
    asked = spec(**change)
    assert decide(asked, stored(spec())) == ("record", f"recorded anew: {what}")
    assert decide(spec(), stored(asked)) == ("record", f"recorded anew: {what}")
    Store(tmp_path).write(stored(asked), {})
    assert decide(asked, *Store(tmp_path).read()[0]) == ("keep", "already there")


@pytest.mark.parametrize("later", [spec(method={"parameters": {"width": 9}}), spec(method={"code": Code(version=7)})])
def test_a_trial_that_is_not_the_last_of_its_row_is_recorded_anew(later):
    first, second = stored(spec(), ended="1"), stored(later, "failed", ended="2")
    assert decide(spec(), first, second) == ("record", "recorded anew: its row has a later trial")
    again = replace(first, requested="3")
    assert again.order == "3"
    assert decide(spec(), again, second) == ("keep", "already there")
    assert newest_of_each_row([first, second]) == [second]
    assert newest_of_each_row([again, second]) == [again]


def test_evaluations_that_are_kept_stay_recorded():
    svm, knn = protocol_spec("linear-svm"), protocol_spec("knn")
    both = stored(spec(protocols=(knn, svm)))
    assert requested_anew(spec(protocols=(svm,)), both, "9").protocols == [svm.record, knn.record]
    assert decide(spec(protocols=(svm,)), both) == ("keep", "already there")
    # Evaluated earlier, but lost from the record.
    assert decide(spec(protocols=(svm, knn)), replace(both, protocols=[svm.record]))[0] == "record"
    without = replace(both, evaluations=both.evaluations[1:])
    assert requested_anew(spec(protocols=(svm,)), without, "9").protocols == [svm.record]
