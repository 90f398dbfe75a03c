from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reprbench.errors import UserError
from reprbench.spec import Budget, Call, check_name, parse_call, parse_calls

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    names.map("x".__add__),
)
# YAML reads a few bare words as something else; a user's call would quote them.
values = st.one_of(scalars, st.lists(scalars, max_size=3))


def test_a_bare_name_has_no_parameters():
    assert parse_call("ae") == Call(name="ae")


def test_parameters_are_yaml_values():
    call = parse_call("kmeans[n_centroids=1600, whiten=false,layers=[a,b],rate=1e-3,mode=none]")
    assert call.parameters == {
        "n_centroids": 1600, "whiten": False, "layers": ["a", "b"], "rate": 0.001, "mode": "none",
    }  # fmt: skip


def test_commas_inside_brackets_do_not_separate_calls():
    calls = parse_calls("ameae,dae[noise=0.3,corruption=mask],sparse-ae")
    assert [call.name for call in calls] == ["ameae", "dae", "sparse-ae"]


@given(names, st.dictionaries(names, values, max_size=3))
def test_what_a_call_prints_is_read_back(name, parameters):
    call = Call(name=name, parameters=parameters)
    assert parse_call(str(call)) == call


@pytest.mark.parametrize(
    "text", ["ae[", "ae]", "ae[width]", "ae[=3]", "ae[a=1,a=2]", "[x=1]", "", "a b", "../ae", "ae[x={]"]
)
def test_what_cannot_be_read_is_a_user_error(text):
    with pytest.raises(UserError):
        parse_call(text)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "a b", "<script>"])
def test_names_that_could_not_be_folders_are_refused(name):
    with pytest.raises(UserError, match="is no name"):
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
