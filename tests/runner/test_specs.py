"""From a request to the trials, with the classes described in another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reprbench.benchmark import Benchmark, BenchmarkRow, Reference
from reprbench.data import load_dataset
from reprbench.errors import UserError
from reprbench.registry import discover
from reprbench.runner.plan import TrialSpec
from reprbench.runner.request import Overrides, apply
from reprbench.runner.specs import make_specs
from reprbench.spec import Budget, parse_call

REFERENCE = Reference(value=90, citation="Somebody 2011")


def row(method: str, protocols: str = "", **values: Any) -> BenchmarkRow:
    own = tuple(map(parse_call, protocols.split())) or None
    return BenchmarkRow(method=parse_call(method), protocols=own, **values)


def specs(*rows: BenchmarkRow, protocols: str = "linear-svm", plugins=(), **settings: Any) -> list[TrialSpec]:
    benchmark = Benchmark(
        name="mine",
        title="Mine",
        dataset=parse_call("digits"),
        protocols=tuple(map(parse_call, protocols.split())),
        methods=rows,
        budget=Budget(epochs=1),
    )
    data = load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).limited(100)
    return make_specs(apply(benchmark, Overrides(settings=settings)), discover(plugins), data)


def test_two_ways_to_write_a_method_are_one_trial_under_the_first_name():
    found = specs(row("pca"), row("pca[n_components=64]"), row("raw-pixels", label="pixels"))
    assert [spec.label for spec in found] == ["pca", "pixels"]


def test_a_trial_knows_the_title_of_its_benchmark_and_the_heading_of_its_row():
    found = specs(row("pca", group="Controls"), row("ae"))
    assert [(spec.title, spec.group) for spec in found] == [("Mine", "Controls"), ("Mine", "")]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([row("pca", label="a"), row("pca", "knn", label="b")], "'a' and 'b'"),
        ([row("pca", label="a"), row("pca[n_components=64]")], r"'a' and 'pca\[n_components=64\]'"),
        ([row("pca"), row("pca[n_components=64]", "knn")], r"'pca' and 'pca\[n_components=64\]'"),
    ],
)
def test_rows_that_would_be_lost_are_a_mistake(rows, names):
    with pytest.raises(UserError, match=f"^the rows {names} are the same fit of pca.*; change the parameters"):
        specs(*rows)


def test_rows_of_a_method_that_cannot_be_imported_stay_apart(plugin):
    path = plugin("broken.py", '@register("broken")\nclass A(Flat): ...\nraise RuntimeError("no luck")\n')
    found = specs(row("broken[width=1]", label="a"), row("broken[width=2]", label="b"), plugins=[path])
    assert [(spec.label, spec.problem) for spec in found] == [(name, "RuntimeError: no luck") for name in "ab"]


@pytest.mark.parametrize(
    ("own", "table"),
    [
        ("linear-svm[grid=1]", None),
        ("linear-svm[grid=1,inner_folds=5]", None),
        ("linear-svm[layers=all]", "linear-svm[folds=none]"),
        ("knn", None),
    ],
)
def test_a_rows_own_protocol_is_in_its_own_table_if_the_benchmark_has_it(own, table):
    (spec,) = specs(row("pca", own), protocols="linear-svm[folds=none] linear-svm[grid=1]")
    (protocol,) = spec.protocols
    assert protocol.record.table == (parse_call(table) if table else None)


def test_a_parameter_set_for_a_row_with_a_label_or_a_reference_deviates():
    rows = [row("pca", reference=REFERENCE), row("ae[batch_size=8]", label="AE"), row("dae[width=2]")]
    found = specs(*rows, **{"pca.n_components": 2, "ae.batch_size": 8, "ae.width": 4, "dae.width": 4})
    deviations = [[(one.kind, one.text) for one in spec.deviations] for spec in found]
    assert deviations == [[("parameters", "n_components=2")], [("parameters", "width=4")], []]
