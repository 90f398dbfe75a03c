from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from pairs import FOLDS, NOISE, STL10, compared, ended, missing, row, verdicts, write_text
from trials import evaluation, method, protocol, trial

from reprbench.compare.judge import CompareSettings, compare
from reprbench.compare.match import Selection
from reprbench.compare.text import as_terminal
from reprbench.errors import UserError
from reprbench.measurement import Headline, Measurement
from reprbench.report.table import make_tables
from reprbench.spec import Budget, Call
from reprbench.store import Store
from reprbench.trial import Code, ProtocolRecord, to_json
from reprbench.trial_file import trial_text


def test_rows_that_only_one_store_has_are_listed_and_not_worse(tmp_path):
    both = row(FOLDS, "both")
    report = compared(tmp_path, [both, row(FOLDS, "old")], [both, row(FOLDS, "young"), row(FOLDS, "both", seed=1)])
    assert report.status == 0
    assert [found.label for found in report.only_base] == ["old"]
    assert {(found.label, found.seed) for found in report.only_new} == {("young", 0), ("both", 1)}
    text = as_terminal(report)
    assert "only in BASE, not compared (1): mine: old (seed 0)" in text
    assert "only in NEW, not compared (2)" in text


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"budget": Budget(epochs=2)}, {"dataset": replace(STL10, digest="other")},
     {"benchmark": "another"}, {"label": "other"}, {"precision": "bf16"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_rows_that_differ_in_what_identifies_them_are_not_compared(tmp_path, change):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS, **{"label": "ae", **change})])
    assert (report.rows, report.status) == ((), 3)


def test_an_edited_row_with_a_label_supersedes_what_it_was(tmp_path):
    old = row(FOLDS, "mine", method=method("pca[n_components=32]"), provenance=ended(1))
    new = row(FOLDS - 20 + NOISE, "mine", method=method("pca[n_components=2]"), provenance=ended(2))
    report = compared(tmp_path, [old], [old, new])
    assert (verdicts(report), report.status) == (["worse"], 1)
    assert report.rows[0].notes == ("its parameters changed: pca[n_components=32] → pca[n_components=2]",)
    assert (report.only_base, report.only_new) == ((), ())
    assert verdicts(compared(tmp_path / "back", [old, new], [old])) == ["better"]


def test_two_budgets_of_a_method_are_two_rows(tmp_path):
    def rows(short, long):
        return [row(values, budget=Budget(epochs=epochs)) for epochs, values in ((1, short), (8, long))]

    report = compared(tmp_path, rows(FOLDS, FOLDS + 20), rows(FOLDS, FOLDS + 11))
    assert [(c.row.budget.epochs, c.verdict) for c in report.rows] == [(8, "worse"), (1, "same")]


@pytest.mark.parametrize("day", [1, 2])
def test_of_older_and_newer_trials_of_a_row_the_newer_counts(tmp_path, day):
    first = row(FOLDS - 30, provenance=ended(day))
    second = row(FOLDS, provenance=ended(3 - day), warnings=["another folder"])
    report = compared(tmp_path, [row(FOLDS)], [first, second])
    assert verdicts(report) == ["same" if day == 1 else "worse"]


def test_of_trials_that_ended_at_the_same_time_the_later_in_order_counts(tmp_path):
    trials = [replace(row(FOLDS - 30 * number), hash=letter * 64) for number, letter in enumerate("ab")]
    assert verdicts(compared(tmp_path / "1", [row(FOLDS)], trials)) == ["worse"]
    swapped = [replace(one, hash=letter * 64) for one, letter in zip(trials, "ba", strict=True)]
    assert verdicts(compared(tmp_path / "2", [row(FOLDS)], swapped)) == ["same"]


def test_a_superseded_trial_matches_nothing(tmp_path):
    old = row(FOLDS, provenance=ended(1), protocols=["linear-svm", "knn"],
              evaluations=[evaluation(list(FOLDS)), evaluation(list(FOLDS), "knn")])  # fmt: skip
    new = row(FOLDS, provenance=ended(2))
    assert len(compared(tmp_path / "both", [old], [old]).rows) == 2
    # A protocol that only the older trial has is gone with it, on either side.
    report = compared(tmp_path / "new", [old], [old, new])
    assert [(str(c.protocol), c.verdict) for c in report.rows] == [("knn", "worse"), ("linear-svm", "same")]
    assert report.rows[0].notes == ("not evaluated in NEW",)
    report = compared(tmp_path / "base", [old, new], [old])
    assert [(str(c.protocol), c.verdict) for c in report.rows] == [("linear-svm", "same")]


def test_a_row_whose_newest_trial_failed_is_worse_although_an_older_one_is_there(tmp_path):
    old, failed = row(FOLDS, provenance=ended(1)), missing(provenance=ended(2))
    report = compared(tmp_path, [old], [old, failed])
    assert (verdicts(report), report.status) == (["worse"], 1)
    assert report.rows[0].notes == ("failed: RuntimeError: no luck",)


def test_over_seeds_the_newest_trial_of_each_seed_counts(tmp_path):
    old = [row(FOLDS, seed=seed, provenance=ended(1)) for seed in (0, 1)]
    new = [row(FOLDS - 20 + NOISE, seed=seed, provenance=ended(2)) for seed in (1, 0)]
    report = compared(tmp_path, old, [*old, *new], ignore_seeds=True)
    assert [(c.row.seed, c.seeds, c.verdict) for c in report.rows] == [(None, ((0, 1), (0, 1)), "worse")]


def test_protocols_are_matched_by_their_call_and_not_their_hash(tmp_path):
    def store(parameters, digest):
        call = Call(name="knn", parameters=parameters)
        return [row([], protocols=[ProtocolRecord(call, digest)],
                    evaluations=[evaluation([50.0], call=call, hash=digest)])]  # fmt: skip

    report = compared(tmp_path / "same", store({"k": 3, "p": 2}, "a"), store({"p": 2, "k": 3}, "b"))
    assert verdicts(report) == ["same"]
    report = compared(tmp_path / "other", store({"k": 3}, "a"), store({"k": 4}, "a"))
    assert report.rows[0].notes == ("not evaluated in NEW",)


def test_an_evaluation_of_another_hash_is_not_the_protocols(tmp_path):
    stale = row([], protocols=[replace(protocol(), hash="new")], evaluations=[evaluation(list(FOLDS))])
    assert compared(tmp_path, [row(FOLDS)], [stale]).rows[0].notes == (
        "not evaluated: the trial has no result of this protocol",
    )


def test_a_protocol_that_is_listed_twice_is_compared_once(tmp_path):
    twice = row(FOLDS, protocols=[protocol(), protocol(table="knn")])
    assert len(compared(tmp_path, [twice], [twice]).rows) == 1


def test_coordinates_are_compared_one_by_one(tmp_path):
    def curve(*values):
        measurements = [
            Measurement(metric="accuracy", value=value + fold, unit="%", better="higher",
             at={"fold": fold, "noise": noise})
            for noise, value in enumerate(values) for fold in range(3)
        ]  # fmt: skip
        return [row([], evaluations=[replace(evaluation([]), measurements=measurements)])]

    report = compared(tmp_path, curve(50.0, 60.0), curve(50.0, 59.0))
    assert [(c.at, c.difference, c.verdict) for c in report.rows] == [
        ({"noise": 1}, -1, "worse"),
        ({"noise": 0}, 0, "same"),
    ]


def test_coordinates_of_values_without_a_fold_are_compared_one_by_one(tmp_path):
    def layers(*values):
        measurements = [Measurement("SSIM", value, "", "higher", {"layer": n}) for n, value in enumerate(values)]
        return [row([], evaluations=[evaluation([], headline="SSIM", measurements=measurements)])]

    report = compared(tmp_path, layers(0.9, 0.5), layers(0.1, 0.5))
    assert [(c.at, c.base, c.new, c.verdict) for c in report.rows] == [
        ({"layer": 0}, 0.9, 0.1, "worse"),
        ({"layer": 1}, 0.5, 0.5, "same"),
    ]


def test_several_values_of_one_fold_are_averaged_as_in_tables(tmp_path):
    def store(*values):
        measurements = [Measurement("accuracy", value, "%", "higher", {"fold": fold}) for fold, value in values]
        return [row([], evaluations=[evaluation([], measurements=measurements)])]

    base, new = store((0, 50.0), (0, 60.0), (1, 70.0)), store((0, 52.0), (0, 62.0), (1, 72.0))
    (found,) = compared(tmp_path, base, new).rows
    assert (found.base, found.new, found.folds) == (62.5, 64.5, 2)
    ((table,), (other,)) = make_tables(base), make_tables(new)
    assert (table.rows[0].mean, other.rows[0].mean) == (found.base, found.new)


def test_every_headline_of_a_protocol_is_compared(tmp_path):
    headlines = [Headline("PSNR"), Headline("MSE", {"level": 1})]

    def store(shift):
        measurements = [
            Measurement("PSNR", 20.0, "dB", "higher"),
            *(Measurement("MSE", level + shift, "", "lower", {"level": level}) for level in (0, 1)),
        ]
        return [row([], evaluations=[evaluation([], headlines=headlines, measurements=measurements)])]

    report = compared(tmp_path, store(0.0), store(0.5))
    assert [(c.metric, c.at, c.verdict) for c in report.rows] == [("MSE", {"level": 1}, "worse"), ("PSNR", {}, "same")]


def test_the_headline_is_compared_unless_something_else_is_selected(tmp_path):
    def extended(shift):
        found = evaluation(list(FOLDS))
        found.measurements += [Measurement(metric="speed", value=5.0 + shift, unit="", better="higher", at={})]
        found.measurements += [Measurement(metric="C", value=5.0 + shift, unit="", better="neither", at={})]
        return [row([], evaluations=[found])]

    stores = extended(0), extended(-1)
    assert {c.metric for c in compared(tmp_path / "1", *stores).rows} == {"accuracy"}
    every = compared(tmp_path / "2", *stores, selection=Selection(every=True))
    assert {c.metric: c.verdict for c in every.rows} == {"accuracy": "same", "speed": "worse"}
    named = compared(tmp_path / "3", *stores, selection=Selection(("speed", "C")))
    assert {c.metric: c.verdict for c in named.rows} == {"speed": "worse", "C": "not judged"}
    with pytest.raises(UserError, match="'spede'.* Did you mean 'speed'"):
        compared(tmp_path / "4", *stores, selection=Selection(("spede",)))
    with pytest.raises(UserError, match="'acuracy'.* Did you mean 'accuracy'"):
        compared(tmp_path / "5", *stores, tolerances={"acuracy": 1.0})


@pytest.mark.parametrize(("shift", "verdict"), [(-40, "worse"), (0, "same"), (5, "better")])
def test_trials_of_schema_1_are_compared_with_those_of_schema_2(tmp_path, shift, verdict):
    write_text(tmp_path / "1/mine/ae/0-a", json.dumps(SCHEMA_1))
    recent = row([90.0 + shift, 91.0 + shift], method=method(code=Code(version=1)), dataset=DIGITS)
    write_text(tmp_path / "2/mine/ae/0-b", trial_text(recent))
    report = compare(Store(tmp_path / "1"), Store(tmp_path / "2"), CompareSettings(), [])
    assert [(c.base, c.new, c.verdict, c.notes) for c in report.rows] == [(90.5, 90.5 + shift, verdict, ())]
    opposite = compare(Store(tmp_path / "2"), Store(tmp_path / "1"), CompareSettings(), [])
    assert [(c.difference, c.folds) for c in opposite.rows] == [(-shift, 2)]


DIGITS = trial().dataset
SCHEMA_1 = {
    "schema_version": 1,
    "benchmark": "mine",
    "label": "ae",
    "method": {"name": "ae", "call": "ae", "parameters": {}, "origin": "test", "source": "s"},
    "dataset": {**to_json(DIGITS), "call": "digits"},
    "budget": {"epochs": 1},
    "seed": 0,
    "identity": {},
    "hash": "a" * 64,
    "status": "done",
    "protocols": ["linear-svm"],
    "evaluations": [
        {
            "name": "linear-svm",
            "version": 1,
            "parameters": {},
            "text": "linear-svm",
            "headline": "accuracy",
            "hash": "e" * 64,
            "seconds": 1.0,
            "measurements": [
                {"metric": "accuracy", "value": 90.0 + fold, "unit": "%", "better": "higher", "at": {"fold": fold}}
                for fold in (0, 1)
            ],
        }
    ],
}
