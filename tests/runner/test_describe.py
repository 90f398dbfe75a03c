from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, PositiveInt

from reprbench.benchmark import find_benchmark
from reprbench.registry import discover
from reprbench.runner.describe import Question, answer, describe, type_text

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "stl10": (3, 96, 96)}
PLUGIN = """
from reprbench import Learner, UserError, register


@register("picky")
class Picky(Learner):
    side: int = 9

    def build(self, shape):
        if shape[1] < self.side:
            raise UserError(f"images of {shape[1]} rows; set side lower")
        if shape[1] == 13:
            raise RuntimeError("cannot be built without numbers")

    def fit(self, images, run): ...

    def encode(self, x): ...
"""


@pytest.mark.parametrize("name", ["quick", "mnist", "table1-cifar10", "table1-stl10", "single-layer-cifar10"])
def test_every_row_of_our_benchmarks_can_be_built_for_its_images(name):
    registry, benchmark = discover(folder=Path("none")), find_benchmark(name)
    calls, shape = [row.method for row in benchmark.methods], SHAPES[benchmark.dataset.name]
    found = describe([Question(registry.find("method", call.name), call.parameters, {}, shape) for call in calls])
    assert {str(call): d.problem or d.mistakes for call, d in zip(calls, found, strict=True)} == {
        str(call): [] for call in calls
    }


def test_every_method_is_a_row_of_the_tables_and_of_the_quick_benchmark():
    installed = {name for name, entry in discover(folder=Path("none")).methods.items() if entry.way == "entry point"}
    for name in ("quick", "table1-cifar10", "table1-stl10"):
        assert {row.method.name for row in find_benchmark(name).methods} == installed


@pytest.mark.parametrize(
    ("parameters", "shape", "mistakes"),
    [
        ({}, (1, 8, 8), ["method picky: images of 8 rows; set side lower"]),
        ({"side": 8}, (1, 8, 8), []),
        ({}, None, []),
        ({}, (1, 13, 13), []),
    ],
)
def test_a_learner_refuses_images_when_a_run_is_planned(tmp_path, monkeypatch, parameters, shape, mistakes):
    (tmp_path / "picky.py").write_text(PLUGIN)
    registry = discover(plugins=[tmp_path / "picky.py"], folder=Path("none"))
    assert answer(Question(registry.find("method", "picky"), parameters, {}, shape)).mistakes == mistakes


class Typed(BaseModel):
    plain: int = 1
    bounded: Annotated[float, Field(ge=0, lt=1)] = 0.5
    word: Literal["max", "mean"] = "max"
    optional: PositiveInt | None = None
    several: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1), AfterValidator(sorted)] = (1.0,)
    pairs: tuple[tuple[str, bool], ...] = ()


def test_types_read_as_values_are_written():
    assert {name: type_text(info) for name, info in Typed.model_fields.items()} == {
        "plain": "int",
        "bounded": "float ≥ 0, < 1",
        "word": "max or mean",
        "optional": "int > 0 or null",
        "several": "[float ≥ 0, …] length ≥ 1",
        "pairs": "[[text, bool], …]",
    }
