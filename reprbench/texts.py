"""Texts of others, such as messages of plugins, as they are kept: bounded and cleaned, whatever they hold.

What is kept may still mean something in a form of output; `reprbench.printable` and the formats of reports escape that.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import Sequence

REASON, TRACEBACK, WARNINGS = 500, 20_000, 100
"""The most characters of a reason, which is one line, and of a traceback, and the most warnings that are kept."""

LOG_CHARACTERS = 40_000
"""The most of a trial's log that is kept: the beginning and the end."""

_MIDDLE = f"\n… the middle is left out: of a log {LOG_CHARACTERS:,} characters are kept …\n"

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str, limit: int) -> str:
    r"""Return at most `limit` characters that any terminal and file can hold; what is left out of the middle is "…".

    Escape sequences of terminals are removed. Control characters other than tabs and ends of lines, marks that
    reorder text, and surrogates become "�".

    >>> clean("a\x1b[31mb\x00c\udc80", 80), clean("abcdefgh", 5)
    ('ab�c�', 'ab…gh')
    """
    text = _shortened(text, 4 * limit)  # before everything else: it may have a billion characters
    text = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _shortened("".join(map(_printable, text)), limit)


def log_text(text: str) -> str:
    r"""Return the output of a process as it is kept: of a line that was written again and again, only the last state.

    >>> log_text("start\n 10 %\r 20 %\r100 %\nend\n")
    'start\n100 %\nend\n'
    """
    last = (line.rstrip("\r").rpartition("\r")[2] for line in _shortened(text, 4 * LOG_CHARACTERS).split("\n"))
    return _shortened(clean("\n".join(last), 4 * LOG_CHARACTERS), LOG_CHARACTERS, _MIDDLE)


def one_line(text: str, limit: int = REASON) -> str:
    """Return `text` cleaned, and in one line."""
    return _shortened(" ".join(clean(_shortened(text, 4 * limit), 4 * limit).split()), limit)


def warning_lines(warnings: Sequence[str]) -> list[str]:
    """Return the warnings that are kept, each in one line."""
    return [one_line(warning) for warning in warnings[:WARNINGS]]


def reason(error: BaseException, limit: int = REASON) -> str:
    """Return what an exception says, in one line: its type if that is nothing, and why if its ``__str__`` fails.

    >>> reason(ValueError("two  words")), reason(EOFError())
    ('two words', 'EOFError')
    """
    return _text(error, limit) or type(error).__name__


def described(error: BaseException) -> str:
    """Return the type and the text of an exception in one line."""
    text = _text(error, REASON)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception, cleaned."""
    try:
        return clean("".join(traceback.format_exception(error)), TRACEBACK)
    except Exception as failure:  # formatting calls methods of the exception and reads its source
        return f"(the traceback cannot be shown: {type(failure).__name__})"


def _text(error: BaseException, limit: int) -> str:
    try:
        return one_line(str(error), limit)
    except (Exception, SystemExit) as failure:  # the method is a plugin's
        return f"(its text cannot be shown: __str__ raised {type(failure).__name__})"


def _shortened(text: str, limit: int, middle: str = "…") -> str:
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]}{middle}{text[len(text) - (limit - head - len(middle)) :]}"


def _printable(character: str) -> str:
    known = character in "\t\n" or unicodedata.category(character) not in _UNPRINTABLE
    return character if known else "\N{REPLACEMENT CHARACTER}"
