"""Texts of others, such as labels and messages, as a terminal may show them."""

from __future__ import annotations

import re

LONGEST = 4_000
"""Characters of a text that are shown on one line."""

LONGEST_CELL = 500
"""Characters of a text that are shown in a cell of a table."""

_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, changes of the writing direction, and lone surrogates."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, longest: int | None = LONGEST) -> str:
    r"""Return `text` on one line: tabs and line breaks become a space, what cannot be printed an escape sequence.

    Parameters
    ----------
    longest : characters that are kept; a longer text ends with "…". None keeps all of them.

    Examples
    --------
    >>> print(printable("a\x1b[31m\nb\u202e"))
    a\x1b[31m b\u202e
    """
    if longest is not None and len(text) > longest:
        text = text[:longest] + "…"
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_escaped, _BREAKS.sub(" ", text))


def printable_lines(text: str, longest: int | None = LONGEST) -> str:
    """Return `text` with its line ends, and each line `printable`."""
    return "\n".join(printable(line, longest) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """Return JSON with what `printable` would escape as escape sequences of JSON; lone surrogates are replaced."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(_SURROGATE.sub(_REPLACEMENT, found[0])):04x}", text)


def cell(text: str) -> str:
    """Return `text` as a cell of a table shows it: `printable`, and short enough for a column."""
    return printable(text, LONGEST_CELL)


def visible_in_json(text: str) -> str:
    """Return JSON whose texts show the escape sequences of `printable`, but keep their line ends."""
    return _UNPRINTABLE.sub(lambda found: f"\\{_escaped(found)}", text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
