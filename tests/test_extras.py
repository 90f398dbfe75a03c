"""What is said of methods whose extra is not installed, in every process; the metadata of the package is doubled."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution

import pytest

import reprbench
from reprbench.errors import UserError
from reprbench.extras import lacking
from reprbench.learner import Learner
from reprbench.registry import discover

COMMAND = "pip install 'reprbench[ssl]'"
BODY = """
from typing import ClassVar

@register("augmented")
class Augmented(Flat):
    extra: ClassVar[str | None] = "ssl"
    strength: float = 0.5

    def build(self, shape):
        import nothing_of_that_name

@register("plain")
class Plain(Flat): ...
"""


@pytest.fixture
def without(modules, monkeypatch):
    """Have the extra `ssl` ask for what nobody has, and for a version of NumPy that is not installed."""
    real = distribution("reprbench")
    folder = modules / f"reprbench-{reprbench.__version__}.dist-info"
    folder.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.4\nName: reprbench\nVersion: {reprbench.__version__}\n"
    extras = [*real.metadata.get_all("Provides-Extra"), "met"]
    text += "Requires-Dist: numpy>=1.26\n" + "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    text += 'Requires-Dist: nothing-of-that-name<2,>=1.6; extra == "ssl"\nRequires-Dist: numpy>=99; extra == "ssl"\n'
    text += 'Requires-Dist: numpy>=1.26; extra == "met"\n'
    text += 'Requires-Dist: never-there; python_version < "3" and extra == "met"\n'
    (folder / "METADATA").write_text(text)
    (folder / "entry_points.txt").write_text(real.read_text("entry_points.txt"))
    monkeypatch.syspath_prepend(str(modules))
    importlib.invalidate_caches()


def test_what_is_missing_and_the_command_are_one_line(without):
    said = lacking("ssl")
    assert said.startswith("needs nothing-of-that-name<2,>=1.6 and numpy>=99, not ")
    assert said.endswith(f"; install with: {COMMAND}")
    assert "\n" not in said
    assert lacking("met") == lacking(None) == ""
    assert lacking("sls").startswith("unknown extra 'sls' of reprbench. Did you mean 'ssl'? Known: ")


def test_every_extra_of_a_method_is_installed_here():
    entries = discover(folder=None).methods.values()
    assert [entry.lacking() for entry in entries if entry.lacking()] == []
    assert all(lacking(entry.load().extra) == "" for entry in entries)


def test_a_learner_whose_extra_is_missing_is_not_made(without):
    class Augmented(Learner):
        extra = "ssl"

        def fit(self, images, run): ...

        def encode(self, x): ...

    with pytest.raises(UserError, match=r"^Augmented needs nothing-of-that-name.*reprbench\[ssl\]"):
        Augmented()


def test_an_extra_is_a_name():
    with pytest.raises(TypeError, match="extra is 3; expected the name of an extra"):
        type("Wrong", (Learner,), {"extra": 3})
    with pytest.raises(TypeError, match="extra is annotated as a parameter"):
        type("Wrong", (Learner,), {"__annotations__": {"extra": "str"}, "extra": "ssl"})


def test_a_method_is_listed_with_what_to_install_and_breaks_no_other(without, here, plugin):
    words = ("list", "methods", "--plugin", str(plugin("mine.py", BODY)))
    lines = {line.split()[0]: line for line in here(*words).stdout.splitlines()}
    assert "cannot be used: needs nothing-of-that-name<2,>=1.6" in lines["augmented"]
    assert COMMAND in lines["augmented"]
    asking = {name for name, entry in discover(folder=None).methods.items() if entry.load().extra == "ssl"}
    assert {name for name, line in lines.items() if "cannot be used" in line} == {"augmented", *asking}
    long = here(*words, "-v").stdout
    assert long.count(COMMAND) == 1 + len(asking)
    assert "strength = 0.5" in long
    records = {record["name"]: record for record in json.loads(here(*words, "--format", "json").stdout)}
    assert COMMAND in records["augmented"]["problem"]
    assert not records["plain"]["problem"]


def test_the_extra_is_read_without_running_the_file(without, tmp_path, plugin):
    path = plugin("top.py", f"import nothing_of_that_name\n{BODY}")
    assert COMMAND in discover([path], None).methods["augmented"].lacking()
    assert discover([path], None).methods["plain"].lacking() == ""


def test_a_run_ends_before_anything_is_fitted(without, here, plugin, tmp_path):
    words = ("--plugin", str(plugin("mine.py", BODY)))
    done = here("run", "--methods", "augmented,plain", "--dataset", "digits", "--limit", "100", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "method augmented needs nothing-of-that-name" in line
    assert COMMAND in line
    assert not (tmp_path / "results").exists()


def test_check_says_it_in_one_line(without, here, plugin):
    done = here("check", "augmented", "--plugin", str(plugin("mine.py", BODY)))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert COMMAND in done.stderr


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"timm", "huggingface_hub", "lightly", "kornia", "skimage"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from reprbench.registry import discover
print(*[name for name, entry in discover(folder=None).methods.items() if entry.load().extra])
"""


def test_the_modules_of_our_methods_import_none_of_their_extras():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {"timm", "untrained-timm", "hog"} <= set(done.stdout.split())
