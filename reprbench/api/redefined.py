"""Compares classes and functions with those that their definitions make when they are run again."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

from reprbench.grammar import brief

_COMPARED = ("__annotations__", "__pydantic_fields__")
"""Attributes of a class that are compared although Python, or pydantic, has named them."""


def difference(made: Mapping[str, tuple[Any, Any]]) -> str:
    """Return what is not as its definition makes it now, as the end of a sentence; empty if there is no such thing.

    Values that hide what they are, such as a lock, count as equal.

    Parameters
    ----------
    made : by its name, each class and function, and the one that its definition makes when it is run again.
    """
    compare = _Comparison({id(again): own for own, again in made.values()})
    for name, (own, again) in made.items():
        if isinstance(own, type):
            if found := compare.difference_of_classes(name, own, again):
                return found
        elif not compare.same(own, again):
            return f"refers to {name!r}, whose defaults or decorators are others since; {_REMEDY}"
    return ""


_REMEDY = "run its definition again"


class _Comparison:
    def __init__(self, own: Mapping[int, Any]) -> None:
        self._own = own
        self._seen: dict[tuple[int, int], tuple[Any, Any]] = {}  # kept, as are their ids thereby

    def difference_of_classes(self, name: str, own: type, again: type) -> str:
        """Return what of a class is not as its definition makes it now, as the end of a sentence."""
        if not self._equal(own.__bases__, again.__bases__):
            return f"has a base of {name} that was defined again since; {_REMEDY}"
        before, now = _attributes(own), _attributes(again)
        if any(isinstance(one, str) for one in now.get("__annotations__", {}).values()):
            # They are deferred: by a cell or another one of the file, and then not in the same way.
            before, now = [
                {name: value for name, value in one.items() if name != "__annotations__"} for one in (before, now)
            ]
        for attribute in dict.fromkeys([*now, *before]):
            if attribute not in now:
                why = "was set after its definition"
            elif attribute not in before:
                why = "was removed after its definition"
            elif self.same(before[attribute], now[attribute]):
                continue
            else:
                why = _changed(before[attribute], now[attribute])
            return f"has {name}.{attribute}, which {why}; {_REMEDY}"
        return ""

    def same(self, own: Any, again: Any) -> bool:
        """Return whether a value is that of a definition, as far as that can be told."""
        pair = id(own), id(again)
        if own is again or pair in self._seen:
            return True
        self._seen[pair] = own, again
        if isinstance(own, type) and isinstance(again, type):
            return self._same_types(own, again)
        return self._same_types(type(own), type(again)) and self._equal(own, again)

    def _same_types(self, own: type, again: type) -> bool:
        if own is again or id(again) in self._own:
            return self._own.get(id(again), again) is own
        # Those inside of others, and those that decorators replaced.
        return own.__qualname__ == again.__qualname__ and not self.difference_of_classes(own.__name__, own, again)

    def _equal(self, own: Any, again: Any) -> bool:
        if typing.get_origin(own):
            own, again = [(typing.get_origin(one), *typing.get_args(one)) for one in (own, again)]
        match own:
            case list() | tuple():
                return len(own) == len(again) and all(map(self.same, own, again))
            case dict():
                return self._equal(list(own.items()), list(again.items()))
            case set() | frozenset():
                return len(own) == len(again) and all(any(self.same(one, other) for other in again) for one in own)
        if _is_equal(own, again):
            return True
        state = [dict(_state(one)) for one in (own, again)]
        if state[0] or state[1]:
            return self._equal(*state)
        # What says nothing of itself, and is only equal to itself, may be the same.
        return not any("__eq__" in vars(base) for base in type(own).__mro__[:-1])


def _attributes(cls: type) -> dict[str, Any]:
    """Return the attributes that a class's body or a decorator gave it, or that were set later."""
    return {
        name: value
        for name, value in vars(cls).items()
        if name != "method_name"  # `register` sets it
        and (not (name.startswith("__") and name.endswith("__")) or name in _COMPARED or isinstance(value, _FUNCTIONS))
    }


_FUNCTIONS = FunctionType, classmethod, staticmethod, property


def _is_equal(own: Any, again: Any) -> bool:
    """Return whether two values are equal; those that are not a number are."""
    if getattr(own, "shape", None) != getattr(again, "shape", None):
        return False
    try:
        equal = (own == again) | ((own != own) & (again != again))
        return bool(equal.all() if hasattr(equal, "all") else equal)
    except Exception:  # whatever the values do
        return False


def _state(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value consists of, by name."""
    match value:
        case FunctionType():
            yield "name", value.__qualname__
            yield "defaults", (value.__defaults__, value.__kwdefaults__)
            yield "around", [_content(cell) for cell in value.__closure__ or ()]
        case property():
            yield "functions", (value.fget, value.fset, value.fdel)
        case classmethod() | staticmethod():
            yield "function", value.__func__
        case MethodType():
            yield "bound", (value.__self__, value.__func__)
        case functools.partial():
            yield "call", (value.func, value.args, value.keywords)
    yield from ((name, part) for name, part in getattr(value, "__dict__", {}).items() if name != "__module__")
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield name, getattr(value, name)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _changed(own: Any, again: Any) -> str:
    if isinstance(own, _FUNCTIONS):
        replaced = getattr(own, "__qualname__", "") != getattr(again, "__qualname__", "")
        return "was set after its definition" if replaced else "has defaults or decorators that are others since"
    plain = all(isinstance(one, bool | int | float | str | list | tuple | dict | None) for one in (own, again))
    return "its definition no longer gives" + (f": it is {brief(own)}, not {brief(again)}" if plain else "")
