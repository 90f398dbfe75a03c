"""Sweeps of a request: their settings, what chooses one, and what each trial records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from jobs import protocol_spec

from reprbench.benchmark import Benchmark, BenchmarkRow, Reference, row_of
from reprbench.data import load_dataset
from reprbench.errors import UserError
from reprbench.grammar import Alternatives
from reprbench.registry import discover
from reprbench.runner.plan import plan, requested_anew
from reprbench.runner.request import Overrides, apply
from reprbench.runner.specs import make_specs
from reprbench.runner.sweeps import criterion, sweep_lines
from reprbench.spec import Budget, parse_call, parse_calls
from reprbench.sweep import parse_methods
from reprbench.trial import Trial

DIGITS = load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).limited(100)


def row(**values):
    return BenchmarkRow.model_validate(values)


def specs(rows, seeds=(0,), protocols="linear-svm", dataset="digits", plugins=(), **settings):
    rows = [row_of(one) for one in parse_methods(rows)] if isinstance(rows, str) else rows
    benchmark = Benchmark(
        name="mine", title="Mine", dataset=parse_call(dataset), protocols=tuple(parse_calls(protocols)),
        methods=tuple(rows), budget=Budget(epochs=1), seeds=seeds,
    )  # fmt: skip
    return make_specs(apply(benchmark, Overrides(settings=settings)), discover(plugins), DIGITS)


def test_each_setting_is_a_trial_that_records_what_was_asked():
    found = specs("pca[n_components=2|4,whiten=true|false],raw-pixels", seeds=(0, 1, 2))
    assert [spec.label for spec in found[::3]] == [
        "pca[n_components=2,whiten=true]",
        "pca[n_components=2,whiten=false]",
        "pca[n_components=4,whiten=true]",
        "pca[n_components=4,whiten=false]",
        "raw-pixels",
    ]
    assert [spec.only_setting for spec in found] == [True] * 12 + [False] * 3
    assert not found[-1].sweeps
    (sweep,) = found[0].sweeps
    assert (sweep.setting, sweep.tries) == ({"n_components": 2, "whiten": True}, 4)
    assert sweep.parameters == {"n_components": [2, 4], "whiten": [True, False]}
    assert (sweep.by, sweep.on, sweep.protocol) == (
        "inner accuracy",
        "training images",
        found[0].protocols[0].record.hash,
    )
    assert (sweep.chosen_on, sweep.reported_on) == ((0,), (1, 2))
    assert len({spec.sweeps[0].key for spec in found[:12]}) == 1
    assert len({spec.hash for spec in found}) == 15


@pytest.mark.parametrize(
    ("seeds", "parts"),
    [((5,), ((5,), (5,))), ((0, 1), ((0,), (1,))), ((0, 1, 2, 3, 4), ((0, 1), (2, 3, 4)))],
)
def test_the_first_half_of_the_seeds_chooses(seeds, parts):
    (sweep,) = specs("pca[n_components=2|4]", seeds=seeds)[0].sweeps
    assert (sweep.chosen_on, sweep.reported_on) == parts


def test_several_values_of_a_setting_sweep_the_methods_that_have_it():
    found = specs("pca[whiten=true],raw-pixels", n_components=Alternatives((2, 4)))
    assert [(spec.label, bool(spec.sweeps)) for spec in found] == [
        ("pca[whiten=true,n_components=2]", True),
        ("pca[whiten=true,n_components=4]", True),
        ("raw-pixels", False),
    ]
    assert found[0].sweeps[0].row == "pca[whiten=true,n_components=2|4]"


def test_a_setting_replaces_what_a_row_tunes():
    (one,) = specs("pca[n_components=2|4]", n_components=3)
    assert (one.label, one.sweeps, one.only_setting) == ("pca[n_components=3]", (), False)
    found = specs("pca[n_components=2|4,whiten=true|false]", n_components=3)
    assert [spec.sweeps[0].setting for spec in found] == [{"whiten": True}, {"whiten": False}]
    assert found[0].sweeps[0].tries == 2
    again = specs("pca[n_components=2|4]", n_components=Alternatives((5, 6, 7)))
    assert [spec.sweeps[0].setting for spec in again] == [{"n_components": n} for n in (5, 6, 7)]


def test_settings_that_are_the_same_fit_are_one():
    found = specs("ae[lr=1|1.0|2]")
    assert [spec.label for spec in found] == ["ae[lr=1]", "ae[lr=2]"]
    assert found[0].sweeps[0].tries == 2


def test_a_setting_may_be_a_row_of_its_own():
    for methods in ("pca[n_components=2],pca[n_components=2|4]", "pca[n_components=2|4],pca[n_components=2]"):
        found = {spec.label: spec for spec in specs(methods)}
        assert {label: (spec.only_setting, len(spec.sweeps)) for label, spec in found.items()} == {
            "pca[n_components=2]": (False, 1),
            "pca[n_components=4]": (True, 1),
        }
    labeled = specs([row(method="pca[n_components=2]", label="PCA"), row(method="pca[n_components=2|4]", label="Best")])
    assert [(spec.label, spec.only_setting) for spec in labeled] == [("PCA", False), ("Best[n_components=4]", True)]


def test_what_a_file_tunes_is_no_deviation_and_what_a_setting_changes_is_one():
    reference = Reference(value=90, citation="Somebody 2011")
    rows = [row(method="pca[n_components=2|4]", label="PCA", reference=reference)]
    assert [spec.deviations for spec in specs(rows)] == [(), ()]
    (first, _) = specs([row(method="pca", label="PCA")], n_components=Alternatives((2, 4)))
    assert [str(one) for one in first.deviations] == ["n_components=2"]
    assert first.label == "PCA[n_components=2]"
    assert first.sweeps[0].row == "PCA"


def test_random_settings_record_the_distribution():
    tune = {"parameters": {"lr": "log(1e-4, 1e-2)"}, "tries": 3}
    found = specs([row(method="ae", tune=tune)])
    (sweep,) = found[0].sweeps
    assert (sweep.tries, sweep.parameters) == (3, {"lr": {"kind": "log", "low": 1e-4, "high": 1e-2}})
    assert [spec.hash for spec in found] == [spec.hash for spec in specs([row(method="ae", tune=tune)])]


def test_mistakes_of_all_settings_are_reported_together():
    with pytest.raises(UserError) as caught:
        specs("ae[lr=-1|-2],pca[n_componets=2|4]")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "n_components" in lines[2]


def offered(text: str, headlines=("accuracy",), selects=()):
    return replace(protocol_spec(text), headlines=headlines, selects=selects)


SVM, KNN = offered("linear-svm", selects=("inner accuracy",)), offered("knn")
DEVELOPMENT = "digits[development=300]"


@pytest.mark.parametrize(
    ("by", "protocols", "dataset", "chosen"),
    [
        (None, (KNN, SVM), "digits", ("inner accuracy", SVM, False)),
        ("inner accuracy", (KNN, SVM), "digits", ("inner accuracy", SVM, False)),
        (None, (KNN, SVM), DEVELOPMENT, ("inner accuracy", SVM, False)),
        (None, (KNN,), DEVELOPMENT, ("accuracy", KNN, True)),
        ("accuracy", (SVM, KNN), DEVELOPMENT, ("accuracy", SVM, True)),
    ],
)
def test_a_setting_is_chosen_without_the_test_split(by, protocols, dataset, chosen):
    found = criterion("ae", by, "unsupervised", protocols, parse_call(dataset))
    assert (found.by, found.protocol, found.development) == chosen


NOTHING = "sweep of 'AE': nothing is measured without the test split, by which a setting could be chosen; test on .*"


@pytest.mark.parametrize(
    ("by", "kind", "protocols", "dataset", "message"),
    [
        (
            "accuracy", "unsupervised", (SVM,), "digits",
            "sweep of 'AE': 'accuracy' is not measured without the test split, by which a setting could be chosen; "
            "choose by inner accuracy, or test on development images, like --dataset 'digits[development=1000]'",
        ),
        (None, "unsupervised", (KNN,), "digits", NOTHING),
        (None, "supervised", (SVM,), "digits", NOTHING),
        (
            "PSNR", "unsupervised", (SVM,), DEVELOPMENT,
            "sweep of 'AE': 'PSNR' is no headline of its protocols; choose by inner accuracy or accuracy",
        ),
    ],
)  # fmt: skip
def test_the_test_split_chooses_nothing(by, kind, protocols, dataset, message):
    with pytest.raises(UserError) as caught:
        criterion("AE", by, kind, protocols, parse_call(dataset))
    assert re.fullmatch(message.replace("[", r"\["), str(caught.value))


def test_a_sweep_by_a_test_metric_is_refused_with_all_others():
    rows = [
        row(method="pca", label=label, tune={"parameters": {"n_components": [2, 4]}, "by": "accuracy"})
        for label in "ab"
    ]
    with pytest.raises(UserError) as caught:
        specs(rows)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["sweep of 'a'", "sweep of 'b'"]
    with pytest.raises(UserError, match="nothing is measured without the test split"):
        specs("pca[n_components=2|4]", protocols="linear-svm[costs=[1]]")


def test_a_protocol_has_one_value_for_each_parameter():
    with pytest.raises(UserError, match=r"^--set linear-svm.grid: only a method's parameter can have several values"):
        specs("pca", **{"linear-svm.grid": Alternatives((1, 2))})


def test_rows_are_selected_as_they_are_written():
    tuned = row(method="ae[lr=1|2]")
    benchmark = Benchmark(
        name="mine", title="Mine", dataset=parse_call("digits"), methods=(tuned, row(method="pca")),
        budget=Budget(epochs=1),
    )  # fmt: skip
    for text, rows in [("ae[lr=1|2]", (tuned,)), ("ae", (tuned,)), ("ae[lr=1]", (row(method="ae[lr=1]"),))]:
        assert apply(benchmark, Overrides(methods=tuple(parse_methods(text)))).benchmark.methods == rows


def fits(methods: str):
    """Return the specs without protocols, so that nothing is missing in a store."""
    return [replace(spec, protocols=()) for spec in specs(methods)]


def stored(spec) -> Trial:
    return Trial(
        benchmark=spec.benchmark, label=spec.label, method=spec.method, dataset=spec.dataset, budget=spec.budget,
        seed=spec.seed, identity=spec.identity(), hash=spec.hash, status="done", sweeps=list(spec.sweeps),
        only_setting=spec.only_setting, protocols=[], requested="1", title=spec.title, group=spec.group,
    )  # fmt: skip


def test_a_larger_sweep_takes_over_the_settings_of_a_smaller_one():
    small, large = (fits(f"pca[n_components={values}]") for values in ("2|4", "2|4|8"))
    there = [stored(one) for one in small]
    assert [planned.action for planned in plan(small, there)] == ["keep", "keep"]
    planned = plan(large, there)
    assert [(one.action, one.reason) for one in planned] == [("record", "recorded anew: sweeps")] * 2 + [("run", "new")]
    anew = requested_anew(large[0], there[0], "9")
    assert [sweep.tries for sweep in anew.sweeps] == [2, 3]
    assert [one.action for one in plan(large[:1], [anew])] == ["keep"]
    back = requested_anew(small[0], anew, "9")
    assert [sweep.tries for sweep in back.sweeps] == [3, 2]


def test_a_row_of_its_own_stays_one_when_it_is_swept():
    (alone,), (setting, _) = fits("pca[n_components=2]"), fits("pca[n_components=2|4]")
    both = requested_anew(setting, stored(alone), "9")
    assert (both.only_setting, len(both.sweeps)) == (False, 1)
    assert plan([alone], [both])[0].action == "keep"
    later = requested_anew(alone, stored(setting), "9")
    assert (later.only_setting, len(later.sweeps)) == (False, 1)


def test_the_plan_says_what_a_sweep_costs():
    lines = sweep_lines(specs("pca[n_components=2|4|8],raw-pixels,ae[lr=1|2]", seeds=(3, 4)))
    assert lines == [
        "sweep of pca[n_components=2|4|8]: 3 settings, 6 trials; one is chosen by inner accuracy, on seed 3, and "
        "reported on seed 4",
        "sweep of ae[lr=1|2]: 2 settings, 4 trials; one is chosen by inner accuracy, on seed 3, and reported on seed 4",
    ]
    assert sweep_lines(specs("pca")) == []
    assert sweep_lines(specs("pca[n_components=2|4]", dataset=DEVELOPMENT, protocols="knn")) == [
        "sweep of pca[n_components=2|4]: 2 settings, 2 trials; one is chosen by accuracy, on seed 0, which is "
        "reported too, on the same development images"
    ]
