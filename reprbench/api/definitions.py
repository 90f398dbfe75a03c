"""Finds the source of a class or function, also in a cell of a notebook, and the global names that it refers to."""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from reprbench.registry import register


@dataclass(frozen=True)
class Definition:
    """The source of a class or function at the top level of its module.

    Attributes
    ----------
    text : without decorators.
    decorators : except for `register`, one a line.
    names : the global names that it refers to, also those of builtins.
    future : whether its module defers annotations.
    """

    text: str
    decorators: tuple[str, ...]
    names: frozenset[str]
    future: bool


def find_definition(item: type | FunctionType) -> Definition | str:
    """Return the definition of a class or function, or why it cannot be known, as the end of a sentence."""
    if "<locals>" in item.__qualname__ or "." in item.__qualname__:
        return f"needs {item.__qualname__}, which is defined inside of something else; define it at the top level"
    functions = functions_of(item)
    for function in functions:
        if outer := [name for name in function.__code__.co_freevars if name != "__class__"]:
            return (
                f"has the function {function.__name__}, which needs {outer[0]!r} from around it; pass it as a parameter"
            )
    for source in _sources(item, functions):
        node = _node(source, item, functions)
        if node is not None:
            if later := _set_later(node, item):
                return f"has {item.__name__}.{later}, which was set after its definition; run its definition again"
            return _definition(source, node, _defers(source, functions), namespace_of(item))
    if item.__name__ == "<lambda>":
        return "needs a function that is a lambda; write it with def"
    return f"has the source of {item.__name__!r} nowhere: it was typed or made in a way that Python does not keep"


def functions_of(item: type | FunctionType) -> list[FunctionType]:
    """Return the functions that the source of a class itself defines, or the function."""
    if isinstance(item, FunctionType):
        return [_innermost(item)]
    found = [function for value in vars(item).values() for function in _functions(value)]
    # Those that dataclasses and the like make have no source.
    return [one for one in found if one.__qualname__ == f"{item.__qualname__}.{one.__name__}" and _is_written(one)]


def namespace_of(item: type | FunctionType) -> Mapping[str, Any]:
    """Return the global names that a class or function sees."""
    functions = functions_of(item)
    module = sys.modules.get(item.__module__)
    return functions[0].__globals__ if functions else vars(module) if module else {}


def _is_written(function: FunctionType) -> bool:
    return function.__code__.co_filename != "<string>"


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yield the functions in an attribute of a class."""
    match value:
        case FunctionType():
            yield _innermost(value)
        case staticmethod() | classmethod():
            yield from _functions(value.__func__)
        case property():
            for part in (value.fget, value.fset, value.fdel):
                yield from _functions(part)
        case functools.cached_property():
            yield from _functions(value.func)


def _innermost(function: FunctionType) -> FunctionType:
    found = inspect.unwrap(function)
    return found if isinstance(found, FunctionType) else function


def _sources(item: type | FunctionType, functions: list[FunctionType]) -> Iterator[str]:
    """Yield the texts in which the definition may be, the likeliest first."""
    if functions:
        yield "".join(linecache.getlines(functions[0].__code__.co_filename))
        return
    module = sys.modules.get(item.__module__)
    history = getattr(getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)(), "history_manager", None)
    if history is not None and item.__module__ == "__main__":
        yield from reversed(history.input_hist_parsed)
    elif file := getattr(module, "__file__", None):
        yield Path(file).read_text(encoding="utf-8")


def _node(
    source: str, item: type | FunctionType, functions: list[FunctionType]
) -> ast.ClassDef | ast.FunctionDef | None:
    """Return the definition in a text, which is that of the item itself and not of another one of its name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    named = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == item.__name__
    ]
    return next((node for node in reversed(named) if _is(node, item, functions)), None)


def _is(node: ast.ClassDef | ast.FunctionDef, item: type | FunctionType, functions: list[FunctionType]) -> bool:
    if functions:
        first = min(line.lineno for line in [node, *node.decorator_list])
        return all(first <= one.__code__.co_firstlineno <= (node.end_lineno or 0) for one in functions)
    # A class without functions is known by the values of its attributes.
    return not _set_later(node, item)


def _set_later(node: ast.ClassDef | ast.FunctionDef, item: type | FunctionType) -> str:
    """Return an attribute of a class that is not as the class's definition says, as far as that can be told."""
    if isinstance(item, FunctionType):
        return ""
    plain = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef) and not part.decorator_list}
    assigned = dict(_assigned(node))
    own = vars(item)
    changed = [
        name
        for name, value in assigned.items()
        if name not in own or (isinstance(value, ast.Constant) and own[name] != value.value)
    ]
    changed += [name for name, part in plain.items() if _first_line(own.get(name)) != part.lineno]
    return next(
        iter([*changed, *(name for name in _function_names(own) if name not in {*_named(node), *assigned})]), ""
    )


def _first_line(attribute: Any) -> int:
    return next((one.__code__.co_firstlineno for one in _functions(attribute)), 0)


def _function_names(attributes: Mapping[str, Any]) -> Iterator[str]:
    for name, value in attributes.items():
        if any(map(_is_written, _functions(value))):
            yield name


def _named(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    """Yield the names that are bound by statements inside of a class, at any depth."""
    for part in ast.walk(node):
        match part:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


def _assigned(node: ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                yield name, value
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value


def _defers(source: str, functions: list[FunctionType]) -> bool:
    flag = __future__.annotations.compiler_flag
    return any(one.__code__.co_flags & flag for one in functions) if functions else "import annotations" in source


def _definition(
    source: str, node: ast.ClassDef | ast.FunctionDef, future: bool, namespace: Mapping[str, Any]
) -> Definition:
    lines = source.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
    text = textwrap.dedent("".join(lines)).rstrip()
    decorators = tuple(f"@{ast.unparse(one)}" for one in node.decorator_list if not _is_register(one, namespace))
    table = symtable.symtable("\n".join([*decorators, text]), "<definition>", "exec")
    return Definition(text, decorators, frozenset(_global_names(table)), future)


def _is_register(decorator: ast.expr, namespace: Mapping[str, Any]) -> bool:
    return isinstance(decorator, ast.Call) and _value(decorator.func, namespace) is register


def _value(name: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """Return what a name, dotted or not, stands for; None if it cannot be told."""
    match name:
        case ast.Name(id=plain):
            return namespace.get(plain)
        case ast.Attribute(value=outer, attr=attribute):
            return getattr(_value(outer, namespace), attribute, None)
    return None


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_global() and symbol.is_referenced():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _global_names(inner)
