"""What is wrong with the class of a plugin, seen without an instance: what it lacks, and what cannot be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

INTERFACES = ("reprbench.learner", "reprbench.torch_learner", "reprbench.protocols.base")
"""The modules of the base classes that declare what the harness calls."""


@cache
def class_problem(cls: type, capabilities: tuple[type, ...] = ()) -> str:
    """Return why a class cannot be used, in one line; empty if nothing is known to be wrong.

    Parameters
    ----------
    capabilities : those that the class has; their methods are called, too.
    """
    if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"{cls.__name__} does not define {' and '.join(lacking)}"
    bases = [base for base in cls.__mro__[1:] if base.__module__ in INTERFACES]
    declared = [(name, value) for base in [*bases, *capabilities] for name, value in vars(base).items()]
    wrong = (_problem(cls, name, value) for name, value in declared if inspect.isfunction(value) and name[0] != "_")
    return next(filter(None, wrong), "")


def _problem(cls: type, name: str, declared: Callable[..., Any]) -> str:
    """Return how the method `name` of `cls` differs from what is called, which is as `declared`."""
    own = inspect.getattr_static(cls, name)
    called = list(inspect.signature(declared).parameters)[1:]
    is_bound = isinstance(own, staticmethod | classmethod)
    if own is declared or not (inspect.isfunction(own) or is_bound):
        return ""
    signature = inspect.signature(getattr(cls, name))
    try:
        signature.bind(*([] if is_bound else [None]), *called)
    except TypeError:
        taken = list(signature.parameters)[0 if is_bound else 1 :]
        return f"{cls.__name__}.{name} takes ({', '.join(taken)}), but is called with ({', '.join(called)})"
    return ""
