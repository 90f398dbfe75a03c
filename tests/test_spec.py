from __future__ import annotations

import datetime
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from reprbench.errors import UserError
from reprbench.grammar import DEEPEST, LONGEST
from reprbench.spec import Budget, Call, CallField, check_name, mistakes, parse_call, parse_calls

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=8)
CALL = TypeAdapter(CallField)


def test_a_bare_name_has_no_parameters():
    assert parse_call("ae") == Call(name="ae")


def test_parameters_are_numbers_texts_and_lists():
    call = parse_call("kmeans[n_centroids=1600, whiten=false,layers=[a,b],rate=1e-3,mode=none]")
    assert call.parameters == {
        "n_centroids": 1600, "whiten": False, "layers": ["a", "b"], "rate": 0.001, "mode": "none",
    }  # fmt: skip


def test_commas_inside_brackets_do_not_separate_calls():
    calls = parse_calls("ameae,dae[noise=0.3,corruption=mask],sparse-ae")
    assert [call.name for call in calls] == ["ameae", "dae", "sparse-ae"]


@given(names, st.dictionaries(names, values, max_size=3))
def test_what_a_call_prints_is_read_back(name, parameters):
    call = CALL.validate_python({"name": name, "parameters": parameters})
    assert repr(parse_call(str(call))) == repr(call)  # 1, 1.0 and True are equal


def test_a_call_is_the_same_from_a_text_a_mapping_and_json():
    call = Call(name="ae", parameters={"lr": 0.001, "layers": ["a", "b"]})
    assert CALL.validate_python("ae[lr=1e-3,layers=[a,b]]") == call
    assert CALL.validate_python({"name": "ae", "parameters": call.parameters}) == call
    assert CALL.validate_json(CALL.dump_json(call)) == call
    # Trials are read and written by msgspec.
    assert msgspec.json.decode(msgspec.json.encode(call), type=Call) == call


def test_equal_calls_have_equal_hashes_whatever_the_order():
    one, two = parse_call("ae[width=8,lr=1]"), parse_call("ae[lr=1.0,width=8]")
    assert one == two and hash(one) == hash(two)
    assert len({one, two, parse_call("ae[width=8]"), parse_call("dae[width=8,lr=1]")}) == 3


def test_a_parameter_may_have_any_name():
    assert Call(name="ae").with_parameters(self=1, name=2).parameters == {"self": 1, "name": 2}


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"name": "../ae"}, "is not a valid name"),
        ({"name": "ae", "parameter": {}}, "parameter"),
        ({"name": "ae", "parameters": {"a=b": 1}}, "'a=b' cannot be a parameter"),
        ({"name": "ae", "parameters": {"": 1}}, "'' cannot be a parameter"),
        ({"name": "ae", "parameters": {"lr": float("inf")}}, "lr: expected a finite number, not inf"),
        ({"name": "ae", "parameters": {"lr": [1, [float("nan")]]}}, "lr: expected a finite number, not nan"),
        ({"name": "ae", "parameters": {"day": datetime.date(2026, 1, 2)}}, "day: expected a number, .* not datetime"),
        ({"name": "ae", "parameters": {"x": [{"y": {1}}]}}, "x: expected a number"),
        ({"name": "ae", "parameters": {"x": b"a"}}, "x: expected a number"),
        ({"name": "ae", "parameters": {"x": [2**63]}}, "x: 9223372036854775808 is larger than"),
        ({"name": "ae", "parameters": {"x": "\ud800"}}, "not Unicode"),
        ({"name": "ae", "parameters": {"x": "y" * LONGEST}}, "characters; expected at most"),
        (3, "expected name, name"),
        (None, "expected name, name"),
        (["ae"], "expected name, name"),
        ("ae[", "cannot read 'ae\\['"),
    ],
)
def test_what_is_not_a_call_is_a_mistake_in_one_line(written, reason):
    with pytest.raises(ValidationError) as caught:
        CALL.validate_python(written)
    (line,) = mistakes(caught.value, "file")
    assert re.search(reason, line) and len(line.splitlines()) == 1 and len(line) < 300


def test_lists_as_deep_as_a_text_may_write_them():
    nested: list = []
    for _ in range(DEEPEST - 1):
        nested = [nested]
    call = CALL.validate_python({"name": "ae", "parameters": {"x": nested}})
    assert parse_call(str(call)) == call
    with pytest.raises(ValidationError, match="more than 32 nested lists"):
        CALL.validate_python({"name": "ae", "parameters": {"x": [nested]}})


def test_mappings_stand_in_yaml_alone_and_are_shown():
    call = CALL.validate_python({"name": "ae", "parameters": {"x": {"a": 1, "b": ["c"]}}})
    assert str(call) == "ae[x={a=1,b=[c]}]"


@pytest.mark.parametrize(
    "text", ["ae[", "ae]", "ae[width]", "ae[=3]", "ae[a=1,a=2]", "[x=1]", "", "a b", "../ae", "ae[x=[}]"]
)
def test_what_cannot_be_read_is_a_user_error(text):
    with pytest.raises(UserError):
        parse_call(text)


def test_names_are_checked_in_lists_of_calls_too():
    with pytest.raises(UserError, match="'b/c' is not a valid name"):
        parse_calls("a,b/c")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "a b", "<script>"])
def test_names_that_could_not_be_folders_are_refused(name):
    with pytest.raises(UserError, match="is not a valid name"):
        check_name(name, "method")


def test_a_budget_limits_something():
    with pytest.raises(ValidationError, match="needs epochs, images or seconds"):
        Budget()


@pytest.mark.parametrize(
    ("budget", "count", "batch", "steps"),
    [
        (Budget(epochs=3), 100, 10, 30),
        (Budget(epochs=3), 105, 10, 30),
        (Budget(images=25), 100, 10, 3),
        (Budget(epochs=1, images=25), 100, 10, 3),
        (Budget(epochs=1, images=10**6), 100, 10, 10),
        (Budget(epochs=2), 4, 4, 2),
        (Budget(seconds=1.0), 100, 10, float("inf")),
    ],
)
def test_the_first_limit_counts(budget, count, batch, steps):
    assert budget.steps(count, batch) == steps


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(epochs=1), "1 epoch"),
        (Budget(epochs=2, seconds=1), "2 epochs, 1 second"),
        (Budget(images=1), "1 image"),
        (Budget(images=1_234_567), "1234567 images"),
        (Budget(images=1_234_568, seconds=0.5), "1234568 images, 0.5 seconds"),
        (Budget(seconds=3600), "3600 seconds"),
    ],
)
def test_a_budget_as_text(budget, text):
    assert str(budget) == text


@pytest.mark.parametrize("field", ["epochs", "images"])
@pytest.mark.parametrize("value", [True, "3", 3.0, 0, -1, 2**63, 10**400])
def test_counts_are_whole_numbers_that_a_machine_can_count(field, value):
    with pytest.raises(ValidationError):
        Budget(**{field: value})
    assert str(Budget(**{field: 2**63 - 1}))


@pytest.mark.parametrize("value", [True, "3", 0, -1.0, float("inf"), float("nan")])
def test_seconds_are_a_finite_number(value):
    with pytest.raises(ValidationError):
        Budget(seconds=value)
    assert Budget(seconds=3).seconds == 3.0


class Inner(BaseModel, extra="forbid"):
    depth: int = 0


class Form(BaseModel, extra="forbid"):
    title: str = ""
    width: int = 0
    inner: tuple[Inner, ...] | None = None
    call: Call | None = None


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ({"titel": ""}, "form: unknown 'titel'. Did you mean 'title'?"),
        ({"zzz": ""}, "form: unknown 'zzz'. Known: title, width, inner, call"),
        ({"inner": [{"dept": 1}]}, "form: unknown 'inner.0.dept'. Did you mean 'depth'?"),
        ({"inner": [{"zzz": 1}]}, "form: unknown 'inner.0.zzz'. Known: depth"),
        ({"call": {"name": "ae", "zzz": 1}}, "form: unknown 'call.zzz'. Known: name, parameters"),
        ({"title": 2024}, "form: title: Input should be a valid string, not 2024; put quotes around it"),
        ({"title": None}, "form: title: Input should be a valid string, not None"),
        ({"inner": {"a": 1}}, "form: inner: Input should be a list, not {'a': 1}"),
        (
            {"width": "x" * 1000},
            "form: width: Input should be a valid integer, unable to parse string as an integer, not '"
            + "x" * 79
            + "…",
        ),
        ({"y" * 1000: 1}, "form: unknown '" + "y" * 79 + "…. Known: title, width, inner, call"),
    ],
)
def test_a_mistake_names_its_place_what_was_given_and_what_could_stand_there(written, line):
    with pytest.raises(ValidationError) as caught:
        Form.model_validate(written)
    assert mistakes(caught.value, "form", Form.model_fields) == [line]


def test_a_place_with_control_characters_is_escaped():
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, int]).validate_python({"\x1b[31m": "x"})
    (line,) = mistakes(caught.value, "form")
    assert line.isprintable()
