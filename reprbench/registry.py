"""From names to learner classes, lazily: entry points, plugin files, and a ``methods/`` folder, with equal rights."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprbench.errors import UserError, did_you_mean
from reprbench.source import digest
from reprbench.spec import check_name

if TYPE_CHECKING:
    from reprbench.learner import Learner

GROUP = "reprbench.methods"


@dataclass(frozen=True)
class Entry:
    """A method that can be loaded: its name and where it comes from.

    `target` is ``module:Class`` for an entry point and a path for a file.
    """

    name: str
    kind: str
    target: str

    @property
    def origin(self) -> str:
        """Where the method comes from, for people."""
        return f"{self.kind} {self.target}"

    def load(self) -> type[Learner]:
        """Import and return the class; whatever the import raises is raised."""
        if self.kind == "entry point":
            module, _, attribute = self.target.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
        else:
            offered = [value for value in vars(import_file(Path(self.target))).values() if isinstance(value, type)]
            found = next((c for c in offered if vars(c).get("method_name") == self.name), None)
        return _checked(found, self)

    def source_digest(self) -> str:
        """Return the digest of the code the method depends on, without running it."""
        return digest([self.file()])

    def file(self) -> Path:
        """Return the file that defines the method."""
        if self.kind != "entry point":
            return Path(self.target)
        spec = importlib.util.find_spec(self.target.partition(":")[0])
        if spec is None or spec.origin is None:
            raise UserError(f"method {self.name!r}: {self.target} is not installed any more; install its package again")
        return Path(spec.origin)


def _checked(found: Any, entry: Entry) -> type[Learner]:
    from reprbench.learner import Learner

    if not (isinstance(found, type) and issubclass(found, Learner)):
        raise TypeError(f"{entry.origin} gives no Learner class for {entry.name!r}")
    return found


@dataclass(frozen=True)
class Registry:
    """All methods that can be asked for by name, and the plugin files that could not be read."""

    entries: dict[str, Entry]
    problems: dict[str, str]
    """Plugin files that offer nothing, and why."""

    def find(self, name: str) -> Entry:
        """Return the entry called `name`; raise a `UserError` that suggests the nearest otherwise."""
        if name not in self.entries:
            broken = "".join(f" ({path}: {reason})" for path, reason in self.problems.items())
            raise UserError(
                f"unknown method {name!r}.{did_you_mean(name, self.entries)} "
                f"`reprbench list methods` shows all {len(self.entries)}.{broken}"
            )
        return self.entries[name]


def discover(plugins: Sequence[Path] = (), folder: Path = Path("methods")) -> Registry:
    """Collect the names from all three doors; no plugin is run.

    Raises
    ------
    UserError
        If two origins give the same name, or a plugin file is missing.
    """
    for path in plugins:
        if not path.is_file():
            raise UserError(f"--plugin {path}: no such file; expected a Python file with a @register(...) class")
    in_folder = sorted(p for p in folder.glob("*.py") if not p.name.startswith("_")) if folder.is_dir() else []
    entries: dict[str, Entry] = {}
    problems: dict[str, str] = {}
    installed = [Entry(e.name, "entry point", e.value) for e in entry_points(group=GROUP)]
    files = list(dict.fromkeys(path.resolve() for path in [*plugins, *in_folder]))
    for entry in [*installed, *_scan(files, set(plugins), problems)]:
        other = entries.setdefault(check_name(entry.name, f"the method of {entry.origin}"), entry)
        if other != entry and not _same_file(other, entry):
            raise UserError(
                f"two methods are called {entry.name!r}: {other.origin} and {entry.origin}; rename one of them"
            )
    return Registry(dict(sorted(entries.items())), problems)


def _same_file(one: Entry, other: Entry) -> bool:
    """Return whether both doors lead to the same code, as when one works inside an installed checkout."""
    return one.file().read_bytes() == other.file().read_bytes()


def _scan(files: Iterable[Path], named: set[Path], problems: dict[str, str]) -> list[Entry]:
    entries = []
    for path in files:
        try:
            names = registered_names(path.read_text(encoding="utf-8"))
        except (SyntaxError, OSError, ValueError) as error:
            problems[str(path)] = f"{type(error).__name__}: {error}"
            continue
        if not names and any(path == plugin.resolve() for plugin in named):
            problems[str(path)] = 'no class with @register("name")'
        entries += [Entry(name, "file", str(path)) for name in names]
    return entries


def registered_names(source: str) -> list[str]:
    """Return the names that the classes of a Python source register, read from the syntax tree alone."""
    return [
        decorator.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and "register" in (getattr(decorator.func, "id", ""), getattr(decorator.func, "attr", ""))
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
        and isinstance(decorator.args[0].value, str)
    ]


def import_file(path: Path) -> types.ModuleType:
    """Import a plugin file; its siblings can be reached by relative imports."""
    path = path.resolve()
    package = "reprbench_plugin_" + hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    if package not in sys.modules:
        parent = types.ModuleType(package)
        parent.__path__ = [str(path.parent)]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.{path.stem}")
