from __future__ import annotations

import ast
import importlib
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from reprbench import source
from reprbench.protocols.base import Protocol
from reprbench.source import code_identity, digest, packages

REPOSITORY = Path(__file__).parent.parent


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def digest_of(folder: Path, text: str) -> str:
    write(folder, {"mine.py": text})
    return digest([folder / "mine.py"])


# -- what counts in a file --------------------------------------------------------------------------------------------

SAME = [
    ("x = 1", "x = 1  # why"),
    ("x = 1", "# why\n\n\nx   =   1\n"),
    ("x = (1, 2)", "x = (\n    1,\n    2,\n)"),
    ('x = "a"', "x = 'a'"),
    ('x = "a"', 'x = u"a"'),
    ("x = 1", '"""A module."""\nx = 1'),
    ("x = 1", "x = 1\n'A note on x.'"),
    ("x = 1; y = 2", "x = 1\ny = 2"),
    ("x = 1; y = 2", "'A module.'; x = 1; 'a note'; y = 2"),
    ("class A(B): pass", 'class A(B): "doc"'),
    ("class A(B): pass", 'class A(B):\n    """doc\n\n    more"""'),
    ("class A(B): x: int = 1", 'class A(B):\n    "doc"\n    x: int = 1\n    """what x is"""'),
    ("def f(): return 1", 'def f():\n    "doc"; return 1'),
    ("async def f(): return 1", 'async def f():\n    "doc"\n    return 1'),
    ("def f(): return '''a\n # b\n'''", "def f():\n    # c\n    return '''a\n # b\n'''"),
]

DIFFERENT = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 1", "y = 1"),
    ("x = 'a'", "x = b'a'"),
    ("x = 'a'", "x = 'b'"),
    ("x = f'{a}b'", "x = f'{a}c'"),
    ("f'{g()}'", "f'{h()}'"),
    ("def f(): return 'a'", "def f(): return 'b'"),
    ("def f(): return None", "def f(): return 0"),
    ("g('# a')", "g('# b')"),
    ("x = '''a\n # b\n'''", "x = '''a\n # c\n'''"),
    ('class A(B): "doc"', 'class A(C): "doc"'),
    ("class A(B): pass", "class A(B): x = 1"),
    ('class A:\n    x: int = 1; "doc"', 'class A:\n    x: float = 1; "doc"'),
    ('"doc"; x = 1', '"doc"; x = 2'),
    ("if a:\n    b()\nelse:\n    c()", "if a:\n    b()\nc()"),
    ("for x in y: pass\nz()", "for x in y: z()"),
    ("f(a, b)", "f(b, a)"),
    ("f(a=b)", "f(b=a)"),
    ("f(*a)", "f(a)"),
    ("{**a}", "{a}"),
    ("a[:b]", "a[b:]"),
    ("def f(a, *, b): ...", "def f(a, b): ..."),
    ("def f(*, a=None, b): ...", "def f(*, a, b=None): ..."),
    ("a - (b - c)", "a - b - c"),
    ("a is b", "a is not b"),
    ("@a\ndef f(): ...", "def f(): ..."),
    ("import a as b", "import a"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_comments_docstrings_and_formatting_do_not_count(tmp_path, one, two):
    assert digest_of(tmp_path, one) == digest_of(tmp_path, two)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_code_counts(tmp_path, one, two):
    assert digest_of(tmp_path, one) != digest_of(tmp_path, two)


LITERALS = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.booleans(), st.none())
STATEMENTS = st.one_of(
    LITERALS.map(lambda value: f"x = {value!r}"),
    LITERALS.map(lambda value: f"def f(a={value!r}): return {value!r}"),
    LITERALS.map(lambda value: f"class A(B):\n    y: C = {value!r}"),
    st.text().map(repr),
)


@given(st.lists(STATEMENTS, max_size=6))
def test_written_anew_by_python_a_file_has_the_same_digest(tmp_path_factory, statements):
    text, folder = "\n".join(statements), tmp_path_factory.getbasetemp() / "rewritten"
    anew = ast.unparse(ast.parse(text)).replace("\n", "  # a comment\n\n") + "\n'''a note'''"
    assert digest_of(folder, text) == digest_of(folder, anew)


@given(LITERALS, LITERALS)
def test_only_equal_values_have_the_same_digest(tmp_path_factory, one, two):
    folder = tmp_path_factory.getbasetemp() / "values"
    # 1, 1.0 and True are equal, but not the same code.
    same = digest_of(folder, f"x = {one!r}") == digest_of(folder, f"x = {two!r}")
    assert same == (repr(one) == repr(two))


@pytest.mark.parametrize("content", [b"def (\n", b"\xff\xfe", b"x = 1\0", b"x = " + b"(" * 500 + b")" * 500, b""])
def test_of_files_that_are_not_python_the_bytes_count(tmp_path, content):
    one, two = tmp_path / "one" / "a.bin", tmp_path / "two" / "a.bin"
    for path, more in ((one, b""), (two, b"\n(")):
        path.parent.mkdir()
        path.write_bytes(content + more)
    assert digest([one]) == digest([one]) != digest([two])


def test_an_expression_that_is_too_deep_has_a_digest(tmp_path):
    assert digest_of(tmp_path, "x = " + "a." * 5000 + "a") != digest_of(tmp_path, "x = " + "a." * 5000 + "b")


# -- which files count ------------------------------------------------------------------------------------------------

IMPORTS = [
    ("from helper import f", ["helper.py"]),
    ("import helper", ["helper.py"]),
    ("import helper as h, os", ["helper.py"]),
    ("from .helper import f", ["helper.py"]),
    ("from . import helper", ["helper.py"]),
    ("from . import helper as h, other", ["helper.py", "other.py"]),
    ("def f():\n    from helper import g", ["helper.py"]),
    ("class A:\n    def f(self):\n        if x:\n            import helper", ["helper.py"]),
    ("try:\n    import helper\nexcept ImportError:\n    import other", ["helper.py", "other.py"]),
    ("import helper; x = 1; import other", ["helper.py", "other.py"]),
    ("import pkg", ["pkg/__init__.py"]),
    ("import pkg.inner.deep", ["pkg/__init__.py", "pkg/inner/__init__.py", "pkg/inner/deep.py", "pkg/low.py"]),
    ("from pkg.inner import deep", ["pkg/__init__.py", "pkg/inner/__init__.py", "pkg/inner/deep.py", "pkg/low.py"]),
    ("from pkg.inner.deep import f", ["pkg/__init__.py", "pkg/inner/__init__.py", "pkg/inner/deep.py", "pkg/low.py"]),
    ("from pkg import name", ["pkg/__init__.py"]),
    ("from pkg.star import *", ["pkg/__init__.py", "pkg/star/__init__.py", "pkg/star/one.py"]),
    ("from .pkg.low import f", ["pkg/__init__.py", "pkg/low.py"]),
    ("from spaces.plain import f", ["spaces/plain.py"]),
    ("from spaces import plain", ["spaces/plain.py"]),
    ("from spaces import climbs", ["spaces/climbs.py", "helper.py"]),
    ("import importlib\nimportlib.import_module('helper')", ["helper.py"]),
    ("from importlib import import_module\nimport_module('.pkg.low', __package__)", ["pkg/__init__.py", "pkg/low.py"]),
    ("import cycle", ["cycle.py", "cycle_back.py"]),
    ("import chain", ["chain.py", "helper.py"]),
    ("import compiled", ["compiled.abi3.so"]),
    # What is not the plugin's own.
    ("import os, numpy, reprbench", []),
    ("from reprbench import Learner", []),
    ("import random", []),  # the standard library's, even if a file next to it has that name
    ("import mine", []),  # no file imports itself: the installed package of its name is meant
    ("import wandb", []),  # a folder without code is not a package
    ("import nowhere", []),
    ("from ....... import x", []),
    ("import_module(name)", []),
]
TREE = {
    "helper.py": "",
    "other.py": "",
    "unused.py": "",
    "random.py": "",
    "reprbench.py": "",
    "wandb/log.txt": "",
    "chain.py": "import helper",
    "cycle.py": "import cycle_back",
    "cycle_back.py": "import cycle",
    "compiled.abi3.so": "",
    "pkg/__init__.py": "",
    "pkg/low.py": "",
    "pkg/unused.py": "",
    "pkg/inner/__init__.py": "",
    "pkg/inner/deep.py": "from ..low import f",
    "pkg/star/__init__.py": "",
    "pkg/star/one.py": "",
    "spaces/plain.py": "",
    "spaces/climbs.py": "from helper import f",
}


@pytest.mark.parametrize(("text", "reached"), IMPORTS)
def test_what_a_file_imports_counts_and_nothing_else(tmp_path, text, reached):
    write(tmp_path, {**TREE, "mine.py": text})
    before = digest([tmp_path / "mine.py"])
    counting = []
    for name, content in TREE.items():
        write(tmp_path, {name: f"{content}\nchanged = 1"})
        if digest([tmp_path / "mine.py"]) != before:
            counting.append(name)
        write(tmp_path, {name: content})
    assert sorted(counting) == sorted(reached)


INSIDE = [
    ("from . import helper", ["helper.py"]),
    ("from .. import low", ["../low.py"]),
    ("from ..low import f", ["../low.py"]),
    ("from ..other.thing import f", ["../other/__init__.py", "../other/thing.py"]),
    ("from pkg.low import f", ["../low.py"]),
    ("import pkg.other.thing", ["../other/__init__.py", "../other/thing.py"]),
    ("from pkg.sub import helper", ["helper.py"]),
    ("import beside", ["../../beside.py"]),
    ("import helper", []),  # inside a package, Python does not look next to the file
    ("import low", []),
]


@pytest.mark.parametrize(("text", "reached"), INSIDE)
def test_in_a_package_its_own_imports_count_and_the_packages_on_the_way(tmp_path, text, reached):
    tree = dict.fromkeys(("helper.py", "../low.py", "../other/thing.py", "../other/__init__.py"), "")
    tree |= {"__init__.py": "", "../__init__.py": "", "../../beside.py": "", "../../unused.py": ""}
    folder = tmp_path / "pkg" / "sub"
    folder.mkdir(parents=True)
    write(folder, {**tree, "mine.py": text})
    before = digest([folder / "mine.py"])
    counting = []
    for name in tree:
        write(folder, {name: "changed = 1"})
        if digest([folder / "mine.py"]) != before:
            counting.append(name)
        write(folder, {name: ""})
    assert sorted(counting) == sorted([*reached, "__init__.py", "../__init__.py"])


def test_where_imports_begin_can_be_given(tmp_path):
    """For an installed module in a folder that lacks its ``__init__.py``, which Python does not mind."""
    tree = {"pkg/__init__.py": "", "pkg/low.py": "", "pkg/gap/mine.py": "from pkg.low import f"}
    write(tmp_path, tree)
    file = tmp_path / "pkg" / "gap" / "mine.py"
    assert set(source._reached([file])[0]) == {file}
    assert set(source._reached([file], tmp_path)[0]) == {tmp_path / name for name in tree}


def test_where_the_folder_lies_does_not_count(tmp_path):
    write(tmp_path / "here", {**TREE, "mine.py": "import pkg.inner.deep, helper"})
    before = digest([tmp_path / "here" / "mine.py"])
    shutil.move(tmp_path / "here", tmp_path / "there" / "deeper")
    assert digest([tmp_path / "there" / "deeper" / "mine.py"]) == before


def test_files_of_one_name_are_distinguished(tmp_path):
    plugin = {"mine.py": "from one.helper import f\nfrom two.helper import g"}
    write(tmp_path / "a", {**plugin, "one/helper.py": "f = 1", "two/helper.py": "g = 2"})
    write(tmp_path / "b", {**plugin, "one/helper.py": "g = 2", "two/helper.py": "f = 1"})
    assert digest([tmp_path / "a" / "mine.py"]) != digest([tmp_path / "b" / "mine.py"])


def test_a_link_to_a_plugin_is_the_plugin(tmp_path):
    write(tmp_path / "real", {"mine.py": "import helper", "helper.py": "x = 1"})
    (tmp_path / "mine.py").symlink_to(tmp_path / "real" / "mine.py")
    assert digest([tmp_path / "mine.py"]) == digest([tmp_path / "real" / "mine.py"])


def test_the_harness_is_not_followed():
    found, _ = source._reached([REPOSITORY / "methods" / "kmeans.py"])
    assert {"kmeans.py", "iterations.py", "__init__.py"} <= {path.name for path in found}
    assert {path.parent for path in found} == {REPOSITORY / "methods"}


# -- compared with what Python itself imports -------------------------------------------------------------------------

NAMES = ("a", "b", "sub", "sub.c", "sub.d", "sub.deep", "sub.deep.e")
PACKAGES = ("sub", "sub.deep")
NUMBERS = count()


def import_of(top: str, name: str, form: int, inside: str) -> str:
    """Return one of the statements with which the module `inside` can import `name`, both in the package `top`."""
    parent, _, last = f"{top}.{name}".rpartition(".")
    # The dots climb from the package of the importing module to `top`.
    dots = "." * (inside.count(".") + 1 + (inside in PACKAGES))
    return [
        f"import {top}.{name}",
        f"import {top}.{name} as x",
        f"from {parent} import {last}",
        f"from {top}.{name} import __name__ as x",
        f"from {dots}{name} import __name__ as x",
        f"from {dots}{name.rpartition('.')[0]} import {last}",
    ][form]


def imported_by(root: Path, top: str, module: str) -> set[Path]:
    """Import a module and return all files of the package `top` that this ran."""
    sys.path.insert(0, str(root))
    try:
        importlib.import_module(f"{top}.{module}")
        return {Path(str(m.__file__)) for name, m in sys.modules.items() if name.partition(".")[0] == top}
    except ImportError as error:
        assert "circular import" in str(error)
        reject()
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5)), max_size=3)),
    st.sampled_from(NAMES),
)
def test_exactly_what_python_imports_is_followed(tmp_path, imports, start):
    top = f"top{next(NUMBERS)}"  # never imported before
    files = {name: name.replace(".", "/") + ("/__init__.py" if name in PACKAGES else ".py") for name in NAMES}
    write(tmp_path / top, {"__init__.py": "", **dict.fromkeys(files.values(), "")})
    for name, imported in imports.items():
        write(tmp_path / top, {files[name]: "\n".join(import_of(top, *one, inside=name) for one in imported)})
    assert set(source._reached([tmp_path / top / files[start]])[0]) == imported_by(tmp_path, top, start)


# -- installed packages -----------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions: `mine` has two modules and a package, `theirs` one of each."""
    folder = tmp_path / "site-packages"
    write(
        folder,
        {
            "mine.py": "import helper, mine_package.part, theirs, theirs_module",
            "helper.py": "",
            "mine_package/__init__.py": "",
            "mine_package/part.py": "import theirs.inner",
            "theirs/__init__.py": "",
            "theirs/inner.py": "",
            "theirs_module.py": "",
            "mine-1.dist-info/METADATA": "Name: Mine-Methods\nVersion: 1",
            "mine-1.dist-info/top_level.txt": "mine\nhelper\nmine_package\n",
            "theirs-2.dist-info/METADATA": "Name: theirs\nVersion: 2",
            "theirs-2.dist-info/top_level.txt": "theirs\ntheirs_module\n",
        },
    )
    monkeypatch.syspath_prepend(str(folder))
    for cached in (source._installed, source._holds_distributions):
        cached.cache_clear()
    yield folder
    source._installed.cache_clear()


def test_of_installed_packages_only_the_own_distribution_is_followed(site):
    found = {str(path.relative_to(site)) for path in source._reached([site / "mine.py"])[0]}
    assert found == {"mine.py", "helper.py", "mine_package/__init__.py", "mine_package/part.py"}
    assert packages([site / "mine.py"]) == ["theirs"]


def test_the_packages_that_a_plugin_uses(tmp_path):
    write(
        tmp_path,
        {
            "mine.py": "import os, numpy as np, helper\nfrom reprbench import Learner\nimport nowhere",
            "helper.py": "def f():\n    from sklearn.svm import SVC\n    import PIL.Image, random, torch.nn",
            "numpy_.py": "import scipy",
        },
    )
    assert packages([tmp_path / "mine.py"]) == ["numpy", "pillow", "scikit-learn", "torch"]
    assert packages([tmp_path / "numpy_.py"]) == ["scipy"]
    assert packages([tmp_path / "helper.py", tmp_path / "numpy_.py"]) == ["pillow", "scikit-learn", "scipy", "torch"]


def test_a_plugin_named_like_a_package_uses_that_package(tmp_path):
    write(tmp_path, {"numpy.py": "import numpy"})
    assert packages([tmp_path / "numpy.py"]) == ["numpy"]


# -- the identity of a class ------------------------------------------------------------------------------------------


class Plain:
    version: ClassVar[int | None] = None


class Versioned(Plain):
    version = 3


class Inner(Versioned):
    pass


class Both(Inner):
    version = 1


FILE = Path(__file__)


def test_a_version_of_its_own_replaces_the_code():
    assert code_identity(Versioned, FILE) == {"version": 3}
    assert code_identity(Both, FILE) == {"version": 1, "bases": [["Versioned", 3]]}


def test_an_inherited_version_does_not_hide_the_code():
    assert code_identity(Plain, FILE) == {"source": digest([FILE])}
    assert code_identity(Inner, FILE) == {"source": digest([FILE]), "bases": [["Versioned", 3]]}


def test_a_protocol_is_identified_alike():
    class Own(Protocol):
        name = "own"

        def evaluate(self, subject, seed): ...

    class Numbered(Own):
        version = 2

    assert code_identity(Own, FILE) == {"source": digest([FILE])}
    assert code_identity(Numbered, FILE) == {"version": 2}
    assert code_identity(type("Heir", (Numbered,), {}), FILE)["bases"] == [["Numbered", 2]]


def test_the_numerics_have_a_version():
    assert isinstance(source.NUMERICS, int)
