"""Reads from the source code of a plugin what it registers, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from reprbench.texts import reason

EntryKind = Literal["method", "protocol", "dataset"]

_DECORATORS: dict[str, EntryKind] = {
    "register": "method",
    "register_protocol": "protocol",
    "register_dataset": "dataset",
}


def registered(source: str | bytes) -> list[tuple[EntryKind, str]]:
    """Return the kinds and names that Python source code registers, read from the syntax tree alone."""
    return [(kind, name) for _, kind, name in definitions(ast.parse(source)) if kind is not None]


def definitions(tree: ast.AST) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, EntryKind | None, str]]:
    """Yield all classes and functions with the kind and name they are registered under; the others with kind None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found = [_registration(decorator) for decorator in node.decorator_list]
            yield from ((node, kind, name) for kind, name in filter(None, found))
            if not any(found):
                yield node, None, ""


def _registration(decorator: ast.expr) -> tuple[EntryKind, str] | None:
    match decorator:
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]):
            return (_DECORATORS[called], name) if called in _DECORATORS else None
    return None


@lru_cache(maxsize=64)
def parsed(source: bytes) -> ast.Module:
    """Parse a file once for all that it defines and that is asked of it."""
    return ast.parse(source)


def extra_of(definition: ast.ClassDef | ast.FunctionDef) -> str | None:
    """Return the extra that a class names as a literal in its own body; see `reprbench.Learner.extra`."""
    for node in definition.body:
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id="extra"), value=ast.Constant(value=str(extra)))
                | ast.Assign(targets=[ast.Name(id="extra")], value=ast.Constant(value=str(extra)))
            ):
                return extra
    return None


def what_is_wrong(error: Exception) -> str:
    """Return why a Python file cannot be read, and in which line if that is known, in one line."""
    if isinstance(error, RecursionError | MemoryError):
        return "its code is nested too deep"
    known = isinstance(error, SyntaxError) and error.lineno
    text = f"line {error.lineno}: {error.msg}" if known else reason(error)  # type: ignore[attr-defined]
    return f"{type(error).__name__}: {text}"
