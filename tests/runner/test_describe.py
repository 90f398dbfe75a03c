from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from common import NEED_FILES
from pydantic import AfterValidator, BaseModel, Field, PositiveInt

from reprbench.benchmark import find_benchmark
from reprbench.file_parameter import File
from reprbench.learner import make
from reprbench.registry import Entry, discover
from reprbench.run_context import seeded
from reprbench.runner.describe import Question, answer, type_text
from reprbench.runner.descriptions import describe

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "stl10": (3, 96, 96)}
OBJECTIVES = ["objectives-cifar10", "objectives-resnet18-cifar10", "quick-extras"]
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


@pytest.mark.parametrize(
    "name", ["quick", "mnist", "table1-cifar10", "table1-stl10", "single-layer-cifar10", *OBJECTIVES]
)
def test_every_row_of_our_benchmarks_can_be_built_for_its_images(name):
    registry, benchmark = discover(folder=Path("none")), find_benchmark(name)
    calls, shape = [row.method for row in benchmark.methods], SHAPES[benchmark.dataset.name]
    found = describe([Question(registry.find("method", call.name), call.parameters, {}, shape) for call in calls])
    assert {str(call): d.problem or d.mistakes for call, d in zip(calls, found, strict=True)} == {
        str(call): [] for call in calls
    }


def test_every_method_is_a_row_of_a_quick_benchmark():
    """Those of an extra have one of their own: the other could not be run where an extra is not installed."""
    entries = {name: one for name, one in discover(folder=Path("none")).methods.items() if one.way == "entry point"}
    of_extras = {name for name, entry in entries.items() if entry.load().extra}
    quick, extras = ({row.method.name for row in find_benchmark(n).methods} for n in ("quick", "quick-extras"))
    assert quick == entries.keys() - of_extras - NEED_FILES
    assert of_extras - NEED_FILES <= extras


def test_the_tables_of_the_paper_have_the_same_rows():
    cifar, stl = (
        {row.method.name for row in find_benchmark(name).methods} for name in ("table1-cifar10", "table1-stl10")
    )
    assert cifar == stl


def test_objectives_are_compared_on_one_encoder_with_one_budget():
    registry, benchmark = discover(folder=Path("none")), find_benchmark("objectives-cifar10")
    encoders = {}
    *rows, backbone = benchmark.methods
    assert backbone.method.name == "untrained-timm"
    for row in rows:
        with seeded(0, "weights"):
            learner = make(registry.find("method", row.method.name).load(), row.method.parameters, (3, 32, 32))
        encoders[row.name] = learner.encoder.state_dict()
    transformer = encoders.pop("MAE")
    assert all(one.keys() == encoders["AE"].keys() for one in encoders.values())
    assert all(torch.equal(one[key], weight) for one in encoders.values() for key, weight in encoders["AE"].items())
    sizes = [sum(weight.numel() for weight in one.values()) for one in (transformer, encoders["AE"])]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    assert {row.budget for row in benchmark.methods} == {None}
    assert all(row.tune is None and row.protocols is None for row in benchmark.methods)


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


PROTOCOL = """
from reprbench import File, Outcome, Protocol, register_protocol


@register_protocol("mine")
class Mine(Protocol):
    headlines = ("metric",)
    ref: File = "ref.npy"
    size: float = 3

    def evaluate(self, subject, seed):
        return Outcome()
"""


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Describes the protocol "mine" of a file with this code, asked from the file's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref.npy").write_bytes(b"reference")

    def ask(code=PROTOCOL, **parameters):
        (tmp_path / "mine.py").write_text(code)
        return describe([Question(Entry("mine", "file", str(tmp_path / "mine.py"), "protocol"), parameters)])[0]

    return ask


def test_a_file_that_is_the_default_of_a_protocol_is_identified_by_content(described, tmp_path):
    sha = hashlib.sha256(b"reference").hexdigest()
    found = described()
    assert found.identifying == {"ref": {"file": sha}, "size": 3.0}
    assert (found.changed, found.defaults) == ({}, {"ref": "ref.npy", "size": 3})
    same = described(ref="ref.npy", size=3.0)
    assert (same.identifying, same.changed) == (found.identifying, {})
    (tmp_path / "other.npy").write_bytes(b"other")
    other = described(size=2, ref="other.npy")
    assert other.identifying["ref"] == {"file": hashlib.sha256(b"other").hexdigest()}
    assert list(other.changed.items()) == [("ref", "other.npy"), ("size", 2.0)]


def test_a_missing_default_file_of_a_protocol_is_a_mistake_unless_another_is_given(described, tmp_path):
    (tmp_path / "ref.npy").rename(tmp_path / "moved.npy")
    (mistake,) = described().mistakes
    assert mistake.startswith("protocol mine: ref: no such file: 'ref.npy'")
    assert described(ref="moved.npy").mistakes == []


FUNCTION = """
from reprbench import register_protocol

@register_protocol("mine")
def mine(subject, seed): ...
"""


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (FUNCTION, "'mine' is not a class derived from reprbench.Protocol"),
        (FUNCTION.replace("def mine(subject, seed)", "class Mine"), "is not a class derived from reprbench.Protocol"),
        (f"import nowhere_at_all\n{PROTOCOL}", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ],
)
def test_what_is_not_a_protocol_says_so(described, code, problem):
    assert problem in described(code).problem


def test_a_protocol_must_have_the_name_of_its_entry_point():
    entry = Entry("other", "entry point", "reprbench.protocols.knn:KNN", "protocol")
    assert answer(Question(entry)).problem == "the class is not called 'other'; use @register_protocol(\"other\")"


@pytest.mark.parametrize(
    ("name", "parameters", "selects"),
    [
        ("linear-svm", {}, ["inner accuracy"]),
        ("linear-svm", {"costs": [1.0]}, []),
        ("few-labels", {}, []),
        ("knn", {}, []),
    ],
)
def test_a_protocol_says_what_it_shows_and_what_it_measures_without_the_test_split(name, parameters, selects):
    found = answer(Question(discover(folder=None).find("protocol", name), parameters))
    assert (found.problem, found.mistakes, found.selects) == ("", [], selects)
    assert found.headlines


def test_a_protocol_of_ones_own_may_choose_settings(described):
    code = (
        PROTOCOL
        + """
    @property
    def selects(self):
        return ("held-out loss",)
"""
    )
    assert described(code).selects == ["held-out loss"]


class Files(BaseModel):
    weights: File
    extra: File | None = None
    folder: Path = Path()


def test_a_file_is_shown_as_one():
    assert {name: type_text(info) for name, info in Files.model_fields.items()} == {
        "weights": "file", "extra": "file or null", "folder": "path",
    }  # fmt: skip
