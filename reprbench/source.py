"""Digests of source code: what a method's results depend on, read from its files without running them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from reprbench import EXPORTS


@cache
def code_of(path: Path) -> str:
    """Return the code of a Python file without comments, docstrings and blank lines: what can change a number.

    A file that is not Python is returned as it is.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(text)
        comments = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    except (SyntaxError, tokenize.TokenError, ValueError):
        return text
    lines = text.splitlines()
    for comment in comments:
        row, column = comment.start
        lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, last = node.lineno, node.end_lineno or node.lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def digest(files: list[Path]) -> str:
    """Return the sha256 of the code of `files` and of every file that theirs is imported from.

    Followed are the siblings of each file (relative imports, and absolute ones of its own package) and the modules
    behind the public names of reprbench.
    """
    seen: dict[Path, str] = {}
    waiting = [path.resolve() for path in files]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path] = code_of(path)
            waiting.extend(imported for imported in _imports(path) if imported not in seen)
    parts = sorted(f"{path.name}\0{hashlib.sha256(code.encode()).hexdigest()}" for path, code in seen.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _imports(path: Path) -> Iterator[Path]:
    """Yield the files that `path` imports from its own folder and through reprbench's public names."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if node.level == 1:
            modules = [node.module] if node.module else names
            yield from (file for module in modules if (file := _module_file(path.parent, module)))
        elif node.module == "reprbench":
            yield from (file for name in names if (file := _harness_file(name)))


def _module_file(folder: Path, module: str) -> Path | None:
    base = folder.joinpath(*module.split("."))
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    return next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)


def _harness_file(name: str) -> Path | None:
    """Return the file that defines a public name of reprbench, if it can change what a learner learns."""
    module = EXPORTS.get(name)
    if module in (None, "reprbench.errors"):
        return None
    spec = importlib.util.find_spec(str(module))
    return Path(spec.origin).resolve() if spec and spec.origin else None
