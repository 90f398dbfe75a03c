"""Runs the blocks of a Markdown file in a folder, and compares outputs with what the page shows.

Kinds of blocks, by the word after the fence:

- ``console``: lines that begin with ``$ `` are run, in order, in one folder for all pages: commands of reprbench in
  this process, others, and those that need a shell, by bash. Every other line must be found in the output of the
  command above it, see `expected`. ``$ echo $?`` shows the status of the previous command; any other command must end
  with status 0.
- ``sh``: commands that need data or hours, or that set up the environment itself. They are parsed, not run.
- ``python title="…"``, ``yaml title="…"``, ``toml title="…"``: files. A benchmark is loaded, a ``pyproject.toml``
  installed.
- ``python``: run in this process, all blocks of a page in one namespace.
- ``text``: drawings in text.

Substitutions that make it fast: ``reprbench run`` gets ``--epochs 1 --limit 150`` in place of its own epochs and limit,
and a linear SVM with a single C (two in a sweep), which outputs then show after the protocol's name; and instead of
``pip install --editable .`` the metadata is written that it would write.
"""

from __future__ import annotations

import io
import linecache
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from common import status_here

from reprbench.benchmark import find_benchmark, load_benchmark
from reprbench.cli.main import cli
from reprbench.errors import UserError
from reprbench.registry import discover

FENCE = re.compile(
    r"^```(?P<kind>[a-z]*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
KINDS = {"console", "sh", "python", "yaml", "toml", "text"}
BY_BASH = re.compile(r"[|&;<>$`*?#]|--notify")
"""What a shell makes something of, also within quotes; and a command of the user's, which prints by itself."""
NOT_VALID = "# not valid"
"""How a benchmark file begins that shows mistakes."""
QUICK = ("--epochs", "1", "--limit", "150")
QUICK_SVM = ("--set", "linear-svm.costs=[0.1]")
QUICK_SWEEP = ("--set", "linear-svm.costs=[0.1,1]", "--set", "linear-svm.inner_folds=2")
"""A setting is chosen by the cross-validation that chooses C."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its file name if it is a file, and its text."""

    kind: str
    title: str | None
    text: str


@dataclass
class Command:
    """A line of a console, and the lines shown below it."""

    line: str
    shown: list[str] = field(default_factory=list)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = [Block(m["kind"], m["title"], m["text"]) for m in FENCE.finditer(page)]
    fences = len(re.findall(r"^\s*```", page, re.MULTILINE))
    assert 2 * len(found) == fences, f"{fences} fences make {len(found)} blocks: one has a form that no test reads"
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a console."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        elif line.strip() not in ("", "…"):
            found[-1].shown.append(line)
    return found


# What may differ between machines and runs in a shown line; everything else is literal.
WILD = (
    (r"…", r".*"),
    (r"linear-svm(?=[\s,;]|$)", r"linear-svm(?:\[costs=\[0\.1\]\])?"),
    (r"(?:\d+ h )?(?:\d+ min )?\d+(?:\.\d+)? (?:s|min)\b", r"(?:\d+ h )?(?:\d+ min )?\d+(?:\.\d+)? (?:s|min)"),
    (r"\d+ MB", r"\d+ MB"),
    (r"(?:[≈*] )?-?\d+\.\d+", r"(?:[≈*] )?-?\d+(?:\.\d+)?(?:e-?\d+)?"),
    (r"\b[0-9a-f]{8,12}\b", r"[0-9a-f]{8,12}"),
    (r"-{3,}", r"-+"),
    (r"\s+", r"\s+"),
)


def expected(shown: str) -> re.Pattern[str]:
    """Return what a line of output must begin with.

    Decimals, durations, memory, digests, marks of the best and the width of columns may differ; ``…`` is anything.
    Words and whole numbers must not differ.
    """
    choice = re.compile("|".join(f"({wild})" for wild, _ in WILD))
    pattern, end = "", 0
    for match in choice.finditer(shown.rstrip()):
        number = next(i for i, text in enumerate(match.groups()) if text is not None)
        pattern += re.escape(shown[end : match.start()]) + WILD[number][1]
        end = match.end()
    return re.compile(r"\s*" + pattern + re.escape(shown.rstrip()[end:]))


class Session:
    """A folder in which pages are followed; the next page finds what a page left there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed = folder / ".installed"
        self._status = 0

    def follow(self, page: str, folder: Path | None = None) -> None:
        """Do everything that a page shows; commands run in `folder`, by default the session's."""
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for block in blocks(page):
            assert block.kind in KINDS, f"no test reads blocks of kind {block.kind!r}"
            if block.title:
                self._write(block)
            elif block.kind == "python":
                self._execute(block, namespace)
            elif block.kind == "console":
                for command in commands(block):
                    self._run(command, folder or self.folder)
            elif block.kind == "sh":
                parse_commands(block.text)

    def _write(self, block: Block) -> None:
        path = self.folder / str(block.title)
        path.write_text(block.text)
        if block.kind == "yaml":
            valid = not block.text.startswith(NOT_VALID)
            assert refused(path) != valid, (
                f"{block.title} is {'not valid' if valid else 'valid, and says that it is not'}"
            )
        elif block.kind == "toml":
            install(path, self.installed)

    def _execute(self, block: Block, namespace: dict[str, Any]) -> None:
        before = Path.cwd()
        os.chdir(self.folder)
        # As cells of a notebook are known, for those who look for the source of a class.
        name = f"<page {len(linecache.cache)}>"
        linecache.cache[name] = len(block.text), None, block.text.splitlines(keepends=True), name
        try:
            exec(compile(block.text, name, "exec"), namespace)  # noqa: S102  (the page is ours)
        finally:
            os.chdir(before)

    def _run(self, command: Command, folder: Path) -> None:
        if command.line == "echo $?":
            assert command.shown == [str(self._status)], f"the status was {self._status}"
            self._status = 0
            return
        assert self._status == 0, f"the command before {command.line!r} ended with {self._status}"
        line = quick(command.line)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
            patch.setenv("PYTHONPATH", os.pathsep.join([str(self.installed), str(self.folder)]))
            patch.setenv("OMP_NUM_THREADS", "1")
            # No test may find data of the repository.
            patch.setenv("REPRBENCH_DATA", "")
            patch.setenv("COLUMNS", "200")
            if line.startswith("reprbench ") and not BY_BASH.search(line):
                patch.setattr(sys, "path", [str(self.installed), str(self.folder), *sys.path])
                self._status, shown = run_here(shlex.split(line)[1:])
            else:
                self._status, shown = run_bash(line)
        for one in command.shown:
            pattern = expected(one)
            found = any(pattern.match(output) for output in shown.splitlines())
            assert found, f"$ {command.line}\nshows no line like\n{one}\nbut\n{shown}"

    def ended(self) -> None:
        """Check that the last command of a page succeeded, or that the page shows its status."""
        assert self._status == 0, f"the last command ended with {self._status}, which the page does not show"


def run_bash(line: str) -> tuple[int, str]:
    """Return the status of a command, and all that it prints."""
    done = subprocess.run(
        ["bash", "-c", line],  # noqa: S607  (whichever bash the user has)
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
    )
    return done.returncode, done.stdout


def run_here(words: list[str]) -> tuple[int, str]:
    """Return the same of a command of reprbench in this process: starting one takes longer than most commands."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(output), redirect_stderr(output):
        status = status_here(*words)
    return status, output.buffer.getvalue().decode()


def quick(line: str) -> str:
    """Return a command with few epochs and images, if it is a run."""
    if not re.match(r"reprbench run\b", line):
        return line
    protocols = re.search(r"--protocols (\S+)", line)
    has_svm = "linear-svm" in protocols[1] if protocols else "--benchmark" not in line
    svm = QUICK_SWEEP if "|" in line else QUICK_SVM
    return " ".join([re.sub(r" --(epochs|limit) \d+", "", line), *QUICK, *(svm if has_svm else ())])


def refused(path: Path) -> bool:
    """Return whether a benchmark file has mistakes."""
    try:
        load_benchmark(path)
    except UserError:
        return True
    return False


def install(pyproject: Path, target: Path) -> None:
    """Write the metadata by which Python finds the entry points of a project whose modules can be imported."""
    project = tomllib.loads(pyproject.read_text())["project"]
    info = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"]
    (info / "METADATA").write_text("".join(lines))
    groups = project["entry-points"].items()
    text = "\n".join(f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in groups)
    (info / "entry_points.txt").write_text(text + "\n")


def parse_commands(text: str) -> None:
    """Check commands that are not run: programs and options exist, benchmarks and methods are known."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "reprbench":
            parse(words[1:])


def parse(words: list[str]) -> None:
    """Check the words after ``reprbench`` as the command line itself reads them."""
    context = cli.make_context("reprbench", list(words))
    group: click.Group = cli
    rest = words
    while True:
        name, command, rest = group.resolve_command(context, rest)
        assert command is not None and name is not None, words
        context = command.make_context(name, list(rest), parent=context)
        if not isinstance(command, click.Group):
            break
        group = command
    if name == "run":
        if benchmark := context.params["benchmark"]:
            find_benchmark(benchmark)
        registry = discover()
        for call in context.params["methods"] or ():
            registry.find("method", call.name)


def options_of(command: click.Command) -> set[str]:
    """Return the options of a command and of the commands below it."""
    found = {option for parameter in command.params for option in parameter.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found |= options_of(below)
    return found | {"--help"}
