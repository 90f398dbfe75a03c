"""The grammar of calls and parameter values: parsing them, and writing them so that they can be parsed again.

::

    calls  = [call {"," call}]
    call   = name ["[" [param {"," param}] "]"]
    param  = name "=" value {"|" value}
    value  = "[" [value {"," value}] "]" | quoted | bare
    quoted = '"' … '"' | "'" … "'"      a backslash escapes a quote or a backslash
    bare   = anything without , [ ] = | " and ': true, false, null, a number, or else a text, stripped of outer spaces

Several values of a parameter, separated by ``|``, are `Alternatives`: only what is swept can have them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from reprbench.errors import UserError

LONGEST = 10_000
"""Characters of a text that is read."""
LONGEST_PARAMETERS = LONGEST - 66
"""Characters between the brackets of a call, which leaves room for a name."""
DEEPEST = 32
"""Nested brackets."""
LONGEST_NUMBER = 300
"""Characters of a number; a float needs no more, and Python converts no integer of more than 4,300 digits."""
LARGEST_INTEGER = 2**63 - 1
"""Beyond it and its negative a whole number fits neither into a tensor nor into a stored trial."""

_SIGNS = ",[]=|\"'"
_REMEDY = "put quotes around a text that holds , [ ] = | or a quote"
_ALTERNATIVES = "several values, separated by '|', are for parameters of the methods of a run; put quotes around a text"
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign>[,\[\]=|])
      | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<bare>[^,\[\]=|"']+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None}
# Digits after a leading zero, as in 007, are a text: as a number they would lose the zeros.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_PARAMETER = re.compile(r"[^\s,\[\]=|\"']{1,64}")


@dataclass(frozen=True)
class Alternatives:
    """Several values of one parameter, as in ``lr=1e-3|1e-4``: at least two."""

    values: tuple[Any, ...]


def brief(value: Any, longest: int = 80) -> str:
    """Return the `repr` of `value` for a message, cut after `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def read_calls(text: str, swept: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Read names and parameters separated by commas; empty parts are dropped.

    Parameters
    ----------
    swept : whether parameters may be `Alternatives`.

    Raises
    ------
    UserError
        In one line, if `text` does not follow the grammar.
    """
    reader = _Reader(text, swept)
    calls = []
    while not reader.ended():
        if not reader.take(","):
            calls.append(reader.call())
            reader.expect(",")
    return calls


def read_call(text: str, swept: bool = False) -> tuple[str, dict[str, Any]]:
    """Read ``name`` or ``name[param=value,…]``; raise a one-line `UserError` otherwise."""
    reader = _Reader(text, swept)
    call = reader.call()
    reader.expect_end()
    return call


def read_parameters(text: str) -> dict[str, Any]:
    """Read ``param=value,…``, as between the brackets of a call; raise a one-line `UserError` otherwise."""
    reader = _Reader(text)
    parameters: dict[str, Any] = {}
    while not reader.ended():
        if not reader.take(","):
            reader.parameter(parameters, "param=value")
            reader.expect(",")
    return parameters


def read_value(text: str) -> Any:
    """Read a value: number, true, false, null, text or list; raise a one-line `UserError` otherwise."""
    reader = _Reader(text)
    value = reader.value()
    reader.expect_end()
    return value


def read_alternatives(text: str) -> Any:
    """Read a value, or `Alternatives` if there are several; raise a one-line `UserError` otherwise."""
    reader = _Reader(text, swept=True)
    value = reader.alternatives()
    reader.expect_end()
    return value


def show_value(value: Any) -> str:
    """Return `value` so that it is read again: numbers, booleans, None, texts, lists of these, and alternatives."""
    if isinstance(value, Alternatives):
        return "|".join(map(show_value, value.values))
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, list | tuple):
        return f"[{','.join(map(show_value, value))}]"
    if isinstance(value, dict):  # for display only: the grammar has no mappings
        return f"{{{show_parameters(value)}}}"
    return _show_text(os.fspath(value) if isinstance(value, os.PathLike) else str(value))


def show_parameters(parameters: Mapping[str, Any]) -> str:
    """Return the text between the brackets of a call."""
    return ",".join(f"{name}={show_value(value)}" for name, value in parameters.items())


def is_parameter_name(name: Any) -> bool:
    """Return whether `name` can precede ``=`` without being taken for anything else."""
    return isinstance(name, str) and _PARAMETER.fullmatch(name) is not None


def is_unicode(text: str) -> bool:
    """Return whether `text` can be encoded; arguments and paths may hold bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _show_text(text: str) -> str:
    """Return `text` bare if it is parsed as the same text, and in double quotes otherwise."""
    try:
        bare = text == text.strip() != "" and not set(text) & set(_SIGNS) and isinstance(_scalar(text), str)
    except UserError:  # looks like a number, but too large
        bare = False
    return text if bare else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _scalar(text: str) -> Any:
    """Return the value of a bare word."""
    if text in _WORDS:
        return _WORDS[text]
    if not _FLOAT.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER or math.isinf(float(text)):
        raise UserError(f"cannot read {brief(text)}: the number is too large or too long; quote it if it is a text")
    if not _INTEGER.fullmatch(text):
        return float(text)
    if abs(int(text)) > LARGEST_INTEGER:
        raise UserError(f"cannot read {brief(text)}: larger than 2^63 - 1; write it like 1e20, or quote a text")
    return int(text)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, content and position of each token; an unclosed quote has the kind "open"."""
    end = len(text.rstrip())
    position = 0
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            yield "open", "", position
            return
        kind = str(match.lastgroup)
        yield kind, match[kind], match.start(kind)
        position = match.end()


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, swept: bool = False) -> None:
        if len(text) > LONGEST:
            raise UserError(f"cannot read {brief(text)}: {len(text)} characters; expected at most {LONGEST}")
        if not is_unicode(text):
            raise UserError(f"cannot read {brief(text)}: not Unicode; expected UTF-8")
        self._text = text
        self._tokens = [*_tokens(text), ("end", "", len(text))]
        self._next = 0
        self._swept = swept

    def ended(self) -> bool:
        return self._tokens[self._next][0] == "end"

    def take(self, sign: str) -> bool:
        """Consume `sign` if it comes next; return whether it did."""
        taken = self._tokens[self._next][:2] == ("sign", sign)
        self._next += taken
        return taken

    def expect(self, sign: str) -> None:
        """Consume `sign`, which must come next unless the text ends."""
        if not (self.ended() or self.take(sign)):
            self._fail(f"expected {sign!r} or the end; {_REMEDY}")

    def expect_end(self) -> None:
        if not self.ended():
            self._fail(f"expected the end; {_REMEDY}")

    def call(self) -> tuple[str, dict[str, Any]]:
        name = self._word("a name")
        parameters: dict[str, Any] = {}
        if self.take("["):
            while not self.take("]"):
                if not self.take(","):
                    self.parameter(parameters, "param=value or ']'")
                    self._comma_before("]")
        return name, parameters

    def parameter(self, parameters: dict[str, Any], expected: str) -> None:
        """Read ``param=value`` into `parameters`; the message says what was `expected` if it is something else."""
        name = self._word(expected)
        if not is_parameter_name(name):
            self._fail(f"{brief(name)} cannot be a parameter")
        if name in parameters:
            self._fail(f"{brief(name)} is given twice")
        if not self.take("="):
            self._fail(f"expected {name}=value")
        parameters[name] = self.alternatives()

    def alternatives(self) -> Any:
        """Read a value; or several, as `Alternatives`."""
        values = [self.value()]
        while self._swept and self.take("|"):
            values.append(self.value())
        return values[0] if len(values) == 1 else Alternatives(tuple(values))

    def value(self, depth: int = 0) -> Any:
        kind, content, _ = self._tokens[self._next]
        if self.take("["):
            return self._list(depth + 1)
        if kind not in ("quoted", "bare"):
            self._fail("expected a value; write '' for an empty text")
        self._next += 1
        return _scalar(content.strip()) if kind == "bare" else re.sub(r"\\([\"'\\])", r"\1", content[1:-1])

    def _list(self, depth: int) -> list[Any]:
        if depth > DEEPEST:
            self._fail(f"more than {DEEPEST} nested brackets")
        values = []
        while not self.take("]"):
            values.append(self.value(depth))
            self._comma_before("]")
        return values

    def _comma_before(self, bracket: str) -> None:
        """Consume the comma that must come next unless `bracket` does."""
        if not self.take(",") and self._tokens[self._next][:2] != ("sign", bracket):
            self._fail(f"expected ',' or {bracket!r}; {_REMEDY}")

    def _word(self, expected: str) -> str:
        kind, content, _ = self._tokens[self._next]
        if kind != "bare":
            self._fail(f"expected {expected}")
        self._next += 1
        return content.strip()

    def _fail(self, reason: str) -> NoReturn:
        kind, content, position = self._tokens[self._next]
        if kind == "open":
            reason = f"a quote is not closed; {_REMEDY}"
        elif (kind, content) == ("sign", "|") and not self._swept:
            reason = _ALTERNATIVES
        place = "" if kind == "end" else f" at {brief(self._text[position:], 20)}"
        raise UserError(f"cannot read {brief(self._text)}{place}: {reason}")


def bytes_of(text: str) -> int:
    """Return the bytes of an amount of memory like ``4GB`` or ``500MB``; raise a `ValueError` if it is none."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([KMGT])i?B?", text, re.IGNORECASE)
    amount = int(float(match[1]) * 1024 ** ("KMGT".index(match[2].upper()) + 1)) if match else 0
    if not 1 <= amount <= LARGEST_INTEGER:
        raise ValueError("expected an amount like 4GB or 500MB")
    return amount
