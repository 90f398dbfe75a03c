"""The type `DatasetCall`: a parameter of a protocol that names another dataset, identified by its content."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, SerializationInfo

from reprbench.errors import UserError
from reprbench.file_parameter import BY_CONTENT
from reprbench.spec import Call, CallField, parse_call


def _writable(call: Call) -> Call:
    """Refuse a call that its text does not hold: a mapping as a parameter, which only YAML can write."""
    try:
        same = parse_call(str(call)) == call
    except UserError:
        same = False
    if not same:
        raise ValueError(f"{str(call)[:80]!r} cannot be written as one text; leave out the mapping in its parameters")
    return call


def _serialize(call: Any, info: SerializationInfo) -> Any:
    if not isinstance(call, Call):  # another member of a union
        return call
    # Where its files lie is no part of an identity: the harness adds the digest of the content.
    return {"dataset": call.name} if info.context == BY_CONTENT else str(call)


DatasetCall = Annotated[CallField, AfterValidator(_writable), PlainSerializer(_serialize, when_used="json")]
"""A dataset as users write it, ``mnist`` or ``"folder[path=birds]"``, as a parameter of a protocol.

The protocol names it in `Protocol.other_datasets`: it is then found when a run is planned, and its content is part of
the identity of an evaluation.
"""
