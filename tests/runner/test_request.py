from __future__ import annotations

import pytest

from reprbench.benchmark import Benchmark, BenchmarkRow
from reprbench.errors import UserError
from reprbench.limit import Limit
from reprbench.registry import Entry
from reprbench.runner.describe import Description, Question
from reprbench.runner.request import Overrides, apply, settings_for
from reprbench.runner.specs import _check
from reprbench.spec import Budget, Call, parse_call, parse_calls


def benchmark() -> Benchmark:
    return Benchmark(
        name="mine",
        title="Mine",
        dataset=parse_call("digits"),
        protocols=(parse_call("linear-svm[layers=all]"),),
        methods=(
            BenchmarkRow(method=parse_call("ae[width=8]"), label="AE"),
            BenchmarkRow(method=parse_call("ae[width=4]"), label="AE small"),
            BenchmarkRow(method=parse_call("pca"), budget=Budget(images=5)),
        ),
        budget=Budget(epochs=3),
    )


def test_without_overrides_nothing_deviates():
    request = apply(benchmark(), Overrides())
    assert request.benchmark == benchmark()
    assert request.deviations == ((), (), ())


def test_what_the_command_line_says_deviates_and_holds_for_every_row():
    overrides = Overrides(
        dataset=Call(name="mnist"), epochs=9, limit=Limit.each(5), seeds=(1, 2), protocols=(Call(name="linear-svm"),)
    )
    request = apply(benchmark(), overrides)
    for row in request.deviations:
        assert [(one.kind, one.text) for one in row] == [
            ("dataset", "dataset mnist"),
            ("protocol", "protocol linear-svm"),
            ("budget", "budget 9 epochs"),
            ("limit", "limit 5"),
        ]
        assert all(one.from_benchmark for one in row)
    assert request.benchmark.seeds == (1, 2)
    assert all(row.budget is None for row in request.benchmark.methods)


def test_methods_choose_rows_by_call_or_by_name_and_add_new_ones():
    methods = tuple(parse_calls("ae,ae[width=4],dae"))
    chosen = apply(benchmark(), Overrides(methods=methods)).benchmark.methods
    assert [row.label for row in chosen] == ["AE", "AE small", None]
    only = apply(benchmark(), Overrides(methods=(parse_call("ae[width=4]"),))).benchmark.methods
    assert [row.label for row in only] == ["AE small"]
    labeled = apply(benchmark(), Overrides(methods=(parse_call("AE"),))).benchmark.methods
    assert [row.label for row in labeled] == ["AE"]


def test_settings_with_a_name_reach_the_dataset_and_the_protocol():
    settings = {"digits.a": 1, "linear-svm.grid": 1, "width": 2, "ae.lr": 3}
    request = apply(benchmark(), Overrides(settings=settings))
    assert request.benchmark.dataset == parse_call("digits[a=1]")
    assert request.benchmark.protocols == (parse_call("linear-svm[layers=all,grid=1]"),)
    assert request.settings == {"width": 2, "ae.lr": 3}
    assert [len(row) for row in request.deviations] == [2, 2, 2]


def test_a_setting_with_a_methods_name_wins_over_a_bare_one():
    assert settings_for("ae", {"width": 2, "ae.width": 3, "dae.width": 4}) == {"width": 3}
    assert settings_for("pca", {"width": 2, "ae.width": 3}) == {"width": 2}


def test_another_precision_deviates():
    request = apply(benchmark(), Overrides(precision="bf16"))
    assert [[one.kind for one in row] for row in request.deviations] == [["precision"]] * 3
    assert request.precision == "bf16"


def with_own_row(**own) -> Benchmark:
    """A benchmark whose second row has something of its own."""
    rows = (BenchmarkRow(method=parse_call("ae")), BenchmarkRow(method=parse_call("pca"), **own))
    return benchmark().model_copy(update={"methods": rows})


@pytest.mark.parametrize(
    ("epochs", "expected", "own"),
    [(3, [[], ["budget 3 epochs"]], None), (30, [["budget 30 epochs"], []], 30), (9, [["budget 9 epochs"]] * 2, None)],
)
def test_a_budget_deviates_from_that_of_the_row(epochs, expected, own):
    request = apply(with_own_row(budget=Budget(epochs=30)), Overrides(epochs=epochs))
    assert [[one.text for one in row] for row in request.deviations] == expected
    assert request.benchmark.methods[1].budget == (Budget(epochs=own) if own else None)
    assert request.benchmark.budget == Budget(epochs=epochs)


@pytest.mark.parametrize(
    ("protocol", "expected", "stays"),
    [
        ("linear-svm[layers=all]", [[], ["protocol linear-svm[layers=all]"]], False),
        ("knn", [["protocol knn"], []], True),
        ("code-stats", [["protocol code-stats"]] * 2, False),
    ],
)
def test_protocols_deviate_from_those_of_the_row(protocol, expected, stays):
    own = (parse_call("knn"),)
    request = apply(with_own_row(protocols=own), Overrides(protocols=(parse_call(protocol),)))
    assert [[one.text for one in row] for row in request.deviations] == expected
    assert request.benchmark.methods[1].protocols == (own if stays else None)


def test_settings_reach_the_protocols_of_a_row():
    settings = {"knn.k": 3, "linear-svm.grid": 1}
    request = apply(with_own_row(protocols=(parse_call("knn"),)), Overrides(settings=settings))
    assert request.benchmark.methods[1].protocols == (parse_call("knn[k=3]"),)
    assert request.benchmark.protocols == (parse_call("linear-svm[layers=all,grid=1]"),)
    assert request.settings == {}
    changes = [[one.text for one in row] for row in request.deviations]
    assert changes == [["protocol linear-svm[layers=all,grid=1]"], ["protocol knn[k=3]"]]


def test_settings_that_fit_nothing_and_wrong_parameters_come_together():
    method = Question(Entry("ae", "file", "a.py"))
    protocol = Question(Entry("knn", "file", "k.py", "protocol"))
    found = Description(mistakes=["method ae: lr: no number"], types={"width": "int"})
    with pytest.raises(UserError) as caught:
        _check(
            {"widht": 1, "dea.width": 1, "width": 2},
            [(method, found)],
            [(protocol, Description(problem="ImportError: no"))],
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[1] == "k.py: ImportError: no"
    assert "Did you mean 'width'?" in lines[2]
