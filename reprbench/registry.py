"""Finds methods, protocols and datasets by name, lazily, from entry points, plugin files and folders alike."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from reprbench.errors import UserError, did_you_mean
from reprbench.extras import lacking
from reprbench.files import NotRegularError, kind_of_special, open_regular
from reprbench.plugin_files import import_file, public_names
from reprbench.registrations import EntryKind as EntryKind
from reprbench.registrations import definitions, extra_of, parsed, registered, what_is_wrong
from reprbench.spec import check_name
from reprbench.texts import described

if TYPE_CHECKING:
    from reprbench.learner import Learner

Way = Literal["entry point", "file"]

_MARKS: dict[EntryKind, str] = {"method": "method_name", "protocol": "name", "dataset": "dataset_name"}
"""The attributes in which the decorators store the names."""

_EXPECTED = '@register("name"), @register_protocol("name") or @register_dataset("name")'

LearnerClass = TypeVar("LearnerClass", bound="type[Learner]")
ProtocolClass = TypeVar("ProtocolClass", bound=type)
DatasetFunction = TypeVar("DatasetFunction", bound=Callable[..., Any])


def register(name: str) -> Callable[[LearnerClass], LearnerClass]:
    """Register a learner class under a name.

    Parameters
    ----------
    name : must be a literal: the registry reads it from the file without running the file.

    Returns
    -------
    The decorator, which sets `method_name` and returns the class itself.

    Examples
    --------
    >>> from reprbench import Learner, register
    >>> @register("raw")
    ... class Raw(Learner):
    ...     kind = "control"
    ...
    ...     def fit(self, images, run):
    ...         pass
    ...
    ...     def encode(self, x):
    ...         return {"pixels": x.flatten(1)}
    >>> Raw.method_name
    'raw'
    """
    return _mark("method", name)


def register_protocol(name: str) -> Callable[[ProtocolClass], ProtocolClass]:
    """Register a `Protocol` class under a name, which must be a literal, as for `register`."""
    return _mark("protocol", name)


def register_dataset(name: str) -> Callable[[DatasetFunction], DatasetFunction]:
    """Register a function that returns image data under a name, which must be a literal, as for `register`.

    Its parameters, with types and defaults, are those of the dataset, as in ``birds[size=64]``. The exception is
    `request`, which is given the `DataRequest` that finds files below ``--data-dir``. The function returns
    `ImageArrays` or an `ImageFolder`. Their content, not the function's code, identifies the data.

    Examples
    --------
    ::

        @register_dataset("birds")
        def birds(size: int = 32) -> ImageFolder:
            '''Birds: color photos, 12 classes.'''
            return ImageFolder("birds", image_size=size, title="Birds")
    """
    return _mark("dataset", name)


def _mark(kind: EntryKind, name: str) -> Callable[[Any], Any]:
    def decorate(item: Any) -> Any:
        setattr(item, _MARKS[kind], name)
        return item

    return decorate


@dataclass(frozen=True)
class Entry:
    """Something that can be loaded by its name, and how it was registered.

    `target` is ``module:attribute`` for an entry point and a path for a file.
    """

    name: str
    way: Way
    target: str
    kind: EntryKind = "method"

    @property
    def origin(self) -> str:
        """Where it comes from, for messages; bytes of a path that are not UTF-8 are escaped."""
        return f"{self.way} {os.fsencode(self.target).decode(errors='backslashreplace')}"

    def load(self) -> Any:
        """Import and return the class or function; exceptions of the import propagate.

        Raises
        ------
        TypeError
            If the file or entry point does not provide what it promises.
        """
        if self.way == "entry point":
            module, _, attribute = self.target.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
        else:
            with public_names():
                offered = [item for item in vars(import_file(Path(self.target))).values() if callable(item)]
            mark = _MARKS[self.kind]
            found = next((item for item in offered if getattr(item, "__dict__", {}).get(mark) == self.name), None)
        self._check(found)
        return found

    def load_or_refuse(self) -> Any:
        """Return what `load` does; a failing import raises a one-line `UserError`, with the original as its cause."""
        try:
            return self.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin raises
            raise UserError(f"{self.target}: {described(error)}") from error

    def file(self) -> Path:
        """Return the file that defines it."""
        if self.way == "file":
            return Path(self.target)
        spec = importlib.util.find_spec(self.target.partition(":")[0])
        if spec is None or spec.origin is None:
            raise UserError(f"{self.kind} {self.name!r}: {self.target} is not installed; install its package again")
        return Path(spec.origin)

    def root(self) -> Path | None:
        """Return the folder in which absolute imports of an installed package begin; None if the file determines it."""
        file, module = self.file(), Path(*self.target.partition(":")[0].split("."))
        for path in (module.with_suffix(".py"), module / "__init__.py"):
            if self.way == "entry point" and file.parts[-len(path.parts) :] == path.parts:
                return file.parents[len(path.parts) - 1]
        return None

    def summary(self) -> str:
        """Return the first line of its docstring without running its file; empty if none is found."""
        node = self._definition()
        return ((ast.get_docstring(node) if node else None) or "").partition("\n")[0]

    def lacking(self) -> str:
        """Return what is to be installed for it, and how, without running its file; see `Learner.extra`."""
        node = self._definition() if self.kind == "method" else None
        return lacking(extra_of(node)) if node else ""

    def _definition(self) -> ast.ClassDef | ast.FunctionDef | None:
        """Return the class or function as its file defines it; None if it is not found there."""
        attribute = self.target.partition(":")[2] if self.way == "entry point" else None
        try:
            tree = parsed(self.file().read_bytes())
        except (ImportError, OSError, SyntaxError, UserError):
            return None
        for node, kind, name in definitions(tree):
            if node.name == attribute or (attribute is None and (kind, name) == (self.kind, self.name)):
                return node
        return None

    def _check(self, found: Any) -> None:
        from reprbench.learner import Learner

        good = isinstance(found, type) and issubclass(found, Learner) if self.kind == "method" else callable(found)
        if not good:
            wanted = {"method": "Learner class", "protocol": "Protocol class", "dataset": "function"}[self.kind]
            raise TypeError(f"{self.origin} gives no {wanted} for {self.name!r}")


@dataclass(frozen=True)
class Registry:
    """Everything that can be found by name, and the plugin files that could not be read."""

    methods: Mapping[str, Entry] = field(default_factory=dict)
    protocols: Mapping[str, Entry] = field(default_factory=dict)
    datasets: Mapping[str, Entry] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Plugin files that register nothing, and why."""
    files: Mapping[str, Sequence[tuple[EntryKind, str]]] = field(default_factory=dict)
    """What each plugin file that could be read registers, in its order."""

    def of_kind(self, kind: EntryKind) -> Mapping[str, Entry]:
        """Return the entries of one kind, by name."""
        return {"method": self.methods, "protocol": self.protocols, "dataset": self.datasets}[kind]

    def find(self, kind: EntryKind, name: str) -> Entry:
        """Return the entry called `name`; raise a `UserError` that suggests the nearest name if there is none."""
        known = self.of_kind(kind)
        if name not in known:
            broken = "".join(f" ({path}: {reason})" for path, reason in self.problems.items())
            raise UserError(
                f"unknown {kind} {name!r}.{did_you_mean(name, known)} "
                f"`reprbench list {kind}s` shows all {len(known)}.{broken}"
            )
        return known[name]


def discover(plugins: Sequence[Path] = (), folder: Path | None = Path()) -> Registry:
    """Collect the names from all ways to register, without running any plugin.

    Parameters
    ----------
    plugins : files given with ``--plugin``.
    folder : where to look for the folders ``methods``, ``protocols`` and ``datasets``, by default the working
        directory; None for nowhere.

    Raises
    ------
    UserError
        If two entries of a kind have the same name, or a plugin file is missing.
    """
    for path in plugins:
        if not os.path.isfile(path):  # noqa: PTH113 - of a path that is too long `Path.is_file` raises an error
            raise UserError(f"{path}: {_kind(path)}; expected a Python file with {_EXPECTED}")
    in_folders = [] if folder is None else _files_in(folder)
    # Of a loop of links `Path.resolve` raises an error.
    files = list(dict.fromkeys(Path(os.path.realpath(path)) for path in [*plugins, *in_folders]))
    problems: dict[str, str] = {}
    read: dict[str, Sequence[tuple[EntryKind, str]]] = {}
    found: dict[EntryKind, dict[str, Entry]] = {kind: {} for kind in _MARKS}
    for entry in [*_installed(), *_scan(files, {path.resolve() for path in plugins}, problems, read)]:
        check_name(entry.name, f"the {entry.kind} of {entry.origin}")
        other = found[entry.kind].setdefault(entry.name, entry)
        if other != entry and not _same_file(other, entry):
            raise UserError(
                f"two {entry.kind}s are called {entry.name!r}: {other.origin} and {entry.origin}; rename one of them"
            )
    methods, protocols, datasets = (dict(sorted(found[kind].items())) for kind in _MARKS)
    return Registry(methods, protocols, datasets, problems, read)


def _files_in(folder: Path) -> list[Path]:
    return [path for kind in _MARKS for path in sorted(folder.glob(f"{kind}s/[!_]*.py"))]


def _installed() -> list[Entry]:
    every = entry_points()
    return [
        Entry(one.name, "entry point", one.value, kind)
        for kind in _MARKS
        for one in every.select(group=f"reprbench.{kind}s")
    ]


def _same_file(one: Entry, other: Entry) -> bool:
    """Return whether two entries are the same code, as happens when working inside an installed checkout."""
    return one.file().read_bytes() == other.file().read_bytes()


def _scan(
    files: Iterable[Path],
    named: set[Path],
    problems: dict[str, str],
    read: dict[str, Sequence[tuple[EntryKind, str]]],
) -> Iterator[Entry]:
    for path in files:
        try:
            with open_regular(path) as file:
                found = registered(file.read())
        except NotRegularError as error:
            problems[str(path)] = str(error)
            continue
        except (SyntaxError, OSError, ValueError, RecursionError, MemoryError) as error:
            problems[str(path)] = what_is_wrong(error)
            continue
        if twice := {one for one in found if found.count(one) > 1}:
            names = ", ".join(f"the {kind} {name!r}" for kind, name in sorted(twice))
            problems[str(path)] = f"registers {names} twice; rename one of them"
            continue
        if not found and path in named:
            problems[str(path)] = f"registers nothing; expected {_EXPECTED}"
        read[str(path)] = found
        yield from (Entry(name, "file", str(path), kind) for kind, name in found)


def _kind(path: Path) -> str:
    """Return what is at the path of a plugin that is no regular file."""
    try:
        return kind_of_special(path)
    except (OSError, ValueError):
        return "no such file"
