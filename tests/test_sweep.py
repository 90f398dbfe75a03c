from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_grammar import VALUES

from reprbench.benchmark import BenchmarkRow, load_benchmark
from reprbench.errors import UserError
from reprbench.grammar import Alternatives, show_value
from reprbench.measurement import LARGEST
from reprbench.spec import Call, parse_call, parse_calls
from reprbench.sweep import MOST_SETTINGS, Distribution, Sweep, Tune, parse_method, parse_methods, parse_values

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
SWEPT = VALUES.filter(lambda value: not isinstance(value, float) or abs(value) <= LARGEST)
SEVERAL = st.lists(SWEPT, min_size=2, max_size=4, unique_by=show_value)


def tune(**values):
    return Tune.model_validate(values)


@given(st.dictionaries(NAMES, VALUES, max_size=2), st.dictionaries(NAMES, SEVERAL, min_size=1, max_size=2))
def test_a_sweep_is_read_as_it_is_shown(fixed, swept):
    call = Call(name="ae", parameters={name: value for name, value in fixed.items() if name not in swept})
    sweep = Sweep(call, Tune(parameters=swept))
    read = parse_methods(f"pca,{sweep},knn")
    assert [str(one) for one in read] == ["pca", str(sweep), "knn"]
    assert repr(read[1]) == repr(sweep)  # 1, 1.0 and True are equal


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_call_without_alternatives_is_what_it_was(parameters):
    call = Call(name="ae", parameters=parameters)
    assert repr(parse_method(str(call))) == repr(parse_call(str(call))) == repr(call)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("ae[lr=1e-3|1e-4]", [{"lr": 0.001}, {"lr": 0.0001}]),
        ("ae[w=2 | 'a|b' | [x,y] ]", [{"w": 2}, {"w": "a|b"}, {"w": ["x", "y"]}]),
        ("ae[a=1|2,k=5,b=x|y]", [{"a": a, "b": b} for a in (1, 2) for b in "xy"]),
        ("ae[a=null|true|false|1|1.0]", [{"a": value} for value in (None, True, False, 1, 1.0)]),
    ],
)
def test_alternatives_are_combined(text, settings):
    sweep = parse_method(text)
    assert isinstance(sweep, Sweep)
    assert repr(sweep.tune.settings("any")) == repr(settings)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ae[lr=1|]", "expected a value"),
        ("ae[lr=|1]", "expected a value"),
        ("ae[lr=1|1]", "expected at least two values, each once"),
        ("ae[w=[1|2]]", "expected ',' or ']'"),
        ("ae|pca", "expected ','"),
        (f"ae[a={'|'.join(map(str, range(40)))},b={'|'.join(map(str, range(40)))}]", "1600 settings; expected at most"),
    ],
)
def test_what_is_no_sweep_is_a_mistake_in_one_line(text, reason):
    with pytest.raises(UserError) as caught:
        parse_methods(text)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_only_methods_have_several_values():
    for read in (parse_call, parse_calls):
        with pytest.raises(UserError, match="several values, separated by '|', are for parameters of the methods"):
            read("knn[k=5|7]")
    assert parse_call("knn[k='5|7']").parameters == {"k": "5|7"}


def test_a_setting_may_have_several_values():
    assert parse_values("1|2", "lr=1|2") == Alternatives((1, 2))
    assert parse_values("1", "lr=1") == 1
    with pytest.raises(UserError, match=r"^--set 'ae.lr=1\|1': parameters.lr: expected at least two values"):
        parse_values("1|1", "ae.lr=1|1")


def test_a_setting_that_cannot_be_read_is_shown_with_where_it_stands():
    assert parse_values(" 1e-3 ", "lr=1e-3") == 0.001
    with pytest.raises(UserError, match=r"^'layers=a,b': cannot read 'a,b' at ',b': .*put quotes around"):
        parse_values("a,b", "layers=a,b")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"parameters": {}}, "at least 1 item"),
        ({"parameters": {"lr": [1]}}, "at least two values"),
        ({"parameters": {"lr": 3}}, "expected a list of values, or log(a, b)"),
        ({"parameters": {"lr": "normal(0, 1)"}, "tries": 3}, "expected a list of values, or log(a, b)"),
        ({"parameters": {"lr": "log(0, 1)"}, "tries": 3}, "log(0, 1): expected numbers above 0"),
        ({"parameters": {"lr": "uniform(2, 1)"}, "tries": 3}, "the smaller first"),
        ({"parameters": {"lr": [1, 1e200]}}, "1e+200 is too large to be swept"),
        ({"parameters": {"lr": "uniform(1, 1e200)"}, "tries": 3}, "the smaller first"),
        ({"parameters": {"lr": "uniform(1, 1e999)"}, "tries": 3}, "the smaller first"),
        ({"parameters": {"lr": "int(1, 2.5)"}, "tries": 3}, "expected whole numbers"),
        ({"parameters": {"lr": "log(1e-4, 1e-2)"}}, "tries says how many settings to draw"),
        ({"parameters": {"lr": [1, 2]}, "tries": 3}, "tries: 3; the values have only 2 combinations"),
        ({"parameters": {"lr": [1, 2]}, "tries": 1}, "tries: 1; expected at least 2 settings"),
        ({"parameters": {"lr": "log(1e-4, 1e-2)"}, "tries": 1}, "tries: 1; expected at least 2 settings"),
        (
            {"parameters": {"lr": "log(1e-4"}, "tries": 3},
            "'log(1e-4' ends at a comma: within braces of YAML",
        ),
        ({"parameters": {"lr": "log(1, 2)"}, "tries": MOST_SETTINGS + 1}, "expected at most 1000"),
        ({"parameters": {"lr": [1, 2]}, "trys": 2}, "unknown 'methods.0.tune.trys'. Did you mean 'tries'?"),
        ({"lr": [1, 2]}, "unknown 'methods.0.tune.lr'. Known: parameters, tries, by"),
    ],
)
def test_mistakes_in_a_file_are_one_line_each(values, reason, tmp_path):
    path = tmp_path / "mine.yaml"
    row = {"method": "ae", "tune": values}
    path.write_text(f"title: T\ndataset: digits\nbudget: {{epochs: 1}}\nmethods: [{row}]\n".replace("'", '"'))
    with pytest.raises(UserError) as caught:
        load_benchmark(path)
    lines = str(caught.value).splitlines()
    assert any(reason in line for line in lines), lines
    assert all(line.startswith(f"benchmark {path}: ") for line in lines)


def test_draws_depend_on_the_name_alone_and_differ():
    drawn = tune(parameters={"lr": "log(1e-4, 1e-2)", "width": "int(2, 4)", "tied": [True, False]}, tries=12)
    settings = drawn.settings("mine/ae")
    assert settings == drawn.settings("mine/ae") != drawn.settings("mine/dae")
    assert len({repr(setting) for setting in settings}) == 12
    for setting in settings:
        assert 1e-4 <= setting["lr"] <= 1e-2 and setting["lr"] == float(f"{setting['lr']:.3g}")
        assert type(setting["width"]) is int and 2 <= setting["width"] <= 4


def test_the_draws_of_today_stay():
    drawn = tune(parameters={"lr": "log(1e-4, 1e-2)", "width": "int(2, 400)", "p": "uniform(0, 1)"}, tries=2)
    assert drawn.settings("mine/ae") == [
        {"lr": 0.000172, "width": 256, "p": 0.869},
        {"lr": 0.00332, "width": 253, "p": 0.918},
    ]


def test_a_list_drawn_from_completely_gives_every_combination():
    values = {"a": [1, 2, 3], "b": ["x", "y"]}
    drawn = tune(parameters=values, tries=6).settings("any")
    assert sorted(map(repr, drawn)) == sorted(map(repr, tune(parameters=values).settings("any")))


def test_as_many_settings_as_there_are():
    assert sorted(one["n"] for one in tune(parameters={"n": "int(1, 3)"}, tries=9).settings("any")) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["log", "uniform"])
def test_a_distribution_is_uniform_on_its_scale(kind):
    class Middle:
        def random(self):
            return 0.5

    middle = Distribution(kind, 1.0, 100.0).draw(Middle())
    assert middle == {"log": 10.0, "uniform": 50.5}[kind]
    assert math.isclose(Distribution("int", 1, 4).draw(Middle()), 3)


def test_alternatives_in_a_rows_method_are_what_it_tunes():
    row = BenchmarkRow.model_validate({"method": "ae[width=3,lr=1|2]"})
    assert (str(row.method), row.tune.parameters, row.name) == ("ae[width=3]", {"lr": (1, 2)}, "ae[width=3,lr=1|2]")
    same = BenchmarkRow.model_validate({"method": "ae[width=3]", "tune": {"parameters": {"lr": [1, 2]}}})
    assert same == row
    assert BenchmarkRow.model_validate({"method": "ae[lr=1|2]", "label": "AE"}).name == "AE"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"method": "ae[lr=1|2]", "tune": {"parameters": {"width": [1, 2]}}}, "write them in tune"),
        ({"method": "ae[lr=1]", "tune": {"parameters": {"lr": [1, 2]}}}, "lr is given in method and in tune"),
        ({"method": "ae[lr=1|]"}, "expected a value"),
    ],
)
def test_what_is_tuned_twice_is_a_mistake(row, reason):
    with pytest.raises(ValueError, match=reason):
        BenchmarkRow.model_validate(row)
