"""Strict parameters: a number is a number, finite, and no text or truth value is taken for one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

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
        # Neither JSON nor the grammar of values can write infinity: where it is allowed, it is a text.
        if kind in ("int", "bool") or (kind == "float" and not schema["allow_inf_nan"]):
            schema.setdefault("strict", True)
        for name, part in schema.items():
            if name not in _NOT_SCHEMAS:
                _make_strict(part)


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
