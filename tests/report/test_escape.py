from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reprbench.printable import printable
from reprbench.report.escape import markdown

SIGNS = ["http://", "www.", "@", "a.b", "#", "1", ". ", ") ", "- ", "+ ", "*", "_", "`", "[", "]", "(", ")", "!", "<",
         "&", "&#64;", ";", ":", "|", "~", "\\", "x", "GH-", " ", "\n", "\t", "=", "<!--", "-->",
         "é", "\x00"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SIGNS) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)
RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def words(text: str) -> list[str]:
    # A browser shows the same for any amount of white space.
    return text.split()


@given(TEXTS)
def test_a_markdown_renderer_shows_the_text_literally(text):
    shown = RENDERER.render(markdown(text)).replace("<!-- -->", "").strip()
    inner = shown.removeprefix("<p>").removesuffix("</p>")
    assert not re.search("[<>]", inner)
    assert words(html.unescape(inner)) == words(printable(text))


@given(TEXTS)
def test_a_cell_of_a_table_stays_one_cell(text):
    table = RENDERER.render(f"| a | b |\n|---|---|\n| {markdown(text)} | last |\n")
    cells = re.findall("<td>(.*?)</td>", table.replace("<!-- -->", ""))
    assert [words(html.unescape(cell)) for cell in cells] == [words(printable(text)), ["last"]]
    assert not re.search("[<>]", cells[0])


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("@all", "@<!-- -->all"),
        ("a@b.org", "a@<!-- -->b.org"),
        ("see #12, GH-3, a/b#4", "see #<!-- -->12, GH-<!-- -->3, a/b#<!-- -->4"),
        ("https://a.b or _www.a.b", "https:<!-- -->//a.b or \\_www<!-- -->.a.b"),
        (":smile:", "\\:<!-- -->smile:"),
        ("$x$", "\\$x\\$"),
        ("linear-svm[costs=[0.1]], 1.5 + 2 = 3", "linear-svm\\[costs=\\[0.1\\]\\], 1.5 + 2 = 3"),
        ("~~a~~", "\\~\\~a\\~\\~"),
        ("51.5 ± 1.5", "51.5 ± 1.5"),
        ("-0.3", "-0.3"),
        ("1. a", "1\\. a"),
        ("- a", "\\- a"),
        ("# a", "\\# a"),
        ("C ##", "C \\#\\#"),
        ("![a](b)", "!\\[a\\](b)"),
        ("a | b\nc", "a \\| b c"),
    ],
)
def test_what_github_adds_to_markdown_is_prevented(text, escaped):
    assert markdown(text) == escaped


@given(st.text(st.characters(), max_size=20) | TEXTS)
@example("a\ud800b")
def test_no_text_controls_a_terminal(text):
    shown = printable(text, None)
    assert not {"Cc", "Zl", "Zp", "Cs"} & set(map(unicodedata.category, shown))
    assert not {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} & set(
        map(unicodedata.bidirectional, shown)
    )
    assert len(shown.splitlines()) <= 1
    kept, given = (re.sub(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}| ", "", one) for one in (shown, text))
    assert list(filter(str.isprintable, kept)) == list(filter(str.isprintable, given))


def test_a_terminal_is_given_one_line_without_control_characters():
    text = "a\x1b[31m\r\n\x9bb\u2028c\u202ed\udc80e – é"
    assert printable(text) == r"a\x1b[31m \x9bb c\u202ed\udc80e – é"
