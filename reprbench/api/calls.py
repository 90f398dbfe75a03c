"""Reads what is asked for in Python, such as classes beside names, as the calls that the command line has."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from reprbench.api.captured import capture, method_name
from reprbench.api.wrapping import program_call
from reprbench.errors import UserError
from reprbench.grammar import brief
from reprbench.learner import Learner, parameters_model
from reprbench.registrations import registered
from reprbench.registry import discover
from reprbench.signatures import class_problem
from reprbench.spec import Call, parse_call, parse_calls
from reprbench.sweep import Sweep, parse_methods

if TYPE_CHECKING:
    from reprbench.adapters.modules import WrappedModule

Method = str | Call | type[Learner] | Learner
"""A method: its call, as text or not; a class; or an object with the parameters that it should have."""


def asked_methods(methods: Method | Iterable[Method], cache: Path) -> tuple[tuple[Call | Sweep, ...], tuple[Path, ...]]:
    """Return the calls of methods, and the plugin files that define those that are given as classes.

    Raises
    ------
    UserError
        If something is no method, a class lacks what is called, or cannot be written to a file; see `capture`.
    """
    if isinstance(methods, str | Call | type | Learner) or not isinstance(methods, Iterable):
        methods = [methods]
    calls: list[Call | Sweep] = []
    plugins: list[Path] = []
    for method in methods:
        match method:
            case str():
                calls += parse_methods(method)
            case Call():
                calls.append(method)
            case Learner() if _is_module(method):
                calls.append(program_call(method, cache))
            case Learner():
                call, own = _of_class(type(method), cache)
                calls.append(call.with_parameters(**_changed(method)))
                plugins += own
            case type() if issubclass(method, Learner):
                call, own = _of_class(method, cache)
                calls.append(call)
                plugins += own
            case _:
                raise UserError(f"methods: {brief(method)}: expected a name, a call, or a class derived from Learner")
    return tuple(calls), tuple(dict.fromkeys(plugins))


def _is_module(learner: Learner) -> TypeGuard[WrappedModule]:
    from reprbench.adapters.modules import WrappedModule

    return isinstance(learner, WrappedModule)


def asked_call(given: str | Call, what: str) -> Call:
    """Return the one call that is given, as text or not; raise a `UserError` that begins with `what` otherwise."""
    if isinstance(given, str | Call):
        return given if isinstance(given, Call) else parse_call(given)
    raise UserError(f"{what}: {brief(given)}: expected a name or a call, as a text")


def asked_calls(given: str | Call | Iterable[str | Call], what: str) -> tuple[Call, ...]:
    """Return the calls that are given; a text may hold several, separated by commas."""
    every = given if isinstance(given, Iterable) and not isinstance(given, str | Call) else [given]
    return tuple(
        call for one in every for call in (parse_calls(one) if isinstance(one, str) else [asked_call(one, what)])
    )


def _of_class(cls: type[Learner], cache: Path) -> tuple[Call, list[Path]]:
    """Return the call of a class, and the file that registers it, unless it is installed."""
    if problem := class_problem(cls):
        raise UserError(f"class {problem}")
    name = method_name(cls)
    entry = discover(folder=None).methods.get(name)
    if entry is not None and entry.target == f"{cls.__module__}:{cls.__qualname__}":
        return Call(name=name), []
    return Call(name=name), [_registering(cls, name) or capture(cls, cache)]


def _registering(cls: type[Learner], name: str) -> Path | None:
    """Return the file of a class if it registers it, and can be imported without running a script or a notebook."""
    if cls.__module__ == "__main__" or vars(cls).get("method_name") != name:
        return None
    try:
        file = Path(inspect.getfile(cls))
        return file if ("method", name) in registered(file.read_bytes()) else None
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


def _changed(learner: Learner) -> dict[str, Any]:
    """Return the parameters of a learner that are not the defaults."""
    validated = parameters_model(type(learner)).model_validate(learner.parameters())
    changed: dict[str, Any] = json.loads(validated.model_dump_json(exclude_defaults=True))
    return changed
