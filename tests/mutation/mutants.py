"""Which mutants there are: places in the code at which one token may change a number, and a seeded sample of them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

Position = tuple[int, int]
"""Line, from 1, and column, from 0."""
Key = tuple[str, str, str]
"""The file of a mutant, and its line before and after."""


class FloatReplacer(Operator):
    """Doubles and halves a float; 1 more or less, as by cosmic-ray's own operator, would be noticed too easily."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        """Yield the place of a float twice."""
        if _is_float(node):
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Any, index: int) -> Any:
        """Return the number times 2 (index 0) or ½ (index 1)."""
        value = ast.literal_eval(node.value) * (2, 0.5)[index]
        return parso.python.tree.Number(repr(value), node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return none."""
        return ()


@dataclass(frozen=True)
class Mutant:
    """A change of one token.

    Attributes
    ----------
    file : from the root of the repository.
    line : its number.
    was, now : the line before and after, without indentation.
    code : the file's text after the change.
    """

    file: str
    line: int
    was: str
    now: str
    code: str

    @property
    def key(self) -> Key:
        """What it is recognized by, also after lines before it were added."""
        return self.file, self.was, self.now


def sample(root: Path, files: Sequence[str], patterns: Sequence[str], seed: int, count: int) -> list[Mutant]:
    """Return mutants at `count` places, one each; where a file is edited, the sample of other lines stays.

    Places are ordered by a digest of their line: each is as likely as any other, and the first are a sample too.
    """
    operators = [FloatReplacer(), *(get_operator(name)() for name in operator_names() if _wanted(name, patterns))]
    found = []
    for path in sorted(path for pattern in files for path in root.glob(pattern)):
        file = path.relative_to(root).as_posix()
        found += [(digest, file, *place) for digest, *place in _places(path.read_text("utf-8"), file, operators, seed)]
    chosen = sorted(found, key=lambda one: one[0])[:count]
    return [_mutant(root, *one) for one in chosen]


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, name.removeprefix("core/")) for pattern in patterns)


def _places(text: str, file: str, operators: Sequence[Operator], seed: int) -> Iterator[tuple[bytes, Operator, int]]:
    """Yield the digest of every place, and the change that it stands for: an operator and the occurrence of this."""
    lines, skipped = text.splitlines(), _skipped(text)
    seen: Counter[Operator] = Counter()
    same: Counter[str] = Counter()
    for node in ast_nodes(get_ast(text)):
        start, changes = _changes(node, operators, seen)
        if not changes or any(first <= start < end for first, end in skipped):
            continue
        line = lines[start[0] - 1]
        key = f"{seed} {file} {line.strip()} {start[1] - len(line) + len(line.lstrip())} {node.type}"
        same[key] += 1
        digest = sha256(f"{key} {same[key]}".encode()).digest()
        yield digest, *changes[digest[-1] % len(changes)]


def _changes(
    node: Any, operators: Sequence[Operator], seen: Counter[Operator]
) -> tuple[Position, list[tuple[Operator, int]]]:
    """Return where a node may be changed, and how: operators and their occurrences, which are counted in `seen`."""
    start, changes = node.start_pos, []
    for operator in operators:
        for place, _ in operator.mutation_positions(node):
            start = place
            changes.append((operator, seen[operator]))
            seen[operator] += 1
    if _is_float(node):
        changes = [one for one in changes if isinstance(one[0], FloatReplacer)]
    # The * of parameters and arguments is no multiplication.
    starred = node.type == "operator" and node.parent.type in {"parameters", "argument"}
    return start, [] if starred else changes


def _is_float(node: Any) -> bool:
    """Return whether a node is a float that changes when it is doubled."""
    return node.type == "number" and isinstance(value := ast.literal_eval(node.value), float) and value != 0


def _skipped(text: str) -> list[tuple[Position, Position]]:
    """Return the ranges of types, decorators, progress and raised messages, what only type checkers see, what draws."""
    found: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign | ast.arg):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node if _draws(node) else node.returns)
            found += node.decorator_list
        elif isinstance(node, ast.ClassDef):
            found += node.decorator_list
        elif isinstance(node, ast.Raise) or _is_aside(node):
            found.append(node)
    return [(_position(text, one.lineno, one.col_offset), _position(text, one.end_lineno, one.end_col_offset))
            for one in found if one]  # fmt: skip


def _is_aside(node: ast.AST) -> bool:
    """Return whether a node says what progress there is, or is for type checkers only."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).rpartition(".")[2] in {"advance", "progress"}
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _draws(function: ast.FunctionDef) -> bool:
    """Return whether a function returns a figure or is given one's axes: its numbers are sizes and colors."""
    types = [function.returns, *(argument.annotation for argument in function.args.args)]
    return any(ast.unparse(one) in {"Axes", "Figure"} for one in types if one)


def _position(text: str, line: int, offset: int) -> Position:
    """Return a position whose column counts characters, as parso's does, and not bytes."""
    return line, len(text.splitlines()[line - 1].encode()[:offset].decode())


def _mutant(root: Path, digest: bytes, file: str, operator: Operator, occurrence: int) -> Mutant:
    text = (root / file).read_text("utf-8")
    code = mutate_code(text, operator, occurrence)
    before, after = text.splitlines(), code.splitlines()
    line = next(number for number, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    return Mutant(file, line + 1, before[line].strip(), after[line].strip(), code)
