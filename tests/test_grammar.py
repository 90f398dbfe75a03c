from __future__ import annotations

import math
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprbench.errors import UserError
from reprbench.grammar import (
    DEEPEST,
    LONGEST,
    LONGEST_NUMBER,
    Alternatives,
    brief,
    read_alternatives,
    read_call,
    read_calls,
    read_value,
    show_parameters,
    show_value,
)

TEXTS = st.one_of(
    st.text(),
    # What looks like something else, or like structure.
    st.text(alphabet=",[]=|\"'\\ \t\n-+.0123456789eE_:aN"),
    st.sampled_from(["true", "false", "null", "True", "yes", "no", "007", "1_0", "inf", "nan", "~", ".5", "1e-3", ""]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    TEXTS,
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("+2", 2), ("0", 0), ("-0", 0),
        ("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("-.5", -0.5), ("1.", 1.0), ("1.0", 1.0), ("1e+16", 1e16),
        ("5e-324", 5e-324), ("1e-999", 0.0),
        ("true", True), ("false", False), ("null", None),
        ("True", "True"), ("yes", "yes"), ("no", "no"), ("~", "~"), ("none", "none"), ("None", "None"),
        ("007", "007"), ("-01", "-01"), ("00.5", "00.5"), ("1_0", "1_0"), ("0x1f", "0x1f"), ("١", "١"), (".", "."),
        ("e5", "e5"), ("1e", "1e"), ("+", "+"), ("12:30", "12:30"), ("2020-13-45", "2020-13-45"),
        ("inf", "inf"), ("-inf", "-inf"), (".inf", ".inf"), ("nan", "nan"), (".nan", ".nan"), ("NaN", "NaN"),
        ("../data/x.npz", "../data/x.npz"), ("5x5", "5x5"), ("a: b", "a: b"), ("!!int x", "!!int x"), ("{", "{"),
        ("CIFAR-10 (JPEG)", "CIFAR-10 (JPEG)"), ("  a  b ", "a  b"), (r"C:\data", r"C:\data"), ("#", "#"),
        ('"a,b"', "a,b"), ("'a=b'", "a=b"), ('""', ""), ("''", ""), ('" x "', " x "), ('"2024"', "2024"),
        (r'"a\"b"', 'a"b'), (r"'a\'b'", "a'b"), ('"it\'s"', "it's"), (r'"a\\"', "a\\"), (r'"C:\data"', r"C:\data"),
        ('"\n"', "\n"),
        ("[]", []), ("[ ]", []), ("[[],[]]", [[], []]), ("[a, b, [c]]", ["a", "b", ["c"]]),
        ("[1,'2',2.0,]", [1, "2", 2.0]),
    ],
)  # fmt: skip
def test_values(text, value):
    read = read_value(text)
    assert (read, repr(read)) == (value, repr(value))  # 1, 1.0 and True are equal


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a,b", "a=b", "a|b", "1|2", "|", "a|", "[a|b]",
        "a]", "[", "[a", "[a]]", "[a b] c", "[,]", "[a,,b]", "[a][b]", "Bob's", '"a', "'a",
        '"a"b', 'a"b"', '"a""b"', "1e999", "-1e999", r'"\"',
    ],
)  # fmt: skip
def test_what_is_not_a_value_is_a_mistake_in_one_line(text):
    with pytest.raises(UserError) as caught:
        read_value(text)
    assert str(caught.value).startswith("cannot read ") and "\n" not in str(caught.value)


@given(VALUES)
def test_a_value_is_shown_as_it_is_read(value):
    read = read_value(show_value(value))
    assert repr(read) == repr(value)


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), VALUES), max_size=3))
def test_calls_in_a_list_are_read_as_they_are_shown(parameters):
    given_once = dict(parameters)
    calls = [("first", {}), ("second", given_once), ("third", given_once)]
    text = ", ".join(f"{name}[{show_parameters(inner)}]" for name, inner in calls)
    assert repr(read_calls(text)) == repr(calls)


@given(st.lists(VALUES, min_size=2, max_size=4))
def test_alternatives_are_read_as_they_are_shown(values):
    several = Alternatives(tuple(values))
    assert repr(read_alternatives(show_value(several))) == repr(several)


@given(VALUES)
def test_one_value_has_no_alternatives(value):
    assert repr(read_alternatives(show_value(value))) == repr(value)


@given(TEXTS)
def test_a_text_is_quoted_only_where_it_must_be(text):
    shown = show_value(text)
    try:
        alone = read_value(text)
    except UserError:
        alone = None
    assert (shown == text) == (alone == text)


@pytest.mark.parametrize("text", ["a", "../data/x", "x y", "λ 0", "a:b", "yes", "007", "2020-13-45"])
def test_plain_texts_are_shown_without_quotes(text):
    assert show_value(text) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"), (None, "null"), (1.0, "1.0"), (0.001, "0.001"), (1e-05, "1e-05"), (1e16, "1e+16"), (-2, "-2"),
        ("2024", '"2024"'), ("1e-3", '"1e-3"'), ("", '""'), (" x ", '" x "'), ("a,b", '"a,b"'), ("null", '"null"'),
        ("true", '"true"'), ('say "hi"', r'"say \"hi\""'), ("it's", '"it\'s"'), ([1, ["a", "b c"]], "[1,[a,b c]]"),
        ((0.5, "all"), "[0.5,all]"), (Path("data/x"), "data/x"), (math.inf, "inf"), ("1" * 400, f'"{"1" * 400}"'),
        ({"a": [1], "b": "x,y"}, '{a=[1],b="x,y"}'),
    ],
)  # fmt: skip
def test_how_values_are_shown(value, shown):
    assert show_value(value) == shown


def test_numpy_numbers_are_shown_as_numbers():
    np = pytest.importorskip("numpy")
    assert show_value([np.float64(0.1)]) == "[0.1]"


def test_quotes_protect_commas_brackets_and_equals():
    calls = read_calls("""npz[path="a,b",title='My [Birds], 2026'],  ae[note="x=1"],pca""")
    assert calls == [("npz", {"path": "a,b", "title": "My [Birds], 2026"}), ("ae", {"note": "x=1"}), ("pca", {})]


def test_empty_parts_are_dropped():
    assert read_calls(",ae,,pca[],") == [("ae", {}), ("pca", {})]
    assert read_calls(" ") == []
    assert read_call(" ae [ , a = 1 ,, b=2, ] ") == ("ae", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ae[a=1,a=2]", "'a' is given twice"),
        ("ae[width]", "expected width=value"),
        ("ae[=3]", "expected param=value"),
        ("ae[x=]", "expected a value"),
        ("ae[a b=1]", "'a b' cannot be a parameter"),
        ("ae[a=1", "expected ',' or ']'"),
        ("ae]", "expected the end"),
        ("ae[t=Bob's birds]", "a quote is not closed; put quotes around"),
        ("ae[t=x=y]", "at '=y]': expected ',' or ']'; put quotes around"),
        ("ae[t=1]pca", "at 'pca': expected the end"),
        ('"ae"', "expected a name"),
    ],
)
def test_a_mistake_in_a_call_says_where_and_what(text, reason):
    with pytest.raises(UserError) as caught:
        read_call(text)
    assert reason in str(caught.value)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=())),  # lone surrogates too
        st.text(alphabet="a,[]=\"'\\ 1.e-", max_size=40),
    )
)
def test_any_text_is_read_or_a_mistake_in_one_line(text):
    for read in (read_value, read_call, read_calls):
        try:
            read(text)
        except UserError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 400


def test_depth_length_and_digits_are_bounded():
    assert read_value("[" * DEEPEST + "]" * DEEPEST)
    assert read_value(str(2**63 - 1)) == 2**63 - 1
    assert read_value("." + "9" * (LONGEST_NUMBER - 1)) == 1.0
    assert len(read_value("x" * LONGEST)) == LONGEST
    for text in (
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "." + "9" * LONGEST_NUMBER,
        str(2**63),
        "x" * (LONGEST + 1),
    ):
        with pytest.raises(UserError, match="cannot read") as caught:
            read_value(text)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("part", ["[", '"', "'", "\\", "a,", "=", " ", "9", '"\\', "ae[a=1],"])
def test_the_longest_texts_are_read_or_refused_in_one_short_line(part):
    text = (part * LONGEST)[:LONGEST]
    for read in (read_value, read_calls):
        try:
            assert read(text) is not None
        except UserError as error:
            assert len(str(error)) < 250 and "\n" not in str(error)


def test_long_values_are_cut_in_messages():
    assert brief("x" * 78) == repr("x" * 78)
    assert brief("x" * 79) == "'" + "x" * 79 + "…"
    assert set(string.printable) >= set(brief("\x1b[31m\ud800")) and "\x1b" not in brief("\x1b[31m")
