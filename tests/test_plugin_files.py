from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reprbench.plugin_files import import_file


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


TREE = {
    "helper.py": "NAME = 'helper of {folder}'",
    "chain.py": "from helper import NAME",
    "pkg/__init__.py": "TOP = 'pkg of {folder}'",
    "pkg/part.py": "from pkg import TOP\nfrom helper import NAME\nimport pkg.part as itself",
    "spaces/plain.py": "NAME = 'plain of {folder}'",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("from helper import NAME", "helper of {folder}"),
        ("import helper\nNAME = helper.NAME", "helper of {folder}"),
        ("import helper as h, os\nNAME = h.NAME", "helper of {folder}"),
        ("from helper import *", "helper of {folder}"),
        ("from .helper import NAME", "helper of {folder}"),
        ("from . import helper\nNAME = helper.NAME", "helper of {folder}"),
        ("import chain\nNAME = chain.NAME", "helper of {folder}"),
        ("import pkg.part\nNAME = pkg.TOP + ', ' + pkg.part.NAME", "pkg of {folder}, helper of {folder}"),
        ("import pkg.part as part\nNAME = part.itself.NAME", "helper of {folder}"),
        ("from pkg import part\nNAME = part.NAME", "helper of {folder}"),
        ("from pkg.part import TOP as NAME", "pkg of {folder}"),
        ("from spaces import plain\nNAME = plain.NAME", "plain of {folder}"),
        ("from spaces.plain import NAME", "plain of {folder}"),
        ("NAME = __import__('helper').NAME", "helper of {folder}"),
    ],
)
def test_siblings_are_imported_and_two_folders_never_meet(tmp_path, text, value):
    for folder in ("one", "two"):
        tree = {name: content.replace("{folder}", folder) for name, content in TREE.items()}
        write(tmp_path / folder, {**tree, "mine.py": text})
    found = [import_file(tmp_path / folder / "mine.py").NAME for folder in ("one", "two")]
    assert found == [value.replace("{folder}", "one"), value.replace("{folder}", "two")]
    assert not {"helper", "chain", "pkg", "spaces"} & set(sys.modules)


def test_imports_inside_functions_find_the_right_sibling_later(tmp_path):
    late = """
        def name():
            import helper
            from pkg.part import name_of_helper
            assert name_of_helper() == helper.NAME
            return helper.NAME
    """
    for folder in ("one", "two"):
        part = "def name_of_helper():\n    from helper import NAME\n    return NAME"
        helper = f"NAME = {folder!r}"
        write(tmp_path / folder, {"mine.py": late, "helper.py": helper, "pkg/part.py": part})
    modules = [import_file(tmp_path / folder / "mine.py") for folder in ("one", "two")]
    assert [module.name() for module in modules] == ["one", "two"]
    assert [module.name() for module in modules] == ["one", "two"]


def test_two_plugins_of_a_folder_share_a_sibling(tmp_path):
    write(tmp_path, {"one.py": "import helper", "two.py": "from . import helper", "helper.py": ""})
    assert import_file(tmp_path / "one.py").helper is import_file(tmp_path / "two.py").helper


def test_a_sibling_hides_no_module_from_the_rest_of_the_program(tmp_path):
    """Runs in a new process, in which none of these modules has been imported."""
    evil = "raise SystemExit('a sibling was imported instead')"
    names = ("random", "queue", "colorsys", "typing_extensions", "sympy", "numpy")
    write(tmp_path, {f"{name}.py": evil for name in names})
    write(tmp_path, {"mine.py": "import random, colorsys, torch\nfrom torch import nn\nimport torch.utils.data"})
    program = f"""
        import sys
        from pathlib import Path
        from reprbench.plugin_files import import_file
        before = list(sys.path)
        module = import_file(Path({str(tmp_path / "mine.py")!r}))
        assert sys.path == before
        import colorsys, random, queue, numpy
        assert module.random is random and module.colorsys is colorsys
        print(Path(random.__file__).parent, Path(numpy.__file__).parent.parent)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path.parent)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout


def test_a_plugin_may_have_the_name_of_the_package_that_it_uses(tmp_path):
    write(tmp_path, {"numpy.py": "import numpy\nNAME = numpy.ones(3).sum()"})
    assert import_file(tmp_path / "numpy.py").NAME == 3


def test_a_plugin_in_a_package_imports_as_its_package_does(tmp_path):
    tree = {
        "pkg/__init__.py": "",
        "pkg/low.py": "NAME = 'low'",
        "pkg/sub/__init__.py": "FROM_INIT = 1",
        "pkg/sub/mine.py": "from ..low import NAME\nfrom pkg.low import NAME as SAME\nfrom . import FROM_INIT",
    }
    write(tmp_path, tree)
    module = import_file(tmp_path / "pkg" / "sub" / "mine.py")
    assert (module.NAME, module.SAME, module.FROM_INIT) == ("low", "low", 1)


def test_a_package_itself_may_be_the_plugin(tmp_path):
    write(tmp_path, {"pkg/__init__.py": "from .part import NAME\nimport pkg.part as part", "pkg/part.py": "NAME = 1"})
    module = import_file(tmp_path / "pkg" / "__init__.py")
    assert module.NAME == module.part.NAME == 1


@pytest.mark.parametrize("name", ["my-method.py", "2nd.py", "my.v2.py", "my.v2.final.py"])
def test_the_name_of_a_file_need_not_be_an_identifier(tmp_path, name):
    write(tmp_path, {name: "NAME = 1"})
    assert import_file(tmp_path / name).NAME == 1


def test_a_dot_in_the_name_of_a_file_is_not_that_of_a_package(tmp_path):
    tree = {
        "my.py": "NAME = 1",
        "my_v2.py": "NAME = 2",
        "my.v2.py": "from my import NAME as FIRST\nfrom helper import NAME",
        "helper.py": "NAME = 3",
        "pkg/__init__.py": "",
        "pkg/low.v2.py": "from . import low",
        "pkg/low.py": "NAME = 4",
    }
    write(tmp_path, tree)
    module = import_file(tmp_path / "my.v2.py")
    assert (module.FIRST, module.NAME) == (1, 3)
    assert import_file(tmp_path / "my.v2.py") is module
    assert import_file(tmp_path / "my_v2.py").NAME == 2
    assert import_file(tmp_path / "pkg" / "low.v2.py").low.NAME == 4


def test_what_an_import_raises_is_raised(tmp_path):
    write(tmp_path, {"mine.py": "from helper import missing", "helper.py": "", "two.py": "import nowhere_at_all"})
    with pytest.raises(ImportError, match="cannot import name 'missing'"):
        import_file(tmp_path / "mine.py")
    with pytest.raises(ModuleNotFoundError, match="'nowhere_at_all'"):
        import_file(tmp_path / "two.py")


def test_the_compiled_code_is_that_of_the_file(tmp_path):
    """The same file may be imported the usual way, as by a plugin's own tests: both share a cache of compiled code."""
    write(tmp_path, {"mine.py": "import helper\nNAME = helper.NAME", "helper.py": "NAME = 1"})
    assert import_file(tmp_path / "mine.py").NAME == 1
    done = subprocess.run([sys.executable, "-c", "import mine; print(mine.NAME)"], cwd=tmp_path, capture_output=True)
    assert done.stdout.strip() == b"1"
