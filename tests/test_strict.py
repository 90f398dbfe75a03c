from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, ValidationError, create_model

from reprbench.file_parameter import parameters_by_content
from reprbench.learner import Learner, parameters_model
from reprbench.strict import StrictNumbers

Small = Annotated[int, AfterValidator(lambda value: value % 10)]


class Color(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("kind", "wrong", "good"),
    [
        (int, [True, "5", 5.0, None, math.inf], {5: 5}),
        (float, [True, "5", "nan", math.nan, math.inf, None], {5: 5.0, 0.5: 0.5}),
        (bool, [1, 0, "true", 1.0], {True: True}),
        (PositiveInt, [True, 0], {1: 1}),
        (Small, [True, "5"], {15: 5}),
        (tuple[float, ...], [[True], ["1"], 1], {(): ()}),
        (dict[str, int], [{"a": True}], {}),
        (int | Literal["all"], [True, 5.0, "5"], {5: 5, "all": "all"}),
        (float | None, [True, math.nan], {None: None, 1: 1.0}),
        (Literal[1, 2], [True, 1.0, "1", 3, False], {1: 1, 2: 2}),
        (Literal[True, "all"], [1, 1.0, False, 0], {True: True, "all": "all"}),
        (tuple[Literal[0, 1], ...], [[True], [0.0]], {(0, 1): (0, 1)}),
        # Everything else is read as pydantic does, and a field may say that it takes more.
        (Path, [3], {"a": Path("a")}),
        (Color, ["blue"], {"red": Color.RED}),
        (tuple[str, ...], [["a", 1]], {}),
        (Annotated[int, Field(strict=False)], ["x"], {"5": 5}),
        (Annotated[int, BeforeValidator(int)], ["x"], {"5": 5}),
        (Annotated[float, Field(allow_inf_nan=True)], ["x"], {"inf": math.inf, "-Infinity": -math.inf, 1: 1.0}),
    ],
)
def test_numbers_are_strict_wherever_they_occur(kind, wrong, good):
    model = create_model("Model", __base__=StrictNumbers, value=(kind, ...))
    for value in wrong:
        with pytest.raises(ValidationError):
            model(value=value)
    for value, expected in good.items():
        found = model(value=value).value
        assert (found, type(found)) == (expected, type(expected))
    if kind == tuple[float, ...]:
        assert model(value=[1]).value == (1.0,)


def test_a_default_is_not_taken_for_a_type():
    model = create_model("Model", __base__=StrictNumbers, value=(dict, {"type": "int"}))
    assert model().value == {"type": "int"}


class Unbounded(Learner):
    limit: Annotated[float, Field(allow_inf_nan=True)] = math.inf

    def fit(self, images, run): ...

    def encode(self, x): ...


def test_infinity_on_purpose_survives_json():
    """Parameters are kept as JSON, which has no infinity, and read from there by the trial."""
    model = parameters_model(Unbounded)
    for given in ({}, {"limit": "inf"}, {"limit": 3}):
        validated = model.model_validate(given)
        assert model.model_validate(parameters_by_content(validated)) == validated
    assert parameters_by_content(model()) == {"limit": "Infinity"}
