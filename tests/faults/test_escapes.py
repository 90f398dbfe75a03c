"""Whatever texts a trial contains, each format shows them literally, and its independent parser finds nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from report_pages import Page, payload_of
from trials import evaluation, trial

from reprbench.benchmark import Reference
from reprbench.compare import text as compare_text
from reprbench.compare.judge import CompareSettings, compare_rows
from reprbench.compare.match import match, read_rows
from reprbench.printable import printable
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.formats.latex import END, PREAMBLE
from reprbench.report.pivot import PivotQuestion, make_pivots
from reprbench.report.table import Table, make_tables
from reprbench.trial import Cost, Deviation, Trial

PIECES = [
    "=HYPERLINK(", "+1", "-1", "@SUM(", "\t", "\r", "\n", "\r\n", "\"", "'", " ", ",", ";", "|", "||", "---",
    "\\", "\\|", "http://a.b", "www.a.b", "mailto:a@b.c", "@all", "#12", "GH-3", "a/b#4", "0123abc", "![x](y)",
    "[x](y)", "[x]: y", "<b>", "</td>", "<!--", "-->", "</script>", "&lt;", "&#64;", "`", "```", "*", "**", "_",
    "~~", "$x$", "$$", "# ", " #", "> ", "- ", "1. ", "===", ":x:", "\\input{/etc/passwd}", "{", "}", "%", "^",
    "\\\\[2cm]", "--", "''", "\x00", "\x07", "\x1b[2J", "\x9b31m", "\x85", "\u2028", "\u202e", "\u2066",
    "\u200f", "\ud800", "\ufeff", "\xe9", "\u65e5", "\U0001f600", "x", "7",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(), min_size=1, max_size=8).map("".join)
FEW = settings(max_examples=25)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS = "plain"
CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def hostile(text: str) -> list[Trial]:
    """Return trials with `text` wherever a text of others can be."""
    found = evaluation(
        [-1.5, -2.5],
        measured={"metric": f"m{text}", "unit": f"u{text}"},
        headline=f"m{text}",
        warnings=[text],
    )
    at = {"metric": f"m{text}", "unit": f"u{text}", "at": {"level": text, "fold": 0}}
    other = evaluation([-3.5], measured=at, headline=f"m{text}")
    whole: dict[str, Any] = {
        "dataset": replace(trial().dataset, title=f"d{text}"),
        "reference": Reference(value=-3.0, citation=text, differences=(text,)),
        "deviations": [Deviation("data", text)],
        "warnings": [text],
        "provenance": {"device": text, "machine": {"processor": text}, "versions": {"torch": text}},
        "cost": Cost(parameters=7),
    }
    return [
        trial(text, evaluations=[found], **whole),
        trial(f"x{text}", digest="b" * 64, evaluations=[other], **whole),
        trial("-7", digest="c" * 64, status="failed", reason=text, traceback=text, **whole),
    ]


def tables(text: str) -> list[Table]:
    return make_tables(hostile(text))


def compared(text: str) -> compare_text.StoreComparison:
    base, new = (read_rows(hostile(one), CompareSettings().selection) for one in (text, text))
    return compare_rows(match(base, new), CompareSettings())


def uncontrolled(text: str) -> bool:
    """Return whether `text` holds nothing but line ends that controls a terminal or that UTF-8 cannot encode."""
    signs = set(text) - {"\n"}
    bidi = CONTROLS & set(map(unicodedata.bidirectional, signs))
    return not bidi and not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, signs))


def words(text: str) -> list[str]:
    # A browser shows the same for any amount of white space.
    return text.split()


def refuse(constant: str) -> float:
    raise ValueError(constant)


# -- Markdown ---------------------------------------------------------------------------------------------------------


def markdown_cells(text: str) -> list[list[str]]:
    """Return the cells of the tables in a Markdown document; it must hold nothing but headings, text and tables."""
    tokens = MARKDOWN.parse(text)
    inner = [token for block in tokens for token in block.children or ()]
    kinds = {token.type for token in tokens} | {token.type for token in inner}
    assert not {"link_open", "image", "html_block", "code_inline", "fence", "code_block", "em_open", "s_open"} & kinds
    assert not {"bullet_list_open", "ordered_list_open", "blockquote_open", "hr"} & kinds
    assert {token.content for token in inner if token.type == "html_inline"} <= {"<!-- -->"}
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if token.type == "inline" and before.type in ("th_open", "td_open"):
            rows[-1].append("".join(one.content for one in token.children or () if one.type != "html_inline"))
    return rows


def shape(rows: list[list[str]]) -> list[int]:
    return list(map(len, rows))


@FEW
@given(TEXTS)
@example("a | b\n::x [y](http://z) @all #")
def test_markdown(text):
    document = FORMATS["markdown"](tables(text))
    assert uncontrolled(document)
    rows = markdown_cells(document)
    assert shape(rows) == shape(markdown_cells(FORMATS["markdown"](tables(HARMLESS))))
    assert words(f"x{printable(text)}") in [words(row[0]) for row in rows]
    assert words(f"M{printable(text)}") == words(rows[0][1]), "headers too"


@FEW
@given(TEXTS)
def test_a_pivot(text):
    for form in ("table", "markdown", "latex", "csv", "json"):
        made, plain = (make_pivots(PivotQuestion(f"m{one}", {}), tables(one)) for one in (text, HARMLESS))
        document = FORMATS[form](made)
        assert uncontrolled(document)
        if form == "markdown":
            assert shape(markdown_cells(document)) == shape(markdown_cells(FORMATS[form](plain)))


@FEW
@given(TEXTS)
def test_the_title_of_a_markdown_table_is_shown_whole(text):
    (first, *_) = MARKDOWN.parse(FORMATS["markdown"](tables(f"{text} #")))[1:2]
    shown = "".join(one.content for one in first.children if one.type != "html_inline")
    assert words(shown) == words(printable(f"mine: d{text} #, linear-svm"))


@FEW
@given(TEXTS)
def test_a_comparison(text):
    document = compare_text.as_markdown(compared(text))
    assert uncontrolled(document)
    assert shape(markdown_cells(document)) == shape(markdown_cells(compare_text.as_markdown(compared(HARMLESS))))
    assert uncontrolled(compare_text.as_terminal(compared(text)))
    read = json.loads(compare_text.as_json(compared(text)), parse_constant=refuse)
    assert read["comparisons"][0]["benchmark"] == "mine"


# -- the terminal -----------------------------------------------------------------------------------------------------


@FEW
@given(TEXTS)
def test_a_terminal(text):
    shown = FORMATS["table"](tables(text))
    assert uncontrolled(shown)
    assert len(shown.splitlines()) == len(FORMATS["table"](tables(HARMLESS)).splitlines())


# -- CSV and JSON -----------------------------------------------------------------------------------------------------


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@FEW
@given(TEXTS)
@example("=HYPERLINK(1)")
@example(' "\t@SUM(1)')
@example("-1+2")
def test_csv(text):
    document = FORMATS["csv"](tables(text))
    assert uncontrolled(document)
    assert len(document.splitlines()) == 4
    rows = list(csv.DictReader(io.StringIO(document)))
    for row in rows:
        for name, cell in row.items():
            begins = cell.strip(' \t\r\n"').startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
            assert not begins or is_number(cell), name
    labels = {printable(text, None), f"x{printable(text, None)}", "-7"}
    assert {row["label"] for row in rows} <= labels | {f"'{label}" for label in labels}
    assert sorted(row["mean"] for row in rows) == ["", "-2.0", "-3.5"]
    assert {row["reference"] for row in rows} == {"-3.0"}


@FEW
@given(TEXTS)
def test_json(text):
    document = FORMATS["json"](tables(text))
    assert uncontrolled(document)
    (table,) = json.loads(document, parse_constant=refuse)
    expected = "".join("\ufffd" if unicodedata.category(sign) == "Cs" else sign for sign in text)
    assert {row["label"] for row in table["rows"]} == {expected, f"x{expected}", "-7"}


# -- HTML and LaTeX ---------------------------------------------------------------------------------------------------


def page(text: str) -> str:
    return as_html(tables(text), [Path("a store")], Path())


@FEW
@given(TEXTS)
def test_html(text):
    document = page(text)
    assert uncontrolled(document)
    read = Page(document)
    plain = Page(page(HARMLESS))
    assert Counter(tag for tag, _ in read.elements) == Counter(tag for tag, _ in plain.elements)
    assert [set(found) for _, found in read.elements] == [set(found) for _, found in plain.elements]
    names = [found["data-value"] for found in read.all("th") if "data-value" in found]
    assert sorted(map(words, names)) == sorted(map(words, [printable(text), f"x{printable(text)}", "-7"]))
    ids = [found["id"] for _, found in read.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z0-9-]+", one or "") for one in ids)
    payload = json.dumps(payload_of(document), ensure_ascii=False)
    assert uncontrolled(payload)


@FEW
@given(TEXTS)
def test_latex(text):
    document = FORMATS["latex"](tables(text)).removeprefix(PREAMBLE).removesuffix(END)
    plain = FORMATS["latex"](tables(HARMLESS)).removeprefix(PREAMBLE).removesuffix(END)
    assert uncontrolled(document)
    document.encode("latin-1")
    assert len(document.splitlines()) == len(plain.splitlines())
    used, known = (set(re.findall(r"\\([A-Za-z]+)", one)) for one in (document, plain))
    symbols = {"dag", "ddag", "dots", "pm", "times", "cdot", "approx", "le", "ge", "ne", "infty", "surd", "to", "circ"}
    assert all(name.startswith("text") or is_greek(name) for name in used - known - symbols)
    depth = 0
    for sign in re.sub(r"\\[{}]", "", document):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"(?<!\\)&", document)) == len(re.findall(r"(?<!\\)&", plain))


def is_greek(name: str) -> bool:
    letter = name.lower().removeprefix("var").replace("lambda", "lamda")
    return any(unicodedata.name(chr(code), "").endswith(f" LETTER {letter.upper()}") for code in range(0x391, 0x3CA))
