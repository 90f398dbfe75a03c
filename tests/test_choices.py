"""A value that may be of several types: one message for each mistake, at the place of the value."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError, create_model

from reprbench.spec import mistakes
from reprbench.strict import StrictNumbers

Layers = Literal["last", "all"] | tuple[str, ...]


@pytest.mark.parametrize(
    ("kind", "value", "lines"),
    [
        (Layers, 3, ["x: value: Input should be 'last' or 'all', or a list, not 3"]),
        (Layers, ["a", 1], ["x: value.1: Input should be a valid string, not 1; put quotes around it"]),
        (Layers | None, 3, ["x: value: Input should be 'last' or 'all', or a list, not 3"]),
        (dict[str, Layers], {"path": 3}, ["x: value.path: Input should be 'last' or 'all', or a list, not 3"]),
        (int | Literal["all"], "some", ["x: value: Input should be a valid integer, or 'all', not 'some'"]),
        (int | Literal[1], True, ["x: value: Input should be a valid integer, or 1, not True"]),
        (int | None, "5", ["x: value: Input should be a valid integer, not '5'"]),
        (tuple[Layers, int], (3, "a"), [
            "x: value.0: Input should be 'last' or 'all', or a list, not 3",
            "x: value.1: Input should be a valid integer, not 'a'",
        ]),
    ],
)  # fmt: skip
def test_one_message_for_each_mistake(kind, value, lines):
    model = create_model("Model", __base__=StrictNumbers, value=(kind, ...))
    with pytest.raises(ValidationError) as error:
        model(value=value)
    assert mistakes(error.value, "x", model.model_fields) == lines


def test_fields_called_like_types_are_fields():
    model = create_model("Model", __base__=StrictNumbers, path=(Path, ...), int=(int, ...))
    with pytest.raises(ValidationError) as error:
        model(path=3, int="a")
    places = [line.split(": ")[1] for line in mistakes(error.value, "x", model.model_fields)]
    assert places == ["path", "int"]
