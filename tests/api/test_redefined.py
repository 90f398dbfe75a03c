"""Classes that are no longer what their definition gives are refused, and others are not."""

from __future__ import annotations

import pytest
import torch
from notebooks import LEARNER, loaded

from reprbench import UserError
from reprbench.api.captured import capture


@pytest.mark.parametrize(
    ("before", "body", "after", "reason"),
    [
        ("WIDTH = 3", "w: int = WIDTH", "WIDTH = 30", "Mine.w, which its definition no longer gives: it is 3, not 30"),
        ("", "scale = [1]", "Mine.scale = [60]", r"Mine.scale, .* it is \[1\]|it is \[60\], not \[1\]"),
        ("", "scale = np.zeros(2)", "Mine.scale[1] = 1", "Mine.scale, which"),
        ("", "drop = nn.Dropout(0.5)", "Mine.drop.p = 0.1", "Mine.drop, which"),
        ("LOW = 3", "w: int = Field(3, ge=LOW)", "LOW = 2", "Mine.w, which"),
        ("LOW = 3", "w: Annotated[int, Field(ge=LOW)] = 3", "LOW = 2", "Mine.__annotations__, which"),
        (
            "A = 1\ndef f(x, a=A):\n    return x * a",
            "def g(self):\n        return f(1)",
            "A = 2",
            "'f', whose defaults",
        ),
        ("A = 1", "def g(self, a=A):\n        return a", "A = 2", "Mine.g, which"),
        ("A = 1", "def g(self, *, a=A):\n        return a", "A = 2", "Mine.g, which"),
        ("A = 1\nclass C:\n    a = A", "def g(self):\n        return C.a", "A = 2", "C.a, which .* it is 1, not 2"),
        ("class C:\n    a = 1", "c: ClassVar = C()", "C.a = 2", "C.a, which"),
        ("class C:\n    pass", "c: ClassVar = C()", "Mine.c.a = 2", "Mine.c, which"),
        ("A = 1", "w: int = A", "del A", "cannot be defined again: NameError: name 'A' is not defined"),
    ],
)
def test_values_that_the_definition_no_longer_gives_are_refused(notebook, tmp_path, before, body, after, reason):
    notebook.cell(f"from typing import Annotated, ClassVar\nfrom pydantic import Field\n{before}")
    cls = notebook.cell(f"{LEARNER.replace('FORM', 'x')}\n    {body}\n")["Mine"]
    capture(cls, tmp_path)
    notebook.cell(after)
    with pytest.raises(UserError, match=reason) as refused:
        capture(cls, tmp_path)
    assert "\n" not in str(refused.value)


def test_annotations_of_cells_that_defer_them_and_of_others_are_no_difference(notebook, tmp_path):
    notebook.cell("class C:\n    a: int = 1\n    def b(self): ...\n")
    text = LEARNER.replace("FORM", "x * C.a")
    cls = notebook.cell(f"from __future__ import annotations\n{text}")["Mine"]
    assert loaded(capture(cls, tmp_path))().factor == 2.0


def test_a_base_that_was_defined_again_is_refused(notebook, tmp_path):
    notebook.learner()
    cls = notebook.cell("class Further(Mine):\n    size: int = 3\n    def more(self): ...\n")["Further"]
    notebook.learner("x")
    with pytest.raises(UserError, match="has a base of Further that was defined again"):
        capture(cls, tmp_path)


def test_values_that_hide_what_they_are_and_copies_of_classes_are_no_difference(notebook, tmp_path):
    cls = notebook.cell(
        "import functools, threading\nfrom typing import ClassVar\n"
        "class C:\n    def __init__(self, a):\n        self.a = a\n"
        + LEARNER.replace("FORM", "x")
        + "    lock = threading.Lock()\n    none = float('nan')\n    nets = [nn.MaxPool2d(2), torch.ones(2)]\n"
        "    half = functools.partial(torch.mul, 0.5)\n    own: ClassVar = {'c': C(3)}\n    kinds: list[C] = []\n"
        "    class Inner:\n        b = 1\n    @functools.cached_property\n    def wide(self):\n        return 1\n"
        "    @property\n    def wider(self, by=C(2)):\n        return 1\n"
    )["Mine"]
    assert loaded(capture(cls, tmp_path))().own["c"].a == 3


SMALL = """
import dataclasses, enum
from collections import namedtuple
from typing import NamedTuple
from pydantic import BaseModel

class Mode(enum.Enum):
    A = 1

class Model(BaseModel):
    size: int = 3

@dataclasses.dataclass
class Lists:
    sizes: list = dataclasses.field(default_factory=list)

@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Slots:
    size: int = 3
    def double(self):
        return 2 * self.size

class Point(NamedTuple):
    x: int = 2

class Empty:
    pass
"""


@pytest.mark.parametrize(
    "what", ["Mode.A.value", "Model().size", "len(Lists().sizes)", "Slots().double()", "Point().x"]
)
def test_small_classes_of_the_notebook_come_along(notebook, tmp_path, what):
    notebook.cell(SMALL)
    cls = notebook.learner(f"x * {what}")
    x = torch.ones(1)
    assert torch.equal(loaded(capture(cls, tmp_path))().encode(x)["pixels"], cls().encode(x)["pixels"])


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("Mode.A._value_ = 2", "Mode.A|Mode._"),
        ("Empty.a = 1", "Empty.a, which was set after its definition"),
        ("Model.model_fields['size'].default = 4", "Model.__pydantic_fields__, which"),
        ("Slots.double = lambda self: 3", "Slots.double, which was set after its definition"),
        ("Point.__new__.__defaults__ = (3,)", "Point.__new__, which has defaults"),
    ],
)
def test_small_classes_that_were_changed_are_refused(notebook, tmp_path, after, reason):
    notebook.cell(SMALL)
    cls = notebook.learner("[Mode, Model, Lists, Slots, Point, Empty]")
    capture(cls, tmp_path)
    notebook.cell(after)
    with pytest.raises(UserError, match=reason):
        capture(cls, tmp_path)


def test_a_replaced_method_of_a_class_without_others_is_named(notebook, tmp_path):
    notebook.learner("x")
    cls = notebook.cell("class Only(Mine):\n    def encode(self, x):\n        return {'x': x}\n")["Only"]
    notebook.cell("Only.encode = lambda self, x: {'y': x}")
    with pytest.raises(UserError, match="has Only.encode, which was set after its definition"):
        capture(cls, tmp_path)


def test_a_method_of_an_earlier_definition_is_named(notebook, tmp_path):
    first = notebook.learner("x")
    cls = notebook.learner("x")
    cls.fit = first.fit
    with pytest.raises(UserError, match=r"has Mine.\w+, which was set after its definition"):
        capture(cls, tmp_path)
