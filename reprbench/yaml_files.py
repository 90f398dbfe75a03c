"""Reads YAML files into plain values, and rejects what would surprise or harm: aliases, objects, repeated keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from reprbench.errors import UserError, system_reason
from reprbench.files import open_regular
from reprbench.grammar import LONGEST_NUMBER, brief

LARGEST = 2**24
"""The largest file that is read, in bytes."""
DEEPEST = 64
"""Nested lists and mappings."""

_TAG = "tag:yaml.org,2002:"
_TEXT = _TAG + "str"
_PLAIN = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}

# LibYAML, if PyYAML was built with it, is ten times as fast.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Base):  # type: ignore[misc, unused-ignore]
    """Also reads numbers like 1e-3, which are texts in YAML 1.1."""


_EXPONENT = re.compile(r"[-+]?([0-9]+|[0-9]*\.[0-9]+|[0-9]+\.)[eE][-+]?[0-9]+\Z")
_StrictLoader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+.0123456789"))


def read_yaml(path: Path, what: str) -> tuple[Any, list[str]]:
    """Return the content of a YAML file, and a message for each key that is given twice.

    Parameters
    ----------
    what : names the file in messages.

    Raises
    ------
    UserError
        If the file cannot be read, is not YAML, or holds more than numbers, booleans, nulls, texts, lists and mappings.
    """
    text = _text(path, what)
    try:
        root = yaml.compose(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        message = " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")
        raise UserError(f"{what}: not YAML: {message[:300]}") from None
    if root is None:
        return None, []
    wrong = list(_problems(root))
    if wrong:
        raise UserError("\n".join(f"{what}: {line}" for line in wrong))
    try:
        content = _StrictLoader("").construct_document(root)
    except (yaml.YAMLError, ValueError, KeyError) as error:
        message = " ".join(str(error).split())[:200]
        raise UserError(f"{what}: a value does not fit its type, such as !!int: {message}") from None
    return content, [f"{what}: {line}" for line in _repeated(root)]


def _text(path: Path, what: str) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # a ValueError if the path holds a NUL
        raise UserError(f"{what}: {system_reason(error)}; expected a readable YAML file") from None
    if len(content) > LARGEST:
        raise UserError(f"{what}: larger than {LARGEST >> 20} MB; expected a YAML file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: not UTF-8: {error}") from None


def _nodes(root: yaml.Node) -> Iterator[tuple[yaml.Node, int, bool]]:
    """Yield each node in the order of the file, its depth, and whether it came before, through an alias."""
    seen: set[int] = set()
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth, id(node) in seen
        if id(node) in seen or depth > DEEPEST:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [(one, depth + 1) for pair in reversed(node.value) for one in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(one, depth + 1) for one in reversed(node.value)]


def _problems(root: yaml.Node) -> Iterator[str]:
    """Yield a message for everything that is not accepted."""
    for node, depth, again in _nodes(root):
        if again:
            yield f"{_line(node)}: this value is used again by an alias (*…); write it out there"
        elif depth > DEEPEST:
            yield f"{_line(node)}: more than {DEEPEST} nested lists and mappings"
        elif node.tag not in _PLAIN:
            content = brief(node.value) if isinstance(node, yaml.ScalarNode) else "this value"
            tag = brief(node.tag.removeprefix(_TAG))
            yield f"{_line(node)}: {content} has the type {tag}, which is not used here; put quotes around a text"
        elif node.tag == _TAG + "int" and len(node.value) > LONGEST_NUMBER:
            yield f"{_line(node)}: a number of {len(node.value)} digits; expected at most {LONGEST_NUMBER}"
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        yield from (
            f"{_line(key)}: expected a text as key; put quotes around it" for key in keys if key.tag in _PLAIN - {_TEXT}
        )


def _repeated(root: yaml.Node) -> Iterator[str]:
    """Yield a message for each key that is repeated in a mapping; all keys are texts."""
    for node, _, _ in _nodes(root):
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in seen:
                yield f"{_line(key)}: {brief(key.value)} is given twice"
            seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
