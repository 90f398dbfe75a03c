"""Classes of cells and scripts are written to files that trials can import, or refused with a reason."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from notebooks import LEARNER, loaded

from reprbench import Learner, UserError, encode
from reprbench.api.captured import capture, method_name
from reprbench.source import digest


def test_a_class_of_a_cell_computes_the_same_from_its_file(notebook, tmp_path):
    notebook.cell("OFFSETS = {'a': [0.5, 1]}\ndef shift(x):\n    return x - OFFSETS['a'][0]\nmove = shift\n")
    cls = notebook.learner("nn.functional.relu(torch.flatten(move(x - self.mean), 1)) * np.float32(self.factor)")
    own, copied = cls(), loaded(capture(cls, tmp_path))()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    own.mean = copied.mean = torch.rand(1, 8, 8)
    np.testing.assert_array_equal(encode(own, pixels)["pixels"], encode(copied, pixels)["pixels"])


def test_the_code_is_that_of_the_text_alone(notebook, tmp_path):
    first = capture(notebook.learner(), tmp_path)
    os.utime(first, (0, 0))
    assert capture(notebook.learner(), tmp_path) == first
    assert first.stat().st_mtime > 0
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


def test_submodules_that_are_imported_by_their_package_are_imported(notebook, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    for folder in ("mypkg", "mypkg/deep"):
        (tmp_path / "project" / folder).mkdir(parents=True)
        (tmp_path / "project" / folder / "__init__.py").write_text("")
    (tmp_path / "project" / "mypkg" / "deep" / "util.py").write_text("def twice(x):\n    return 2 * x\n")
    notebook.cell("import mypkg.deep.util\nimport sklearn.cluster\nimport mypkg as short")
    for form in ("mypkg.deep.util.twice(x)", "short.deep.util.twice(x)", "[mypkg.deep.util.twice][0](x)"):
        path = capture(notebook.learner(f"(sklearn.cluster.KMeans, {form})[1]"), tmp_path / "cache")
        assert float(loaded(path)().encode(torch.ones(1))["pixels"]) == 2
        assert {"import sklearn", "import sklearn.cluster"} <= set(path.read_text().splitlines())
        assert (path.parent / "mypkg" / "deep" / "util.py").exists()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
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
        ("import __main__", "__main__.torch", "", "refers to '__main__', the script itself"),
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
