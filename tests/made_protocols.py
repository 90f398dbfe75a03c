"""Makes protocols from calls, as a run does: what planning finds wrong is raised."""

from __future__ import annotations

from collections.abc import Iterable

from reprbench.errors import UserError
from reprbench.protocols.base import Protocol
from reprbench.registry import discover
from reprbench.runner.describe import Question, answer
from reprbench.spec import Call


def make_protocols(calls: Iterable[Call]) -> list[Protocol]:
    """Return the validated installed protocols; raise a `UserError` with the mistakes of the first wrong call."""
    registry = discover(folder=None)
    return [_made(Question(registry.find("protocol", call.name), call.parameters)) for call in calls]


def _made(question: Question) -> Protocol:
    found = answer(question)
    if found.mistakes:
        raise UserError("\n".join(found.mistakes))
    return question.entry.load().model_validate(question.parameters)
