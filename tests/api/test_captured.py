"""Classes of cells and scripts are written to files that trials can import, or refused with a reason."""

from __future__ import annotations

import linecache
import sys
from itertools import count
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from reprbench import Learner, UserError, encode
from reprbench.api.captured import capture, method_name
from reprbench.registry import Entry
from reprbench.source import digest

CELLS = count()
HEAD = """import numpy as np
import torch
from torch import nn
import reprbench as rb
from pydantic import PositiveFloat
"""
LEARNER = """
class Mine(rb.Learner):
    factor: PositiveFloat = 2.0

    def fit(self, images, run):
        self.mean = images.batch(slice(0, 10)).mean(0)

    def encode(self, x):
        return {"pixels": FORM}
"""


class Notebook:
    """Runs cells in one module, and keeps their source as a notebook does."""

    def __init__(self) -> None:
        self.module = ModuleType("__main__")
        self.namespace = vars(self.module)
        self.history = []
        self.cell(HEAD)

    def cell(self, text):
        name = f"<cell {next(CELLS)}>"
        self.history.append(text)
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
        exec(compile(text, name, "exec", dont_inherit=True), self.namespace)  # noqa: S102  (the cell is ours)
        return self.namespace

    def learner(self, form="x - self.mean"):
        return self.cell(LEARNER.replace("FORM", form))["Mine"]


@pytest.fixture
def notebook(monkeypatch):
    made = Notebook()
    shell = SimpleNamespace(history_manager=SimpleNamespace(input_hist_parsed=made.history))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "__main__", made.module)
    return made


def loaded(path, name="mine"):
    return Entry(name, "file", str(path)).load()


def test_a_class_of_a_cell_computes_the_same_from_its_file(notebook, tmp_path):
    notebook.cell("OFFSETS = {'a': [0.5, 1]}\ndef shift(x):\n    return x - OFFSETS['a'][0]\nmove = shift\n")
    cls = notebook.learner("nn.functional.relu(torch.flatten(move(x - self.mean), 1)) * np.float32(self.factor)")
    own, copied = cls(), loaded(capture(cls, tmp_path))()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    own.mean = copied.mean = torch.rand(1, 8, 8)
    np.testing.assert_array_equal(encode(own, pixels)["pixels"], encode(copied, pixels)["pixels"])


def test_the_code_is_that_of_the_text_alone(notebook, tmp_path):
    first = capture(notebook.learner(), tmp_path)
    assert capture(notebook.learner(), tmp_path) == first
    commented = capture(notebook.cell(LEARNER.replace("FORM}", "x - self.mean}  # centered"))["Mine"], tmp_path)
    assert commented != first
    edited = capture(notebook.learner("x + self.mean"), tmp_path)
    assert digest([commented]) == digest([first]) != digest([edited])


def test_a_value_that_the_class_refers_to_is_code(notebook, tmp_path):
    notebook.cell("LEVEL = 1")
    first = digest([capture(notebook.learner("x - LEVEL"), tmp_path)])
    notebook.cell("LEVEL = 2")
    assert digest([capture(notebook.namespace["Mine"], tmp_path)]) != first


def test_what_the_class_does_not_refer_to_is_not_captured(notebook, tmp_path):
    notebook.cell("x = torch.zeros(3)\nother = open\n")
    text = capture(notebook.learner(), tmp_path).read_text()
    assert "zeros" not in text
    assert "other" not in text


def test_a_base_of_the_notebook_and_decorators_come_along(notebook, tmp_path):
    notebook.learner()
    cls = notebook.cell(
        "@rb.register('deeper')\nclass Deeper(Mine):\n    factor: PositiveFloat = 4.0\n\n"
        "    @torch.no_grad()\n    def encode(self, x):\n        return super().encode(x)\n"
    )["Deeper"]
    copied = loaded(capture(cls, tmp_path), "deeper")
    assert copied().factor == 4.0
    assert [base.__name__ for base in copied.__mro__][:2] == ["Deeper", "Mine"]


def test_decorators_of_the_class_come_along(notebook, tmp_path):
    notebook.cell(
        "KINDS = ['control']\ndef kept(c):\n    c.kind = KINDS[0]\n    return c\n"
        "class own:\n    @staticmethod\n    def register(name):\n        return kept\n"
    )
    for decorators in ("@kept", "@kept\n@rb.register('mine')", "@rb.register('mine')\n@own.register('other')"):
        cls = notebook.cell(f"{decorators}\n{LEARNER.replace('FORM', 'x').strip()}\n")["Mine"]
        assert loaded(capture(cls, tmp_path)).kind == cls.kind == "control"


def test_modules_of_the_user_are_copied_and_are_code(notebook, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    (tmp_path / "project" / "mytools").mkdir(parents=True)
    (tmp_path / "project" / "mytools" / "__init__.py").write_text("")
    (tmp_path / "project" / "mytools" / "inner.py").write_text("SCALE = 2\n")
    (tmp_path / "project" / "mytools" / "scaling.py").write_text(
        "from mytools.inner import SCALE\ndef scale(x):\n    return x * SCALE\n"
    )
    notebook.cell("from mytools.scaling import scale")
    cls = notebook.learner("scale(x)")
    path = capture(cls, tmp_path / "cache")
    assert (path.parent / "mytools" / "inner.py").exists()
    copied = loaded(path)()
    assert float(copied.encode(torch.ones(1, 1, 8, 8))["pixels"].max()) == 2
    before = digest([path])
    (tmp_path / "project" / "mytools" / "inner.py").write_text("SCALE = 3\n")
    assert digest([capture(cls, tmp_path / "cache")]) != before
    for name in [name for name in sys.modules if name.partition(".")[0] == "mytools"]:
        del sys.modules[name]


def test_deferred_annotations_stay_deferred(notebook, tmp_path):
    text = "from __future__ import annotations\n" + LEARNER.replace("FORM", "x").replace(
        "def encode(self, x):", "def encode(self, x: Unknown):"
    )
    assert loaded(capture(notebook.cell(text)["Mine"], tmp_path))().factor == 2.0


@pytest.mark.parametrize(
    ("before", "form", "after", "reason"),
    [
        ("net = torch.nn.Linear(2, 2)", "net(x)", "", "refers to 'net', a Linear that cannot be written"),
        ("table = torch.zeros(2)", "table", "", "refers to 'table', a Tensor"),
        ("form = lambda x: x", "form(x)", "", "a lambda"),
        ("", "x", "Mine.encode = lambda self, x: {'y': x}", "Mine.encode, which was set after"),
        ("", "x", "Mine.factor = 3.0", r"Mine.factor, which its definition no longer gives: it is 3.0, not 2.0"),
        ("", "x", "Mine.kind = 'control'", "Mine.kind, which was set after its definition"),
        ("", "x", "del Mine.factor", "Mine.factor, which was removed"),
        ("", "x", "Mine.fit = torch.no_grad()(Mine.fit)", "Mine.fit, which"),
        ("", "x", "Mine.__annotations__['factor'] = float", "Mine.__annotations__, which"),
        ("", "x", "Mine.extra = staticmethod(print.__class__ and (lambda: 1))", "Mine.extra, which was set after"),
        (
            "def f():\n    k = 2\n    def g(x):\n        return x * k\n    return g\nscale = f()",
            "scale(x)",
            "",
            "defined",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(notebook, tmp_path, before, form, after, reason):
    notebook.cell(before)
    cls = notebook.learner(form)
    notebook.cell(after)
    with pytest.raises(UserError, match=reason) as refused:
        capture(cls, tmp_path)
    assert str(refused.value).startswith("class Mine ")
    assert "\n" not in str(refused.value)


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


@pytest.mark.parametrize(
    "value", ["torch.zeros(2)", "np.zeros(2)", "np.float64(3)", "functools.partial(print)", "Own()"]
)
def test_objects_of_a_script_that_has_a_second_name_are_refused(notebook, tmp_path, monkeypatch, value):
    monkeypatch.setitem(sys.modules, "__mp_main__", notebook.module)
    notebook.cell(f"import functools\nclass Own:\n    pass\nit = {value}\n")
    with pytest.raises(UserError, match="refers to 'it', a .* that cannot be written to a file; make it a parameter"):
        capture(notebook.learner("it"), tmp_path)


def test_a_base_from_a_plugin_file_is_refused(notebook, tmp_path):
    notebook.namespace["Base"] = loaded(capture(notebook.learner(), tmp_path))
    cls = notebook.cell("class Further(Base):\n    def encode(self, x):\n        return {'x': x}\n")["Further"]
    with pytest.raises(UserError, match="refers to 'Base' of a plugin file"):
        capture(cls, tmp_path)


def test_a_class_inside_of_a_function_is_refused(tmp_path):
    class Local(Learner):
        def fit(self, images, run): ...

        def encode(self, x): ...

    with pytest.raises(UserError, match="define it at the top level"):
        capture(Local, tmp_path)


def test_a_class_without_source_is_refused(notebook, tmp_path):
    exec(LEARNER.replace("FORM", "x"), notebook.namespace)  # noqa: S102  (the class is ours)
    with pytest.raises(UserError, match="has the source of 'Mine' nowhere"):
        capture(notebook.namespace["Mine"], tmp_path)


class OfAModule(Learner):
    kind = "control"

    def fit(self, images, run): ...

    def encode(self, x):
        return {"pixels": np.zeros(3)}


class Wider(OfAModule):
    size: int = 3


def test_classes_of_a_module_are_captured_with_or_without_functions(tmp_path):
    assert loaded(capture(OfAModule, tmp_path), "of-a-module").kind == "control"
    assert loaded(capture(Wider, tmp_path), "wider")().size == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("DAE", "dae"), ("MyDAE2", "my-dae2"), ("My_Net", "my-net"), ("K", "k"), ("VAEFast", "vae-fast")],
)
def test_the_default_name_is_in_kebab_case(name, expected):
    assert method_name(type(name, (Learner,), {})) == expected


def test_a_class_without_functions_is_found_in_the_history_of_a_notebook(notebook, tmp_path):
    notebook.learner("x")
    first = "class Wide(Mine):\n    factor: PositiveFloat = 8.0\n"
    cls = notebook.cell(first)["Wide"]
    notebook.history += [first.replace("8.0", "9.0"), "1 +"]
    assert loaded(capture(cls, tmp_path), "wide")().factor == 8.0
