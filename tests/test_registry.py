from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reprbench import source
from reprbench.errors import UserError
from reprbench.registry import Entry, discover, registered

LEARNER = """
from reprbench import Learner, register

@register("{name}")
class Mine(Learner):
    def fit(self, images, run): ...
    def encode(self, x): return {{"x": x}}
"""

PROTOCOL = '''
from reprbench import register_protocol
from reprbench.protocols.base import Outcome, Protocol

@register_protocol("{name}")
class Measures(Protocol):
    """Measures nothing.

    At length.
    """
    version = 1
    headlines = ("nothing",)
    def evaluate(self, subject, seed): return Outcome()
'''

DATASET = '''
from reprbench import ImageFolder, register_dataset

@register_dataset("{name}")
def images(size: int = 32):
    """Images of nothing."""
    return ImageFolder(path="nothing", image_size=size)
'''

BODIES = {"method": LEARNER, "protocol": PROTOCOL, "dataset": DATASET}
KINDS = [*BODIES]


def write(path: Path, name: str, body: str = LEARNER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body.format(name=name))
    return path


def names(registry, kind):
    return set(getattr(registry, f"{kind}s"))


def test_names_are_read_without_running_the_file(tmp_path):
    path = write(tmp_path / "loud.py", "loud", LEARNER + PROTOCOL + DATASET + "\nraise SystemExit('ran')\n")
    registry = discover([path], None)
    for kind in KINDS:
        assert registry.find(kind, "loud") == Entry("loud", "file", str(path), kind)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installed distribution that registers one of each kind under the name ``installed``."""
    body = "".join(BODIES.values()).replace("{name}", "installed")
    write(tmp_path / "site" / "strangers_pack" / "__init__.py", "", "")
    write(tmp_path / "site" / "strangers_pack" / "plugin.py", "installed", body)
    points = {"methods": "Mine", "protocols": "Measures", "datasets": "images"}
    lines = [f"[reprbench.{group}]\ninstalled = strangers_pack.plugin:{name}\n" for group, name in points.items()]
    write(tmp_path / "site" / "strangers-1.dist-info" / "entry_points.txt", "", "\n".join(lines))
    write(tmp_path / "site" / "strangers-1.dist-info" / "METADATA", "", "Name: strangers\nVersion: 1")
    write(tmp_path / "site" / "strangers-1.dist-info" / "top_level.txt", "", "strangers_pack")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    source._installed.cache_clear()
    yield tmp_path / "site" / "strangers_pack"
    source._installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "strangers_pack"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_registered_in_all_ways(tmp_path, installed, kind):
    named = write(tmp_path / "a.py", "by-file", BODIES[kind])
    for folder in ("methods", "protocols", "datasets"):  # which of them a file lies in does not matter
        write(tmp_path / folder / f"in_{folder}.py", f"in-{folder}", BODIES[kind])
    registry = discover([named], tmp_path)
    for name in ("by-file", "in-methods", "in-protocols", "in-datasets", "installed"):
        loaded = registry.find(kind, name).load()
        assert loaded.__name__ == {"method": "Mine", "protocol": "Measures", "dataset": "images"}[kind]
        attribute = {"method": "method_name", "protocol": "name", "dataset": "dataset_name"}[kind]
        assert getattr(loaded, attribute) == name
    assert registry.problems == {}


def test_the_built_in_ones_are_registered_like_those_of_plugins(tmp_path):
    registry = discover(folder=None)
    assert {"ae", "kmeans", "supervised"} <= names(registry, "method")
    assert {"knn", "linear-svm"} <= names(registry, "protocol")
    assert names(registry, "dataset") == {"digits", "mnist", "fashion-mnist", "cifar10", "stl10", "folder", "npz"}
    for kind in KINDS:
        for entry in getattr(registry, f"{kind}s").values():
            assert (entry.kind, entry.way) == (kind, "entry point")
            assert entry.file().is_file()
            assert entry.summary()


def test_a_file_whose_name_begins_with_an_underscore_is_not_a_plugin(tmp_path):
    write(tmp_path / "methods" / "_helper.py", "hidden")
    assert "hidden" not in discover((), tmp_path).methods


def test_the_same_file_in_two_ways_is_one_entry(tmp_path):
    path = write(tmp_path / "methods" / "b.py", "mine")
    assert "mine" in discover([path, path], tmp_path).methods


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_given_twice_names_both_origins(tmp_path, kind):
    one, two = write(tmp_path / "one.py", "same", BODIES[kind]), write(tmp_path / "two.py", "same", BODIES[kind])
    two.write_text(two.read_text() + "# another\n")
    with pytest.raises(UserError) as caught:
        discover([one, two], None)
    assert f"two {kind}s are called 'same'" in str(caught.value)
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_one_name_for_two_kinds_is_not_a_collision(tmp_path):
    paths = [write(tmp_path / f"{kind}.py", "same", body) for kind, body in BODIES.items()]
    registry = discover(paths, None)
    assert len({registry.find(kind, "same").target for kind in KINDS}) == 3


def test_a_name_registered_twice_in_a_file_is_a_problem_of_the_file(tmp_path):
    path = write(tmp_path / "twice.py", "twice", LEARNER + LEARNER)
    registry = discover([path, write(tmp_path / "good.py", "good")], None)
    assert registry.problems == {str(path): "registers the method 'twice' twice; rename one of them"}
    assert "twice" not in registry.methods
    assert "good" in registry.methods


@pytest.mark.parametrize(("kind", "name"), [("method", "ae"), ("protocol", "knn"), ("dataset", "mnist")])
def test_a_plugin_cannot_take_the_name_of_a_built_in_one(tmp_path, kind, name):
    with pytest.raises(UserError, match=f"two {kind}s are called '{name}'"):
        discover([write(tmp_path / "mine.py", name, BODIES[kind])], None)


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [("method", "sparse_ae", "sparse-ae"), ("protocol", "linear-svn", "linear-svm"), ("dataset", "mnits", "mnist")],
)
def test_an_unknown_name_is_answered_with_the_nearest(kind, name, near):
    with pytest.raises(UserError, match=f"unknown {kind} '{name}'. Did you mean '{near}'.* `reprbench list {kind}s`"):
        discover(folder=None).find(kind, name)


def test_a_broken_file_harms_nothing_else(tmp_path):
    broken, empty, binary = (tmp_path / f"{name}.py" for name in ("broken", "empty", "binary"))
    broken.write_text("def (")
    empty.write_text("")
    binary.write_bytes(b"\xff\xfe")
    registry = discover([broken, empty, binary, write(tmp_path / "good.py", "good")], None)
    assert "good" in registry.methods
    assert "SyntaxError" in registry.problems[str(broken)]
    assert "@register_dataset" in registry.problems[str(empty)]
    assert "can't decode byte" in registry.problems[str(binary)]
    with pytest.raises(UserError, match="unknown method 'x'.*SyntaxError"):
        registry.find("method", "x")


def test_a_file_in_a_folder_need_not_register_anything(tmp_path):
    write(tmp_path / "datasets" / "download.py", "", "import urllib")
    assert discover((), tmp_path).problems == {}


def test_a_missing_plugin_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        discover([tmp_path / "no.py"], tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_cannot_be_a_folders_is_refused(tmp_path, kind):
    with pytest.raises(UserError, match="is not a valid name"):
        discover([write(tmp_path / "a.py", "../../evil", BODIES[kind])], None)


def test_only_literal_names_are_found():
    text = """
@register("a")
class A: ...
@reprbench.register_protocol("b")
class B: ...
@other("c")
class C: ...
@register(x)
class D: ...
@register
class E: ...
@register()
class F: ...
@first
@register_dataset("g")
@last(1)
def g(): ...
if True:
    @register("h")
    class H: ...
@register(3)
class I: ...
"""
    assert registered(text) == [("method", "a"), ("protocol", "b"), ("dataset", "g"), ("method", "h")]


# -- loading ----------------------------------------------------------------------------------------------------------


def test_a_sibling_with_registrations_of_its_own_is_not_taken_for_the_plugin(tmp_path):
    write(tmp_path / "base.py", "base")
    path = write(tmp_path / "mine.py", "mine", "from base import Mine as Base\n" + LEARNER.replace("Learner)", "Base)"))
    assert discover([path], None).find("method", "mine").load().__mro__[1].method_name == "base"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("from helper import missing\n", "ImportError: cannot import name 'missing'"),
        ("raise SystemExit('bye\\nbye')\n", "SystemExit: bye bye"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_failing_import_is_one_line_with_its_cause(tmp_path, body, said):
    write(tmp_path / "helper.py", "", "")
    path = write(tmp_path / "mine.py", "mine", body + LEARNER)
    with pytest.raises(UserError) as caught:
        discover([path], None).find("method", "mine").load_or_refuse()
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("method", "from reprbench import register\n@register('x')\nclass A: ...", "no Learner class for 'x'"),
        (
            "method",
            "from reprbench import register\ndef f():\n    @register('x')\n    class A: ...",
            "no Learner class",
        ),
        ("dataset", "register_dataset = lambda name: lambda f: 3\n@register_dataset('x')\ndef f(): ...", "no function"),
    ],
)
def test_what_does_not_give_what_it_promises(tmp_path, kind, body, said):
    path = write(tmp_path / "mine.py", "", body.replace("{", "{{"))
    with pytest.raises(UserError, match=said):
        discover([path], None).find(kind, "x").load_or_refuse()


def test_what_is_not_installed_any_more_says_so():
    with pytest.raises(UserError, match="install its package again"):
        Entry("x", "entry point", "nowhere_at_all:X").file()
    assert Entry("x", "entry point", "nowhere_at_all:X").summary() == ""


@pytest.mark.parametrize("kind", ["protocol", "dataset"])
def test_the_summary_is_read_from_the_file(tmp_path, installed, kind):
    path = write(tmp_path / "loud.py", "loud", BODIES[kind] + "\nraise SystemExit('ran')\n")
    registry = discover([path], None)
    said = {"protocol": "Measures nothing.", "dataset": "Images of nothing."}[kind]
    assert registry.find(kind, "loud").summary() == registry.find(kind, "installed").summary() == said


# -- the digest of the code -------------------------------------------------------------------------------------------


def test_the_digest_follows_an_installed_plugin_through_its_own_package(installed):
    entry = discover(folder=None).find("method", "installed")
    assert entry.root() == installed.parent
    before = source.digest([entry.file()], entry.root())
    write(installed / "helper.py", "", "x = 1")
    assert source.digest([entry.file()], entry.root()) == before
    plugin = installed / "plugin.py"
    plugin.write_text("from strangers_pack.helper import x\n" + plugin.read_text())
    imported = source.digest([entry.file()], entry.root())
    write(installed / "helper.py", "", "x = 2")
    assert len({before, imported, source.digest([entry.file()], entry.root())}) == 3


def test_the_digest_follows_a_file_to_its_siblings(tmp_path):
    path = write(tmp_path / "mine.py", "mine", "import helper\n" + LEARNER)
    write(tmp_path / "helper.py", "", "x = 1")
    entry = discover([path], None).find("method", "mine")
    before = source.digest([entry.file()], entry.root())
    write(tmp_path / "helper.py", "", "x = 2")
    assert source.digest([entry.file()], entry.root()) != before
