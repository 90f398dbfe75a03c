"""``reprbench new``: files to begin with, each beside a test that passes, from the templates of the package."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprbench import EXPORTS, __version__
from reprbench.cli.echo import echo
from reprbench.errors import UserError
from reprbench.spec import check_name

if TYPE_CHECKING:
    from reprbench.registry import EntryKind

FOLDERS = ("methods", "protocols", "datasets", "benchmarks")
"""Where the files are written, below the working directory; the first three are searched for plugins."""


@dataclass(frozen=True)
class Names:
    """What something called `name` is called in Python."""

    name: str
    module: str
    cls: str

    @classmethod
    def of(cls, name: str, what: str) -> Names:
        """Derive them; raise a `UserError` if Python or the templates use one of them already."""
        check_name(name, f"reprbench new {what}")
        module = re.sub(r"[-.]", "_", name).lower()
        if not module.isidentifier() or keyword.iskeyword(module):
            raise UserError(
                f"{name!r}: a Python file cannot be called {module!r}; begin with a letter, and use no keyword"
            )
        found = "".join(part[:1].upper() + part[1:] for part in re.split(r"[-._]+", name))
        if found in EXPORTS or keyword.iskeyword(found):
            raise UserError(
                f"{name!r}: its class would be called {found}, which has a meaning already; choose another name"
            )
        return cls(name, module, found)


@click.group()
def command() -> None:
    """Write a method, protocol, dataset, benchmark or package to begin with, and a test of it.

    Nothing that is there is overwritten.
    """


@command.command()
@click.argument("name")
def method(name: str) -> None:
    """Write methods/NAME.py: a method that can be run at once."""
    _plugin("method", name)
    _next(f"reprbench check {name}", f"reprbench run --methods {name},pca")


@command.command()
@click.argument("name")
def protocol(name: str) -> None:
    """Write protocols/NAME.py: a protocol that can be run at once."""
    _plugin("protocol", name)
    _next(f"reprbench run --methods pca,raw-pixels --protocols {name}")


@command.command()
@click.argument("name")
def dataset(name: str) -> None:
    """Write datasets/NAME.py: a dataset that can be run at once."""
    _plugin("dataset", name)
    _next(f"reprbench run --methods pca,raw-pixels --dataset {name}")


@command.command()
@click.argument("name")
def benchmark(name: str) -> None:
    """Write benchmarks/NAME.yaml: dataset, methods, protocols, seeds and budget of a table."""
    from reprbench.benchmark import benchmark_files

    names = Names.of(name, "benchmark")
    if name in benchmark_files():
        raise UserError(f"a benchmark {name!r} comes with reprbench; choose another name")
    path = f"benchmarks/{name}.yaml"
    test = _python_files(names)[FOLDERS.index("benchmarks")][1]
    _write(
        {Path(path): "benchmark.yaml.j2", test: "test_benchmark.py.j2"},
        {"name": name, "path": path, "methods": []},
        others=_every_file(names),
    )
    _next(f"reprbench run --benchmark {path} --plan")


@command.command()
@click.argument("name")
def package(name: str) -> None:
    """Write reprbench-NAME/: a package with the method NAME, its entry point, tests, a benchmark and a CI workflow."""
    names = Names.of(name.removeprefix("reprbench-"), "package")
    _refuse_registered("method", names.name)
    root = Path(f"reprbench-{names.name}")
    inside = f"reprbench_{names.module}"
    files = {
        "pyproject.toml": "package/pyproject.toml.j2",
        "README.md": "package/README.md.j2",
        ".gitignore": "package/gitignore.j2",
        ".github/workflows/table.yml": "package/table.yml.j2",
        "benchmark.yaml": "benchmark.yaml.j2",
        f"src/{inside}/__init__.py": "package/init.py.j2",
        f"src/{inside}/{names.module}.py": "method.py.j2",
        f"tests/test_{names.module}.py": "test_method.py.j2",
        "tests/benchmark_test.py": "test_benchmark.py.j2",
    }
    known = {**vars(names), "import_from": f"{inside}.{names.module}", "package": inside, "distribution": root.name}
    known |= {"version": __version__, "path": "benchmark.yaml", "methods": [names.name]}
    _write({root / path: template for path, template in files.items()}, known, others=[root])
    _next(f"cd {root}", 'pip install --editable ".[test]"', "pytest")


def _plugin(kind: EntryKind, name: str) -> None:
    """Write a plugin file and its test into the folder of its kind."""
    names = Names.of(name, kind)
    # The test imports it by this name.
    if importlib.util.find_spec(names.module):
        raise UserError(f"{name!r}: a module {names.module!r} is installed already; choose another name")
    _refuse_registered(kind, name)
    path, test = _python_files(names)[FOLDERS.index(f"{kind}s")]
    _write(
        {path: f"{kind}.py.j2", test: f"test_{kind}.py.j2"},
        {**vars(names), "import_from": names.module},
        others=_every_file(names),
    )


def _refuse_registered(kind: EntryKind, name: str) -> None:
    from reprbench.registry import discover

    known = discover().of_kind(kind)
    if name in known:
        raise UserError(f"a {kind} {name!r} is there already: {known[name].origin}; choose another name")


def _python_files(names: Names) -> list[tuple[Path, Path]]:
    """Return the file and the test that something of this name has in each of the folders."""
    return [(Path(folder, f"{names.module}.py"), Path(folder, f"test_{names.module}.py")) for folder in FOLDERS]


def _every_file(names: Names) -> list[Path]:
    """Return the files of this name in all folders: pytest imports only one module of a name."""
    return [path for pair in _python_files(names) for path in pair]


def _write(files: Mapping[Path, str], known: Mapping[str, object], others: Iterable[Path]) -> None:
    """Fill in templates and write them; if one of the files or of `others` is there, raise a `UserError` instead."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    for path in [*files, *others]:
        if path.exists() or path.is_symlink():
            raise UserError(f"{path}: already there; choose another name, or remove it")
    # GitHub's workflows have {{ }} of their own.
    templates = Environment(  # noqa: S701 - no HTML
        loader=PackageLoader("reprbench"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    for path, template in files.items():
        text = templates.get_template(template).render(known)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        echo(f"wrote {path}")


def _next(*commands: str) -> None:
    echo("next:" + "".join(f"\n  {command}" for command in commands))
