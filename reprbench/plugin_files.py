"""Imports plugin files, and their siblings, under private names, so that those of two folders never collide."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from reprbench.source import first_party, package_root

__path__: list[str] = []
"""Makes this module a package, that of the private packages. A process that only knows the name of a class, as one that
multiprocessing spawns, thus imports this module first, which finds the rest."""

_ROOT = "REPRBENCH_PLUGIN_"
"""With the digest that names a private package, the environment variable that holds its folder, for other processes."""

_DOT = "\N{ONE DOT LEADER}"
"""Stands in module names for the dot in a file name such as ``my.v2.py``, which would separate a package there."""


def import_file(path: Path) -> ModuleType:
    """Import a plugin file; exceptions of the import propagate.

    The file becomes a module of a private package; there is one for each folder in which absolute imports of a plugin's
    own code begin (see `reprbench.source.first_party`). Relative and absolute imports of modules there work, also later
    inside functions, and no other module can import them: a ``helper.py`` next to a plugin is not mistaken for that of
    a plugin in another folder, and hides no installed `helper` from the rest of the program.
    """
    path = path.resolve()
    root = package_root(path)
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    os.environ[_ROOT + digest] = str(root)
    package = f"{__name__}.{digest}"
    parts = [part.replace(".", _DOT) for part in path.relative_to(root).with_suffix("").parts]
    return importlib.import_module(".".join([package, *parts]).removesuffix(".__init__"))


_PRIVATE = re.compile(rf"\b{re.escape(__name__)}\.[0-9a-f]{{12}}\.?")


@contextmanager
def public_names() -> Iterator[None]:
    """Make the messages of failing imports name modules as the plugin does, without the private package."""
    try:
        yield
    except ImportError as error:
        named = _PRIVATE.sub(lambda found: "" if found[0].endswith(".") else ".", error.msg or "")
        error.msg = named.replace(_DOT, ".")
        raise


class _Finder(MetaPathFinder):
    """Finds the modules of private packages as Python does, and has `_PluginLoader` load them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}."):
            return None
        digest, _, rest = fullname.removeprefix(f"{__name__}.").partition(".")
        if not rest:
            return _package(fullname, os.environ.get(_ROOT + digest))
        spec = PathFinder.find_spec(fullname, path, target) or _dotted(fullname, path or ())
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _PluginLoader(fullname, spec.loader.path)
        return spec


def _package(fullname: str, root: str | None) -> ModuleSpec | None:
    """Return the private package of a folder, which has no code of its own."""
    if root is None:
        return None
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [root]
    return spec


def _dotted(fullname: str, path: Sequence[str]) -> ModuleSpec | None:
    """Find a file with a dot in its name, which Python's own finder does not."""
    name = fullname.rpartition(".")[2].replace(_DOT, ".") + ".py"
    found = (Path(folder, name) for folder in path)
    return next((spec_from_file_location(fullname, file) for file in found if file.is_file()), None)


class _PluginLoader(SourceFileLoader):
    """Runs a module with an ``import`` statement that finds the files next to it."""

    def exec_module(self, module: ModuleType) -> None:
        package = f"{__name__}.{module.__name__.removeprefix(f'{__name__}.').partition('.')[0]}"
        (root,) = sys.modules[package].__path__

        @public_names()
        def import_(
            name: str,
            globals: Mapping[str, object] | None = None,  # noqa: A002  (as __import__ calls them)
            locals: Mapping[str, object] | None = None,  # noqa: A002
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            if level > 1 + (module.__package__ or "").count(".") - package.count("."):
                # Above the private package is this module, which is none of a plugin's.
                raise ImportError("attempted relative import beyond top-level package")
            if level or not _is_first_party(root, self.path, name, tuple(fromlist or ())):
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
            # ``import a.b`` gives `a`, which is one below the private package.
            return found if fromlist else sys.modules[f"{package}.{name.partition('.')[0]}"]

        vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}
        super().exec_module(module)


@lru_cache(maxsize=4096)
def _is_first_party(root: str, path: str, module: str, names: tuple[str, ...]) -> bool:
    return bool(first_party(Path(root), Path(path), module, names))


sys.meta_path.insert(0, _Finder())
