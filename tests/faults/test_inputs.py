"""What users write is read, or refused in one line of bounded length: names, values, files and options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reprbench.cli.check
import reprbench.runner.describe
from reprbench.benchmark import load_benchmark
from reprbench.errors import UserError
from reprbench.grammar import read_value
from reprbench.registry import discover
from reprbench.runner.describe import Question, answer
from reprbench.runner.request import Overrides, apply
from reprbench.runner.specs import check_entries
from reprbench.spec import check_name, parse_call, parse_calls

LONGEST_MESSAGE = 1000
ROW = "\nbudget: {epochs: 1}\nmethods: [{method: ae}]\n"


def refused(done: Any) -> str:
    """Return the one line that a command ended with."""
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Error: ") and len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < LONGEST_MESSAGE
    return str(done.stderr)


def bounded(read: Callable[[], Any], most_calls: int = 1_000_000) -> None:
    """Read something, or be refused in lines of bounded length, in a bounded number of function calls."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"
        assert calls < most_calls

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read()
    except UserError as error:
        assert str(error) and all(len(line) < LONGEST_MESSAGE for line in str(error).splitlines())
    finally:
        sys.setprofile(before)


# -- names ------------------------------------------------------------------------------------------------------------

WRONG_NAMES = [
    "../../../evil", "/x", "", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "a\n", ".hidden", "-dash", "dot.", "space ",
    " space", "a b", "a:b", "a*b", "a?b", "a<b", "a|b", 'a"b', "con", "NUL", "nul.txt", "Com1", "lpt9.x", "x" * 65,
    "x" * 300, "é", "名", "a\u202eb", "\ud800", "~", "$HOME", "%00",
]  # fmt: skip
GOOD_NAMES = ["a", "0", "A.b-c_d", "x" * 64, "console", "nulls", "com", "com10", "a.nul", "v1.2"]


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_name_that_cannot_be_a_folder_on_every_system_is_refused_everywhere(tmp_path, name):
    with pytest.raises(UserError, match="is not a valid name") as caught:
        check_name(name, "figure")
    assert len(str(caught.value)) < LONGEST_MESSAGE and str(caught.value).isprintable()
    quoted = '"' + "".join(f"\\u{ord(one):04x}" for one in name) + '"'  # YAML and Python agree on it
    if "\ud800" not in name:
        (tmp_path / "mine.yaml").write_text(f"title: t\ndataset: digits{ROW}name: {quoted}\n")
        with pytest.raises(UserError, match="name: .* is not a valid name"):
            load_benchmark(tmp_path / "mine.yaml")
    for kind in ("register", "register_protocol", "register_dataset"):
        (tmp_path / "plugin.py").write_text(f"@{kind}({quoted})\ndef f(): ...\n")
        with pytest.raises(UserError, match="is not a valid name"):
            discover([tmp_path / "plugin.py"], None)


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_that_can_be_a_folder_is_left_as_it_is(name):
    assert check_name(name, "figure") == name
    assert parse_call(name).name == name


@pytest.mark.parametrize("field", ["title", "label", "citation", "differences", "group"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [("'  '", "1 to 1000 characters"), ('"a\\e[31mb"', "control character"), ('"a\\nb"', "control character"),
     ('"a\\u2028b"', "control character"), ("x" * 1001, "1 to 1000 characters")],
)  # fmt: skip
def test_a_text_that_is_shown_is_one_line(tmp_path, field, text, reason):
    fields = {"title": "t", "label": "l", "citation": "c", "differences": "d", "group": "g", field: text}
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"title: {fields['title']}\ndataset: digits\nbudget: {{epochs: 1}}\nmethods:\n  - method: ae\n"
        f"    label: {fields['label']}\n    group: {fields['group']}\n    reference:\n      value: 1\n"
        f"      citation: {fields['citation']}\n      differences:\n        - {fields['differences']}\n"
    )
    with pytest.raises(UserError, match=reason) as caught:
        load_benchmark(path)
    assert all(len(line) < LONGEST_MESSAGE and line.isprintable() for line in str(caught.value).splitlines())


def test_two_rows_of_one_name_are_refused_on_the_command_line_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: t\ndataset: digits\nbudget: {epochs: 1}\nmethods: [{method: dae, label: 'ae[width=4]'}]\n")
    with pytest.raises(UserError, match=re.escape("--methods: 2 rows are called 'ae[width=4]'")):
        apply(load_benchmark(path), Overrides(methods=tuple(parse_calls("dae,ae[width=4]"))))


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("2020-13-45", "2020-13-45"), ("!!int x", "!!int x"), ("'a,b]'", "a,b]"), (str(2**63 - 1), 2**63 - 1)],
)
def test_values_are_no_yaml(text, value):
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["&a [*a]", "1" * 5000, "[" * 2000, "[" * 2000 + "]" * 2000, str(2**63), "1e400"])
def test_values_out_of_bounds_are_one_short_line(text):
    with pytest.raises(UserError) as caught:
        read_value(text)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


PARAMETERS = [
    ("method", "pca", "n_components", [True, "5", 5.0, None, [], 0, float("nan")], [1, 5]),
    ("method", "pca", "whiten", [1, 0, "yes", "true", None], [True, False]),
    ("method", "ae", "lr", [True, "1", "nan", "inf", float("nan"), float("inf"), -float("inf"), 0], [1, 1e-3]),
    ("method", "stacked-dae", "widths", [[], [True], ["1"], 5, [0]], [[5, 5, 5]]),
    ("method", "stacked-dae", "corruptions", [[True], ["0"], [float("nan")]], [[0, 0.5, 0]]),
    ("protocol", "linear-svm", "grid", [True, "2", 2.0], [2]),
    ("protocol", "linear-svm", "costs", [[], [True], ["1"], [float("inf")]], [[1, 0.5]]),
    ("protocol", "linear-svm", "layers", [[], [1], 3, True, "none"], ["all", ["a"]]),
    ("protocol", "embedding", "layers", [[], [1], 3], ["last", ["a", "b"]]),
    ("protocol", "knn", "k", [True, "1", 1.0], [1]),
]


@pytest.mark.parametrize(("kind", "name", "parameter", "wrong", "good"), PARAMETERS)
def test_a_parameter_is_of_its_type_and_finite(kind, name, parameter, wrong, good):
    entry = discover(folder=None).find(kind, name)
    for value in wrong:
        found = answer(Question(entry, {parameter: value}))
        assert not found.problem and found.mistakes, value
        assert all(len(line) < 300 and line.startswith(f"{kind} {name}: {parameter}") for line in found.mistakes)
    for value in good:
        assert answer(Question(entry, {parameter: value})).mistakes == []


def test_many_rows_read_the_code_of_their_method_once(monkeypatch):
    reads: list[Any] = []
    packages = reprbench.runner.describe.packages
    monkeypatch.setattr(reprbench.runner.describe, "packages", lambda *words: reads.append(words) or packages(*words))
    reprbench.runner.describe._code_and_packages.cache_clear()
    entry = discover(folder=None).find("method", "pca")
    assert all(not answer(Question(entry, {"n_components": number + 1})).mistakes for number in range(50))
    assert len(reads) == 1


def test_an_unknown_method_of_many_rows_is_looked_for_once(tmp_path, monkeypatch):
    rows = "".join(f"  - {{method: 'nowhere[a={number}]'}}\n" for number in range(500))
    path = tmp_path / "mine.yaml"
    path.write_text(f"title: t\ndataset: digits\nbudget: {{epochs: 1}}\nmethods:\n{rows}")
    benchmark, registry = load_benchmark(path), discover(folder=None)
    bounded(lambda: check_entries(benchmark, registry), 50_000)


# -- options ----------------------------------------------------------------------------------------------------------

HUGE = "9" * 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", HUGE], "--epochs"), (["--epochs", "9" * 5000], "--epochs"), (["--epochs", "1.0"], "--epochs"),
        (["--limit", HUGE], "--limit"), (["--limit", str(2**63)], "--limit"),
        (["--jobs", HUGE], "--jobs"), (["--jobs", "0"], "--jobs"),
        (["--seeds", HUGE], "--seeds"), (["--seeds", "9" * 5000], "--seeds"), (["--seeds", str(2**63)], "2^63"),
        (["--seeds", "١"], "--seeds"), (["--seeds", "true"], "--seeds"), (["--seeds", "-1"], "--seeds"),
        (["--seeds", ""], "--seeds"), (["--seeds", "1_0"], "--seeds"),
        (["--memory", HUGE + "GB"], "--memory"), (["--memory", "0GB"], "--memory"), (["--memory", "nan"], "--memory"),
        (["--memory", "0.00000001KB"], "--memory"), (["--memory", "٣GB"], "--memory"),
        (["--timeout", "nan"], "--timeout"), (["--timeout", "inf"], "--timeout"), (["--timeout", "0"], "--timeout"),
        (["--timeout", "1e300"], "--timeout"), (["--timeout", "-1"], "--timeout"), (["--timeout", "x"], "--timeout"),
        (["--device", "cuda:" + HUGE], "--device"), (["--device", "cuda:١"], "--device"),
        (["--set", ".width=4"], "--set '.width=4': expected key=value"), (["--set", "ae.=4"], "expected key=value"),
        (["--set", "a b=4"], "expected key=value"), (["--set", "=4"], "expected key=value"), (["--set", ""], "--set"),
        (["--set", "../x.width=4"], "'../x' is not a valid name"), (["--set", "width=" + HUGE], "number"),
        (["--set", "width=1", "--set", " width = 2"], "width is given twice"),
        (["--set", "ae.width=1", "--set", "ae.width=1"], "ae.width is given twice"),
        (["--protocols", ""], "--protocols '': expected at least one name"), (["--protocols", ","], "--protocols ','"),
        (["--dataset", " "], "--dataset ' '"), (["--methods", ""], "--methods ''"),
        (["--benchmark", ""], "unknown benchmark ''"), (["--benchmark", "x" * 5000], "unknown benchmark 'xxx"),
        # Click's own mistakes
        (["--precision", "fp16"], "'fp16' is not one of 'float32', 'bf16'"), (["--precision", "x" * 5000], "xxx…"),
        (["--metods", "x"], "--methods"), (["--" + "x" * 5000], "--xxx"), (["extra"], "(extra)"),
        (["--epochs"], "--epochs"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)  # fmt: skip
def test_an_option_out_of_bounds_is_one_line(here, words, said):
    assert said in refused(here("run", "--methods", "pca", *words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check"], "Missing argument"), (["data", "fetch"], "Missing argument"), (["-x"], "No such option"),
        (["list", "method"], "No such command 'method'"), (["list", "methods", "--format", "xml"], "'xml'"),
        (["report", "--seeds", "x"], "'apart', 'together'"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_refuses_words_in_one_line_that_says_where_to_look(here, words, said):
    message = refused(here(*words))
    assert said in message
    assert message.rstrip().endswith("--help` shows what can be given.")


def test_a_command_without_words_still_shows_its_help(here):
    done = here("list")
    assert "reprbench list [OPTIONS] COMMAND" in done.stdout + done.stderr


# -- plugin files -----------------------------------------------------------------------------------------------------

HEAD = "from reprbench import Learner, Protocol, TorchLearner, register, register_protocol\n"
LEARNER = (
    HEAD + '@register("x")\nclass X(Learner):\n    def fit(self, images, run): ...\n    def encode(self, x): ...\n'
)
TORCH = HEAD + '@register("x")\nclass X(TorchLearner):\n    def optimizers(self): ...\n    def encode(self, x): ...\n'

FILES = [
    (b"def (", "SyntaxError: line 1: invalid syntax"),
    (b"x = 1\n  y", "IndentationError: line 2: unexpected indent"),
    (b"x = '\xff'\n", "can't decode byte 0xff"),
    (b"x = 1\0\n", "null byte"),
    (b"-" * 200_000 + b"1", "nested too deep"),
    (b"(" * 100_000, "SyntaxError"),
    (b"", "registers nothing"),
    (HEAD + "@register('x')\ndef f(): ...\n", "gives no Learner class for 'x'"),
    (HEAD + "@register('x')\nclass X: ...\n", "gives no Learner class for 'x'"),
    (HEAD + "def f():\n    @register('x')\n    class X(Learner): ...\n", "gives no Learner class for 'x'"),
    ("from . import nowhere\n" + LEARNER, "cannot import name 'nowhere' from '.'"),
    ("from .nowhere import y\n" + LEARNER, "No module named 'nowhere'"),
    ("from ..nowhere import y\n" + LEARNER, "beyond top-level package"),
    (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n" + LEARNER,
        "E: (its text cannot be shown: __str__ raised ValueError)",
    ),
    ("class E(BaseException): ...\nraise E('why')\n" + LEARNER, "E: why"),
    ("raise ValueError('x' * 10**7 + '\\n' * 5)\n" + LEARNER, "ValueError: xxx"),
    ("def f(): f()\nf()\n" + LEARNER, "RecursionError"),
    (LEARNER.replace("    def fit", "    kind = 'frozen'\n    def fit"), "X.kind is 'frozen'"),
    (LEARNER.replace("    def fit", "    a: 'Nowhere' = 3\n    def fit"), "name 'Nowhere' is not defined"),
    (LEARNER.replace("def encode", "def decode"), "X does not define encode"),
    (LEARNER.replace("images, run", "images"), "X.fit takes (images), but is called with (images, run)"),
    (TORCH + "    def step(self, x, run): ...\n", "X.step takes (x, run), but is called with (x, optimizers, run)"),
    (TORCH + "    def loss(self, x): ...\n", "X.loss takes (x), but is called with (x, run)"),
]


@pytest.mark.parametrize(("content", "said"), FILES, ids=[said[:30] for _, said in FILES])
def test_a_file_that_holds_no_learner_is_one_line(here, tmp_path, content, said):
    (tmp_path / "mine.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(here("check", "mine.py"))
    assert said in message and "reprbench_plugin" not in message


@pytest.mark.parametrize("command", [["check"], ["run", "--methods", "pca", "--plan", "--plugin"]])
def test_what_is_no_regular_file_is_no_plugin(here, tmp_path, command):
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    kinds = {"folder": "a folder", "fifo": "a FIFO", "loop": "no such file", "zero": "a device", "no": "no such file"}
    for name, kind in {**kinds, "x" * 300: "no such file"}.items():
        assert f": {kind}; expected a Python file" in refused(here(*command, f"{name}.py"))


def test_an_import_that_does_not_end_is_one_line(here, tmp_path, monkeypatch):
    monkeypatch.setattr(reprbench.cli.check, "IMPORT_SECONDS", 0.05)
    (tmp_path / "mine.py").write_text("while True: ...\n" + LEARNER)
    assert "importing it took longer than 0.05 s" in refused(here("check", "mine.py"))


PROTOCOL = HEAD + '@register_protocol("x")\nclass X(Protocol):\n    headlines = ("m",)\n'


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("method", TORCH + "    def step(self, x, run): ...\n", "X.step takes (x, run), but"),
        ("method", LEARNER.replace("def encode", "def code"), "X does not define encode"),
        ("method", LEARNER + "    def reconstruct(self, x): ...\n", "X.reconstruct takes (x), but is called with"),
        ("method", LEARNER + "    def decode(self): ...\n", "X.decode takes (), but is called with (h)"),
        ("protocol", PROTOCOL, "X does not define evaluate"),
        ("protocol", PROTOCOL + "    def evaluate(self, subject): ...\n", "is called with (subject, seed)"),
        ("protocol", PROTOCOL.replace("headlines", "metrics: tuple") + "    def evaluate(self, subject, seed): ...\n",
         "X.headlines: expected a tuple"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_used_is_found_when_it_is_described(tmp_path, kind, content, said):
    (tmp_path / "mine.py").write_text(content)
    found = answer(Question(discover([tmp_path / "mine.py"], None).find(kind, "x")))
    assert said in found.problem


# -- any text at all --------------------------------------------------------------------------------------------------

VALID = """
title: "Mine"
dataset: digits
protocols: [linear-svm, "knn[k=5]"]
budget: {epochs: 1, seconds: 1e3}
seeds: [0, 1]
limit: 100
methods:
  - method: ae[lr=1e-3]
    label: AE
    reference: {value: 95.0, spread: 0.4, citation: "x", differences: [a]}
  - method: {name: pca, parameters: {n_components: 16}}
"""
PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "\n",
                ": ",
                "- ",
                "[",
                "]",
                "{",
                "}",
                "&a ",
                "*a",
                "!!int ",
                '"',
                "'",
                "#",
                "|",
                ">",
                "true",
                ".nan",
                "1e400",
            ),
            *(
                "9" * 400,
                "2020-13-45",
                "../../x",
                "\0",
                "\x1b",
                "title: x\n",
                "  - method: ae\n",
                "null",
                "~",
                "<<: ",
                "? ",
            ),
        ]
    ),
)


@st.composite
def mutated(draw: Any) -> str:
    """A benchmark file with pieces of it replaced by others."""
    text = VALID
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(PIECES) + text[start + draw(st.integers(0, 20)) :]
    return text


@settings(max_examples=200)
@given(st.one_of(mutated(), st.text()))
def test_any_benchmark_file_is_read_or_refused(tmp_path_factory, text):
    path = Path(tmp_path_factory.getbasetemp(), "mine.yaml")
    path.write_bytes(text.encode(errors="surrogatepass"))
    bounded(lambda: load_benchmark(path))


@settings(max_examples=200)
@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.text("ae,[]='\"\\ 1.", max_size=60)))
def test_any_call_is_read_or_refused(text):
    bounded(lambda: parse_calls(text))
    bounded(lambda: read_value(text))


def test_the_largest_texts_are_refused_in_a_bounded_number_of_steps(tmp_path):
    path = tmp_path / "mine.yaml"
    for text in ("a: &a [x]\n" + "b: *a\n" * 10_000, "[" * 10_000, "- 1\n" * 10_000, "x" * 10**6, "{" * 10_000):
        path.write_text(text)
        bounded(lambda: load_benchmark(path))
        bounded(lambda text=text: parse_calls(text))
