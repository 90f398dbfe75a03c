"""Strict parameters: a number is a number, finite, and no text or truth value is taken for one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_before_validator_function

_NOT_SCHEMAS = ("default", "expected", "metadata", "serialization")


def _make_strict(schema: Any) -> None:
    """Make the numbers inside a schema strict that do not say otherwise."""
    if isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        if kind == "float":
            schema.setdefault("allow_inf_nan", False)
        if kind == "literal":
            _make_literal_strict(schema)
            return
        # Neither JSON nor the grammar of values can write infinity: where it is allowed, it is a text.
        if kind in ("int", "bool") or (kind == "float" and not schema["allow_inf_nan"]):
            schema.setdefault("strict", True)
        for name, part in schema.items():
            if name not in _NOT_SCHEMAS:
                _make_strict(part)


def _make_literal_strict(schema: Any) -> None:
    """Make a literal tell numbers and truth values apart: to Python, and to pydantic, 1 is True, and 1.0."""
    listed = schema["expected"]
    if not any(isinstance(one, int) for one in listed):
        return

    def check(value: Any) -> Any:
        if isinstance(value, int | float) and (type(value), value) not in [(type(one), one) for one in listed]:
            *others, last = map(repr, listed)
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise PydanticKnownError("literal_error", {"expected": wanted})
        return value

    literal = dict(schema)
    schema.clear()
    schema.update(no_info_before_validator_function(check, literal))


class StrictNumbers(BaseModel):
    """A model whose fields of type int, float and bool are strict, wherever they occur in a type.

    An int is no bool, 3.0 or "3"; a float is finite, and may be written as an int; a bool is true or false. All other
    types are read as pydantic does by default: a list is a tuple, a text is a path or a member of an enumeration.
    A field says itself what it accepts beyond that: ``Field(strict=False)``, a validator of its own, or
    ``Field(allow_inf_nan=True)``, which also reads the texts inf and nan.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        """Return the schema that pydantic makes, with strict numbers."""
        schema = handler(source)
        _make_strict(handler.resolve_ref_schema(schema))
        return schema
