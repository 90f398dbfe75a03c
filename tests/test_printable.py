from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from reprbench.printable import LONGEST, LONGEST_CELL, cell, printable, printable_json, printable_lines, visible_in_json

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
TEXTS = st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu", "Po", "Zs"]))


def controls(text: str) -> set[str]:
    """Return the characters that no output may have."""
    return {
        sign
        for sign in text
        if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(sign) in BIDI
    }


@given(TEXTS)
def test_no_text_controls_a_terminal_and_what_is_printable_stays(text):
    shown = printable(text)
    assert not controls(shown)
    assert printable(shown) == shown
    assert not controls(text) or shown != text
    assert controls(text) or shown == text or set("\u061c\u200e\u200f") & set(text)
    assert printable_lines(text) == "\n".join(map(printable, text.split("\n")))


def test_a_long_text_is_cut_and_shown_to_be():
    assert printable("x" * 10**7) == "x" * LONGEST + "…"
    assert cell("x" * 501) == "x" * LONGEST_CELL + "…"
    assert cell("x" * 500) == "x" * 500
    assert printable("x" * 10**6, None) == "x" * 10**6


def test_escapes_say_which_character_it_was():
    assert printable("a\x07\x9b\u2066\ud83d") == r"a\x07\x9b\u2066\ud83d"


@given(TEXTS)
def test_json_keeps_its_texts_but_holds_none_of_these_characters(text):
    raw = json.dumps({text: [text]}, ensure_ascii=False)
    kept = printable_json(raw)
    expected = "".join("\ufffd" if unicodedata.category(sign) == "Cs" else sign for sign in text)
    assert json.loads(kept) == {expected: [expected]}
    (shown,) = json.loads(visible_in_json(raw))
    assert not controls(kept)
    assert all(unicodedata.category(sign) == "Cc" and sign < "\x20" for sign in controls(shown))
