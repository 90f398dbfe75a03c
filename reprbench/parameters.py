"""The parameters of methods and datasets as a pydantic model: making it, and comparing given ones with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from reprbench.file_parameter import names_files
from reprbench.strict import StrictNumbers


def make_model(name: str, fields: dict[str, Any], *, is_open: bool = False) -> type[BaseModel]:
    """Return the model of parameters: of each its type and default, ``...`` for none; others are errors unless open."""
    config: dict[str, Any] = {"extra": "allow" if is_open else "forbid", "arbitrary_types_allowed": True}
    config["validate_default"] = any(names_files(hint) for hint, _ in fields.values())
    return create_model(name, __base__=StrictNumbers, __cls_kwargs__=config, **fields)


def default_of(field: FieldInfo) -> Any:
    """Return a field's default; None if it depends on other fields, as it can from pydantic 2.10 on."""
    dependent = getattr(field, "default_factory_takes_validated_data", False)
    return None if dependent else field.get_default(call_default_factory=True)


def changed_parameters(validated: BaseModel, given: Mapping[str, Any]) -> list[str]:
    """Return the names of the declared parameters that are given and are not the default, in the model's order."""
    named = {name: field for name, field in type(validated).model_fields.items() if name in given}
    # A default as it is written may differ from the same one validated: the path of a file becomes absolute.
    return [name for name, field in named.items() if default_of(field) not in (given[name], getattr(validated, name))]
