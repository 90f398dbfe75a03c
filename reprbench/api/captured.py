"""Writes learner classes that are defined in a notebook or a script to plugin files, which trials can import.

The file holds the class and what it refers to at the top level of its module: classes and functions that are defined
there, plain values, and imports. Modules of the user's own that it imports are copied next to it. What cannot be
written down, such as a tensor of the notebook, is refused. Files are named by their content, so that an edit of the
class, or of something it refers to, is other code, and nothing else is.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn, TypeGuard

import reprbench
from reprbench import plugin_files
from reprbench.api.definitions import Definition, find_definition, namespace_of
from reprbench.api.redefined import difference
from reprbench.errors import UserError
from reprbench.files import replacing
from reprbench.learner import Learner
from reprbench.source import code_files, is_installed, package_root
from reprbench.spec import check_name
from reprbench.texts import described

FOLDER = "plugins"
"""The folder of these files in the cache."""
PREFIX = "captured_"
"""How their names begin; the method's name follows."""
LONGEST_VALUE = 10_000
"""Characters of a plain value that a class refers to."""

REMEDY = "or write the class to a file with @register(…), and give that file with plugins=[…]"


def method_name(cls: type[Learner]) -> str:
    """Return the name of a method: the registered one, or the class's in kebab case.

    >>> from reprbench.learner import Learner
    >>> method_name(type("MyDAE2", (Learner,), {}))
    'my-dae2'
    """
    own: str | None = vars(cls).get("method_name")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()
    return check_name(own or words.replace("_", "-").strip("-"), f"class {cls.__name__}")


def capture(cls: type[Learner], cache: Path) -> Path:
    """Write a class to a plugin file in the cache, and return its path.

    Raises
    ------
    UserError
        If the class, or something it refers to, cannot be written to a file.
    """
    name, captured = method_name(cls), _Captured(cls)
    text = captured.text(name)
    captured.check(text)
    files = {**captured.modules(), f"{PREFIX}{name}.py": text.encode()}
    digest = hashlib.sha256(b"\0".join(part for path in sorted(files) for part in (path.encode(), files[path])))
    folder = cache / FOLDER / digest.hexdigest()[:16]
    for path, content in files.items():
        if (folder / path).exists():
            with contextlib.suppress(OSError):  # another user's, in a shared cache
                os.utime(folder / path)  # when it was last asked for, see `reprbench.api.pruning`
            continue
        with replacing(folder / path) as temporary:
            temporary.write_bytes(content)
    return folder / f"{PREFIX}{name}.py"


def captured_files(name: str, cache: Path) -> list[Path]:
    """Return the files to which classes of that name were written, the newest first."""
    found = (cache / FOLDER).glob(f"*/{PREFIX}{name}.py")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


class _Captured:
    """The parts of the file of one class: what it refers to comes before it."""

    def __init__(self, cls: type[Learner]) -> None:
        self._cls = cls
        self._names: dict[str, Any] = {}
        self._made: dict[str, Any] = {}
        self._imports: list[str] = []
        self._values: list[str] = []
        self._definitions: list[str] = []
        self._copied: dict[str, bytes] = {}
        self._future = False
        self._whole = self._definition(cls)

    def text(self, name: str) -> str:
        """Return the content of the file."""
        head = [
            f'"""The class {self._cls.__name__}, and what it refers to, as they were when a run asked for it."""',
            "",
        ]
        future = ["from __future__ import annotations", ""] if self._future else []
        imports = sorted({*self._imports, "import reprbench"})
        whole = "\n".join([f"@reprbench.register({name!r})", *self._whole.decorators, self._whole.text])
        last = f"\n\n{whole}"
        return "\n".join([*head, *future, *imports, "", *self._values, *self._definitions, last]) + "\n"

    def check(self, text: str) -> None:
        """Raise a `UserError` unless the content of the file makes what there is now."""
        again = self._run(text)
        made = {name: (item, again[name]) for name, item in self._made.items()}
        if found := difference({**made, self._cls.__name__: (self._cls, again[self._cls.__name__])}):
            self._refuse(found)

    def _run(self, text: str) -> Mapping[str, Any]:
        """Return what the content of the file defines."""
        module = ModuleType(f"{__name__}.again")
        sys.modules[module.__name__] = module  # for what looks names up there, such as dataclasses
        try:
            exec(compile(text, f"<{self._cls.__name__} again>", "exec", dont_inherit=True), vars(module))  # noqa: S102  (the code ran before)
        except Exception as error:
            self._refuse(f"cannot be defined again: {described(error)}")
        finally:
            del sys.modules[module.__name__]
        return vars(module)

    def modules(self) -> Mapping[str, bytes]:
        """Return the user's own modules that are imported, by their paths below the file's folder."""
        return self._copied

    def _definition(self, item: Any) -> Definition:
        """Return a definition, after adding what it refers to."""
        found = find_definition(item)
        if isinstance(found, str):
            self._refuse(found)
        self._future = self._future or found.future
        namespace = namespace_of(item)
        if self._names.setdefault(item.__name__, item) is not item:
            self._refuse(f"refers to two things that are called {item.__name__!r}; give them different names")
        for name in sorted(found.names - {item.__name__}):
            if name in namespace:
                self._add(name, namespace[name])
        for dotted in sorted(found.dotted):
            self._import_submodules(dotted, namespace)
        return found

    def _add(self, name: str, value: Any) -> None:
        if name in self._names:
            if self._names[name] is not value:
                self._refuse(f"refers to two things that are called {name!r}; give them different names")
            return
        self._names[name] = value
        if value is sys.modules["__main__"]:
            self._refuse(f"refers to {name!r}, the script itself; name what it needs of it")
        if isinstance(value, ModuleType):
            self._import(value.__name__, "", name)
        elif self._is_defined_here(value):
            self._define(name, value)
        elif (plain := _plain(value)) is not None:
            self._values.append(f"{name} = {plain}")
        elif (place := _place(value, name, self._cls.__module__)) is not None:
            self._import(*place, name)
        else:
            self._refuse(
                f"refers to {name!r}, a {type(value).__name__} that cannot be written to a file; make it a parameter, "
                "or compute it in build or fit"
            )

    def _is_defined_here(self, value: Any) -> TypeGuard[type | FunctionType]:
        return isinstance(value, type | FunctionType) and value.__module__ == self._cls.__module__

    def _define(self, name: str, value: type | FunctionType) -> None:
        found = self._definition(value)
        self._made[value.__name__] = value
        text = "\n".join([*found.decorators, found.text])
        alias = [] if name == value.__name__ else [f"{name} = {value.__name__}"]
        self._definitions += ["", "", text, *alias]

    def _import(self, module: str, attribute: str, name: str) -> None:
        if module.startswith(f"{plugin_files.__name__}."):
            self._refuse(f"refers to {name!r} of a plugin file, which has another name in each process")
        if not is_installed(module.partition(".")[0]):
            self._copy(module)
        renamed = "" if name == (attribute or module) else f" as {name}"
        self._imports.append(f"from {module} import {attribute}{renamed}" if attribute else f"import {module}{renamed}")

    def _import_submodules(self, dotted: str, namespace: Mapping[str, Any]) -> None:
        """Import what `import package.module` made part of a package: importing that alone may not do it."""
        name, *attributes = dotted.split(".")
        module = namespace.get(name)
        for attribute in attributes:
            inner = sys.modules.get(f"{module.__name__}.{attribute}") if isinstance(module, ModuleType) else None
            if module is None or inner is None or getattr(module, attribute, None) is not inner:
                return
            self._import(f"{module.__name__}.{attribute}", "", f"{module.__name__}.{attribute}")
            module = inner

    def _copy(self, module: str) -> None:
        """Keep a module of the user's own, and those that it imports."""
        file = getattr(sys.modules[module], "__file__", None)
        if file is None:
            self._refuse(f"imports {module!r}, which has no file")
        root = package_root(Path(file).resolve())
        for path in code_files(Path(file)):
            if not path.is_relative_to(root):
                self._refuse(f"imports {module!r}, which imports {path} from outside of {root}")
            place, content = path.relative_to(root).as_posix(), path.read_bytes()
            if self._copied.setdefault(place, content) != content:
                self._refuse(f"imports two modules that are called {place}")

    def _refuse(self, why: str) -> NoReturn:
        raise UserError(f"class {self._cls.__name__} {why}; {REMEDY}")


def _plain(value: Any) -> str | None:
    """Return a value as Python writes it, if that says all of it."""
    text = repr(value) if isinstance(value, _PLAIN) else ""
    if not 0 < len(text) <= LONGEST_VALUE:
        return None
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


_PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)


def _place(value: Any, name: str, but: str) -> tuple[str, str] | None:
    """Return a module, other than `but` and the script, and the attribute that a value can be imported from."""
    if getattr(reprbench, "EXPORTS", {}).get(name) and getattr(reprbench, name) is value:
        return "reprbench", name
    # A module may have several names: multiprocessing calls the script __mp_main__, too.
    excluded = [vars(sys.modules[one]) for one in (but, "__main__") if one in sys.modules]
    modules = [
        (one, vars(module))
        for one, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and not any(vars(module) is other for other in excluded)
    ]
    if isinstance(value, type | FunctionType) and "." not in value.__qualname__:
        content: Mapping[str, Any] = dict(modules).get(value.__module__, {})
        attribute = value.__qualname__
        if content.get(attribute) is value:
            return value.__module__, attribute
    found = [(one, here) for one, content in modules for here, other in list(content.items()) if other is value]
    # The public place of a name is the shortest one.
    return min(found, key=lambda place: (place[1] != name, "._" in f".{place[0]}", len(place[0]), place), default=None)
