"""One mistake for a value that may be of several types: pydantic reports one for each of the types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]

_TYPE = re.compile(r"int|float|bool|str|none|path|[a-z_-]+[\[(].*", re.DOTALL)
"""What pydantic calls a type in the place of a mistake: it stands there after the name of the value."""


def one_of_each(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the mistakes with one for each value that may be of several types, and places without the types.

    If a value is of one of them and wrong inside, what is wrong there counts; otherwise one message names them all.
    """
    choices = _choices([mistake["loc"] for mistake in found])
    groups: dict[Place, list[ErrorDetails]] = {}
    for mistake in found:
        place = mistake["loc"]
        depth = next((depth for depth in range(1, len(place)) if place[:depth] in choices), len(place))
        groups.setdefault(place[:depth], []).append(mistake)
    chosen = [one for place, mistakes in groups.items() for one in _chosen(mistakes, len(place) + 1)]
    return [{**one, "loc": _without(one["loc"], choices)} for one in chosen]


def _choices(places: Sequence[Place]) -> set[Place]:
    """Return the places of the values that may be of several types: nothing but types, and several, stand below."""
    below: dict[Place, set[int | str]] = {}
    for place in places:
        for depth in range(1, len(place)):
            below.setdefault(place[:depth], set()).add(place[depth])
    return {place for place, parts in below.items() if len(parts) > 1 and all(map(_is_type, parts))}


def _is_type(part: int | str) -> bool:
    return isinstance(part, str) and _TYPE.fullmatch(part) is not None


def _without(place: Place, choices: set[Place]) -> Place:
    return tuple(part for depth, part in enumerate(place) if place[:depth] not in choices)


def _chosen(mistakes: list[ErrorDetails], depth: int) -> list[ErrorDetails]:
    """Return those of the mistakes about one value that say most; `depth` is the length of the places of its types."""
    if inside := [one for one in mistakes if len(one["loc"]) > depth]:
        return [one for one in inside if one["loc"][:depth] == inside[0]["loc"][:depth]]
    first, *others = mistakes
    wanted = [one["msg"].removeprefix("Input should be ") for one in others]
    return [{**first, "msg": ", or ".join(dict.fromkeys([first["msg"], *wanted]))}] if others else mistakes
