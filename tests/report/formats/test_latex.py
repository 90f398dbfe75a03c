"""Structure and escaping; that it compiles was checked once (see the commit), since the tests do not run LaTeX."""

from __future__ import annotations

import re

import pytest
from trials import evaluation, trial

from reprbench.benchmark import find_benchmark
from reprbench.report.formats import FORMATS
from reprbench.report.formats.latex import END, PREAMBLE, escape
from reprbench.report.table import make_tables
from reprbench.trial import Deviation

EVIL = '50% of #1 & $x_1^2$ {a\\b} ~ <|"`> \\input{/etc/passwd}'


def document(label: str = "ae", **changes) -> str:
    trials = [trial(label, evaluations=[evaluation([1.0, 2.0])], **changes), trial("b", digest="b" * 64)]
    return FORMATS["latex"](make_tables(trials))


def body(text: str) -> str:
    return text.removeprefix(PREAMBLE).removesuffix(END)


def test_the_document_is_whole_and_its_environments_match():
    text = document()
    assert text.startswith(PREAMBLE)
    assert text.endswith(END)
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    closed = re.findall(r"\\end\{(\w+)\}", text)
    assert sorted(opened) == sorted(closed)
    assert {"document", "table", "tabular", "minipage"} <= set(opened)


@pytest.mark.parametrize("name", ["toprule", "midrule", "bottomrule"])
def test_the_rules_are_those_of_booktabs(name):
    assert rf"\{name}" in document()
    assert r"\usepackage{booktabs}" in PREAMBLE
    assert r"\hline" not in document()


def test_every_line_has_as_many_cells_as_columns():
    text = body(document("a & b", reference=None))
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1)
    inside = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in inside.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


def test_no_character_of_a_label_or_reason_is_left_to_latex():
    text = body(document(EVIL, deviations=[Deviation("data", EVIL)]))
    assert r"\input" not in text
    label = next(line for line in text.splitlines() if line.startswith("50"))
    assert label.startswith(r"50\% of \#1 \& \$x\_1\textasciicircum{}2\$ \{a\textbackslash{}b\} \textasciitilde{}")
    depth = 0
    for sign in re.sub(r"\\[{}]", "", text):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("λ, Σ, Ω, Α", r"$\lambda$, $\Sigma$, $\Omega$, A"),
        ("x̂ ± 1 × 2", r"x $\pm$ 1 $\times$ 2"),
        ("é ü ß", "é ü ß"),
        ("Ł ő", "U+0141 o"),
        ("日", "U+65E5"),
        ("a\nb\x00", r"a b\textbackslash{}x00"),
        ("--all, ''", "-{}-all, '{}'"),
        ("ﬁ", "fi"),
    ],
)
def test_characters_beyond_ascii(text, expected):
    assert escape(text) == expected


def test_everything_escaped_is_latin_1():
    everything = "".join(map(chr, range(0x20, 0x3000)))
    escape(everything).encode("latin-1")


def test_a_block_for_each_heading_of_the_benchmark_in_its_order():
    benchmark = find_benchmark("table1-stl10")
    trials = [
        trial(label, digest=sign * 64, benchmark="table1-stl10", evaluations=[evaluation([1.0, 2.0])])
        for label, sign in (("untrained", "1"), ("K-means", "2"), ("DAE", "3"), ("AE", "4"), ("stray", "5"))
    ]
    text = FORMATS["latex"](make_tables(trials, {"table1-stl10": benchmark}))
    headings = re.findall(r"\\midrule\n\\multicolumn\{\d+\}\{l\}\{\\emph\{(.*?)\}\}", text)
    assert headings == ["AME-AE, its partners, and supervised learning", "Earlier systems", "Controls"]
    order = [text.index(f"\n{label} ") for label in ("stray", "AE", "DAE", "K-means", "untrained")]
    assert order == sorted(order)
