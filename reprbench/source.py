"""The code that a method's or protocol's results depend on, read from its source files without running them."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import packages_distributions
from itertools import takewhile
from pathlib import Path
from typing import Any

NUMERICS: int = 4
"""The version of the harness's own computations, part of every identity.

It is raised whenever the same call would give other numbers than before, because of other batches, pooling or folds, or
a changed classifier. Stored results of another version are then computed again.
"""

_HARNESS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class _Import:
    """One import: ``from ..module import names`` has level 2; ``import module`` has level 0 and no names."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Code:
    """The content of a file: the digest of its code, and its imports."""

    digest: str
    imports: tuple[_Import, ...] = ()


def digest(files: Iterable[Path], root: Path | None = None) -> str:
    """Return the sha256 of the code of `files` and of every first-party file that they import, directly or not.

    Comments, docstrings and formatting do not count, nor does the folder's location. Imports of installed
    distributions, the standard library and reprbench are not followed.

    Parameters
    ----------
    files : Python files, whose imports are followed, and other files, whose bytes count.
    root : where absolute imports of their own code begin; by default the `package_root` of each file.
    """
    found, _ = _reached(files, root)
    top = os.path.commonpath([path.parent for path in found])
    parts = sorted(f"{path.relative_to(top).as_posix()}\0{code}" for path, code in found.items())
    return _sha256("\n".join(parts).encode())


def packages(files: Iterable[Path], root: Path | None = None) -> list[str]:
    """Return the sorted distributions from which `files`, and the first-party files they reach, import.

    Examples
    --------
    A file that imports `numpy` and `skimage.feature` gives ``["numpy", "scikit-image"]``. The standard library,
    reprbench and modules that are not installed are left out.
    """
    _, names = _reached(files, root)
    others = names - {_HARNESS.name, *sys.stdlib_module_names}
    return sorted({name for package in others for name in _distributions(package)}, key=str.lower)


def code_files(file: Path) -> list[Path]:
    """Return the files whose code counts in the `digest` of one: itself and every first-party file it imports."""
    return sorted(_reached([file])[0])


def code_identity(cls: type, file: Path, root: Path | None = None) -> dict[str, Any]:
    """Return what identifies the code of a method or protocol class, as JSON.

    That is the class's own ``version``, if it declares one (inheriting one does not count), and the digest of its code
    otherwise. The versions of its bases are added, so that a plugin's subclass changes with its built-in base.

    Parameters
    ----------
    cls : the class.
    file, root : where it is defined, see `reprbench.registry.Entry` and `digest`.

    Returns
    -------
    ``{"version": 2}`` or ``{"source": "5f0c…"}``, and perhaps ``"bases": [["KMeans", 1], …]`` in the order in which
    Python looks attributes up.
    """
    own = vars(cls).get("version")
    identity: dict[str, Any] = {"version": own} if isinstance(own, int) else {"source": digest([file], root)}
    versions = [(base.__name__, vars(base).get("version")) for base in cls.__mro__[1:]]
    if bases := [[name, version] for name, version in versions if isinstance(version, int)]:
        identity["bases"] = bases
    return identity


def package_root(path: Path) -> Path:
    """Return the first folder above `path` that is not a package: where absolute imports of its own package begin."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def first_party(root: Path, path: Path, module: str, names: Sequence[str] = ()) -> list[Path]:
    """Return the files of a plugin's own code that ``import module`` or ``from module import names`` runs.

    Own code is what lies in `root`, the `package_root` of the plugin. The standard library takes precedence over it,
    and no file imports itself: ``timm.py`` can import the installed `timm`.

    Parameters
    ----------
    root : where absolute imports of own code begin.
    path : the file with the import: the plugin or one that it imports.
    module, names : what is imported.

    Returns
    -------
    The packages on the path and the modules; empty if the import is of an installed module.
    """
    top = module.partition(".")[0]
    if top == _HARNESS.name or top in sys.stdlib_module_names or root / f"{top}.py" == path:
        return []
    if _holds_distributions(root) and not (path.is_relative_to(root) and _same_distribution(root, path, top)):
        return []
    return list(_modules(root, module, names))


def is_installed(package: str) -> bool:
    """Return whether a top-level name belongs to Python, reprbench or an installed distribution: not the user's own."""
    return package == _HARNESS.name or package in sys.stdlib_module_names or bool(_distributions(package))


def _reached(files: Iterable[Path], root: Path | None = None) -> tuple[dict[Path, str], set[str]]:
    """Follow the imports of `files` through all first-party files, including the packages that contain them.

    Returns
    -------
    The digests of their code by path, and the top-level names of all other imported modules.
    """
    digests: dict[Path, str] = {}
    others: set[str] = set()
    for start in (path.resolve() for path in files):
        base = root or package_root(start)
        waiting, seen = [start, *_packages_of(start, base)], set()
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            code = _read(path.read_bytes())
            digests[path] = code.digest
            for one in code.imports:
                own = _files_of(base, path, one)
                waiting += own
                others |= set() if own or one.level else {one.module.partition(".")[0]}
    return digests, others


def _packages_of(path: Path, root: Path) -> list[Path]:
    """Return the ``__init__.py`` of each package below `root` that `path` is in, reprbench excepted."""
    folders = takewhile(lambda folder: folder not in (root, _HARNESS), path.parents)
    return [package for folder in folders if (package := folder / "__init__.py").is_file()]


def _files_of(root: Path, path: Path, imported: _Import) -> list[Path]:
    if not imported.level:
        return first_party(root, path, imported.module, imported.names)
    if imported.level > len(path.parents):
        return []
    return list(_modules(path.parents[imported.level - 1], imported.module, imported.names))


def _modules(folder: Path, module: str, names: Sequence[str]) -> Iterator[Path]:
    """Yield the files of `module`, relative to `folder`, of the packages on its path, and of submodules in `names`."""
    for part in module.split(".") if module else []:
        folder /= part
        yield from _module(folder)
    if "*" in names and (folder / "__init__.py").is_file():
        yield from sorted(folder.glob("*.py"))  # those named in __all__ are imported
    for name in names:
        yield from _module(folder / name)


def _module(base: Path) -> Iterator[Path]:
    """Yield the file that Python would take for the module whose path without suffix is `base`, if there is one."""
    candidates = [base / "__init__.py", *(base.with_name(base.name + end) for end in (*EXTENSION_SUFFIXES, ".py"))]
    yield from [candidate for candidate in candidates if candidate.is_file()][:1]


def _same_distribution(root: Path, path: Path, top: str) -> bool:
    """Return whether one distribution installed both `path` and the package `top` in the folder `root`."""
    own = path.relative_to(root).parts[0].partition(".")[0]
    return own == top or not set(_distributions(own)).isdisjoint(_distributions(top))


@cache
def _holds_distributions(folder: Path) -> bool:
    return any(folder.glob("*.dist-info"))


@cache
def _installed() -> dict[str, list[str]]:
    return {package: list(names) for package, names in packages_distributions().items()}


def _distributions(package: str) -> list[str]:
    return _installed().get(package, [])


@lru_cache(maxsize=1024)
def _read(content: bytes) -> _Code:
    """Return the digest and imports of a file, Python or not."""
    try:
        tree = ast.parse(content)
        return _Code(_sha256(ascii(_plain(tree)).encode()), tuple(_imports(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # not Python, or nested too deep
        return _Code(_sha256(content))


def _plain(node: object) -> object:
    """Return a syntax tree as nested lists, without positions and statements that have no effect.

    `ast.dump` would do, but its output differs between versions of Python, which add fields that are mostly empty.
    """
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")  # the u of u""
        return [type(node).__name__, *([name, plain] for name, value in fields if (plain := _plain(value)) != [])]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _idle(item)]
    return [] if node is None else node


def _idle(node: object) -> bool:
    """Return whether a statement does nothing: a docstring, any other bare string, or ``pass``."""
    bare = node.value if isinstance(node, ast.Expr) else None
    return isinstance(node, ast.Pass) or (isinstance(bare, ast.Constant) and isinstance(bare.value, str))


def _imports(tree: ast.AST) -> Iterator[_Import]:
    """Yield all imports of a file, including those inside functions and ``import_module("literal")``."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (_Import(0, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                yield _Import(level, module or "", tuple(alias.name for alias in names))
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                module = name.lstrip(".")
                yield _Import(len(name) - len(module), module)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
