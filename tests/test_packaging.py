"""The sdist and the wheel: what is in them, and that the wheel works in an environment of its own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from common import REPOSITORY
from environments import sharing_environment

import reprbench

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
NOT_OURS = shutil.ignore_patterns("__pycache__", "*.egg-info")
INFO = f"reprbench-{reprbench.__version__}.dist-info/"


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what the build reads, and of some of what it must leave out: it writes into the folder."""
    folder = tmp_path_factory.mktemp("source") / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("reprbench", "methods", "benchmarks", "docs"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=NOT_OURS)
    for path in ("tests/test_x.py", "results/quick/trial.json", "reprbench/notes.txt", "benchmarks/ame-ae/trial.json"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    return folder


@pytest.fixture(scope="module")
def built(source) -> tuple[Path, Path, str]:
    """The sdist, the wheel that is built from it, and what the build said."""
    said = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "../dist", cwd=source)
    (sdist,), (wheel,) = ((source.parent / "dist").glob(form) for form in ("*.tar.gz", "*.whl"))
    return sdist, wheel, said


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return HeaderParser().parsestr(archive.read(f"{INFO}METADATA").decode())


def installed_files() -> set[str]:
    """Return what the wheel has to contain: every file of the three folders, but not what lies below benchmarks."""
    found = {path: path.relative_to(REPOSITORY) for path in (REPOSITORY / "reprbench").rglob("*")}
    for name in ("methods", "benchmarks"):
        found |= {path: "reprbench" / path.relative_to(REPOSITORY) for path in (REPOSITORY / name).glob("*")}
    return {str(inside) for path, inside in found.items() if path.is_file() and "__pycache__" not in path.parts}


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built):
    _, wheel, said = built
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {path for path in inside if not path.startswith(INFO)} == installed_files()
    assert {"reprbench/py.typed", "reprbench/methods/ameae.py", "reprbench/benchmarks/quick.yaml"} <= inside
    assert f"{INFO}licenses/LICENSE" in inside
    assert "WARNING" not in said


@pytest.mark.slow
def test_the_sdist_has_what_the_build_needs_and_nothing_else(built):
    sdist, _, _ = built
    with tarfile.open(sdist) as archive:
        inside = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {"PKG-INFO", "setup.cfg", *(path for path in inside if path.startswith("reprbench.egg-info/"))}
    packages = {path.removeprefix("reprbench/") if "/methods/" in path else path for path in installed_files()}
    packages = {path.removeprefix("reprbench/") if "/benchmarks/" in path else path for path in packages}
    files = {"pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"}
    assert inside - made == packages | files


@pytest.mark.slow
def test_the_checkout_and_the_sdist_make_the_same_wheel(built, source):
    _, from_sdist, _ = built
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", "../again", cwd=source)
    from_checkout = source.parent / "again" / from_sdist.name
    contents = [{one.filename: one.CRC for one in zipfile.ZipFile(w).infolist()} for w in (from_sdist, from_checkout)]
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_the_metadata_is_complete(built):
    sdist, wheel, _ = built
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel), cwd=wheel.parent)
    found = metadata(wheel)
    assert found["Version"] == reprbench.__version__
    assert found["License-Expression"] == PROJECT["license"]
    assert found["Requires-Python"] == PROJECT["requires-python"]
    assert set(found.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    required = [text.replace(" ", "") for text in found.get_all("Requires-Dist") if "extra ==" not in text]
    assert sorted(required) == sorted(text.replace(" ", "") for text in PROJECT["dependencies"])


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(built, tmp_path):
    _, wheel, _ = built
    python = sharing_environment(tmp_path / "empty")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(wheel), cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ask = "import reprbench, reprbench.methods as methods; print(reprbench.__file__, methods.__file__, sep='\\n')"
    assert all(line.startswith(str(tmp_path)) for line in run(python, "-c", ask, cwd=elsewhere).splitlines())
    program = str(Path(python).with_name("reprbench"))
    said = run(program, "run", "--methods", "raw-pixels", "--limit", "200", cwd=elsewhere)
    assert "raw-pixels ‡" in said
    assert "raw-pixels" in run(program, "report", "--format", "html", "-o", "/dev/stdout", cwd=elsewhere)
    assert "wrote methods/mine.py" in run(program, "new", "method", "mine", cwd=elsewhere)
    assert "quick" in run(program, "list", "benchmarks", cwd=elsewhere)


def test_uvx_and_pipx_find_the_program():
    # They run the program that has the name of the distribution.
    assert list(PROJECT["scripts"]) == [PROJECT["name"]]


def test_the_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    assert "\nversion:" not in (REPOSITORY / "CITATION.cff").read_text()


def test_the_citation_is_valid():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    run(*command, str(REPOSITORY / "CITATION.cff"), cwd=REPOSITORY)


def test_everything_that_is_imported_is_required():
    imported = set()
    for path in [*(REPOSITORY / "reprbench").rglob("*.py"), *(REPOSITORY / "methods").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    # pydantic_core is a part of pydantic, in a distribution of its own.
    others = imported - set(sys.stdlib_module_names) - {"reprbench", "pydantic_core"}
    extras = [text for name, texts in PROJECT["optional-dependencies"].items() if name != "dev" for text in texts]
    required = {re.split(r"[\[>=<]", text)[0].lower() for text in [*PROJECT["dependencies"], *extras]}
    distributions = packages_distributions()
    missing = [name for name in others if not {one.lower() for one in distributions.get(name, [name])} & required]
    assert "torch" in others
    assert not missing
