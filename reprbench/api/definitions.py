"""Finds the source of a class or function, also in a cell of a notebook, and the global names that it refers to."""

from __future__ import annotations
import __future__

import ast
import contextlib
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
    dotted : the dotted names in it, such as ``torch.nn.functional.relu``.
    future : whether its module defers annotations.
    """

    text: str
    decorators: tuple[str, ...]
    names: frozenset[str]
    dotted: frozenset[str]
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
    later = ""
    for source in _sources(item, functions):
        for node in _named(source, item):
            others = _others(node, item, functions)
            if not others:
                return _definition(source, node, _defers(source, functions), namespace_of(item))
            if len(others) < len(functions) or not functions:
                later = later or others[0]
    if later:
        return f"has {item.__name__}.{later}, which was set after its definition; run its definition again"
    if item.__name__ == "<lambda>":
        return "needs a function that is a lambda; write it with def"
    return f"has the source of {item.__name__!r} nowhere: it was typed or made in a way that Python does not keep"


def functions_of(item: type | FunctionType) -> list[FunctionType]:
    """Return the functions that the source of a class itself defines, or the function."""
    if isinstance(item, FunctionType):
        return [_innermost(item)]
    found = [function for value in vars(item).values() for function in _functions(value)]
    return [
        one for one in found if one.__qualname__ == f"{item.__qualname__}.{one.__name__}" and _is_written(one, item)
    ]


def namespace_of(item: type | FunctionType) -> Mapping[str, Any]:
    """Return the global names that a class or function sees."""
    functions = functions_of(item)
    module = sys.modules.get(item.__module__)
    return functions[0].__globals__ if functions else vars(module) if module else {}


def _is_written(function: FunctionType, cls: type) -> bool:
    """Return whether a function is written in the module of a class: dataclasses and the like make others."""
    return function.__code__.co_filename != "<string>" and function.__globals__.get("__name__") == cls.__module__


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


def _named(source: str, item: type | FunctionType) -> list[ast.ClassDef | ast.FunctionDef]:
    """Return the definitions of an item's name in a text, the last one first."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    wanted = ast.FunctionDef if isinstance(item, FunctionType) else ast.ClassDef
    return [node for node in ast.walk(tree) if isinstance(node, wanted) and node.name == item.__name__][::-1]


def _others(
    node: ast.ClassDef | ast.FunctionDef, item: type | FunctionType, functions: list[FunctionType]
) -> list[str]:
    """Return the names of functions, or else of values, of an item that are not those of a definition."""
    if functions:
        file, first = functions[0].__code__.co_filename, min(one.lineno for one in [node, *node.decorator_list])
        lines = range(first, (node.end_lineno or 0) + 1)
        codes = [one.__code__ for one in functions]
        return [one.co_name for one in codes if one.co_filename != file or one.co_firstlineno not in lines]
    own = vars(item)
    return [name for name, value in _literals(node) if isinstance(own.get(name), _PLAIN) and own[name] != value]


_PLAIN = (bool, int, float, str, list, tuple, dict)


def _literals(node: ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a class whose values are written out."""
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case _:
                continue
        with contextlib.suppress(ValueError, TypeError):
            yield name, ast.literal_eval(value)


def _defers(source: str, functions: list[FunctionType]) -> bool:
    flag = __future__.annotations.compiler_flag
    return any(one.__code__.co_flags & flag for one in functions) if functions else "import annotations" in source


def _definition(
    source: str, node: ast.ClassDef | ast.FunctionDef, future: bool, namespace: Mapping[str, Any]
) -> Definition:
    lines = source.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
    text = textwrap.dedent("".join(lines)).rstrip()
    decorators = tuple(f"@{ast.unparse(one)}" for one in node.decorator_list if not _is_register(one, namespace))
    whole = "\n".join([*decorators, text])
    names = frozenset(_global_names(symtable.symtable(whole, "<definition>", "exec")))
    dotted = frozenset(ast.unparse(part) for part in ast.walk(ast.parse(whole)) if isinstance(part, ast.Attribute))
    return Definition(text, decorators, names, dotted, future)


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
