from __future__ import annotations

import pytest
from msgspec.structs import replace

from reprbench.protocols.base import make_protocols
from reprbench.registry import Entry
from reprbench.runner.plan import TrialSpec, digest, plan
from reprbench.spec import Budget, parse_call
from reprbench.trial import DataRecord, Evaluation, MethodRecord, Trial


def spec(**changes) -> TrialSpec:
    method = MethodRecord(name="ae", call="ae", parameters={"width": 8}, origin="here", source="s1")
    data = DataRecord(
        call="digits", title="Digits", digest="d1", shape=(1, 8, 8), unlabeled=9, train=9, test=4, classes=2, folds=2
    )
    values = {
        "benchmark": "mine",
        "label": "ae",
        "entry": Entry("ae", "file", "ae.py"),
        "method": replace(method, **changes.pop("method", {})),
        "dataset": replace(data, **changes.pop("dataset", {})),
        "budget": Budget(epochs=1),
        "seed": 0,
        "protocols": tuple(make_protocols([parse_call("linear-svm")])),
    }
    return TrialSpec(**{**values, **changes})


def stored(spec: TrialSpec, status: str = "done", protocols=None) -> Trial:
    evaluations = [
        Evaluation(
            name=p.name, version=p.version, parameters=p.model_dump(mode="json"), text=str(p), headline="accuracy",
            hash=digest(p.identity()), seconds=1, measurements=[],
        )
        for p in (spec.protocols if protocols is None else protocols)
    ]  # fmt: skip
    return Trial(
        benchmark=spec.benchmark, label=spec.label, method=spec.method, dataset=spec.dataset, budget=spec.budget,
        seed=spec.seed, identity=spec.identity(), hash=spec.hash, status=status, evaluations=evaluations,
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
        ({"method": {"source": "s2"}}, "method changed"),
        ({"dataset": {"digest": "d2"}}, "data changed"),
        ({"budget": Budget(epochs=2)}, "budget changed"),
        ({"method": {"parameters": {"width": 9}}}, "parameters changed"),
        ({"method": {"source": "s2", "parameters": {"width": 9}}}, "method, parameters changed"),
    ],
)
def test_what_changed_is_named(change, reason):
    assert decide(spec(**change), stored(spec())) == ("run", reason)


def test_another_folder_or_origin_is_not_another_trial():
    moved = spec(dataset={"call": "digits[x=1]", "title": "D"}, method={"origin": "there", "call": "ae[width=8]"})
    assert moved.hash == spec().hash


def test_a_changed_protocol_is_evaluated_without_fitting():
    other = tuple(make_protocols([parse_call("linear-svm[layers=all]")]))
    (planned,) = plan([spec(protocols=(*spec().protocols, *other))], [stored(spec())])
    assert (planned.action, planned.reason, planned.missing) == ("evaluate", "protocol changed", other)


def test_a_raised_version_is_a_changed_protocol(monkeypatch):
    there = stored(spec())
    monkeypatch.setattr(type(spec().protocols[0]), "version", 99)
    assert decide(spec(), there) == ("evaluate", "protocol changed")


def test_a_protocol_of_another_name_is_new():
    assert decide(spec(), stored(spec(), protocols=())) == ("evaluate", "protocol new")


def test_the_identity_is_canonical():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
