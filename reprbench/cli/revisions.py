"""The committed state of a store: its trials at a revision of git, in a temporary folder."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reprbench.errors import UserError
from reprbench.trial import TRIAL

_REVISION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.,/@{}^~+#-]*")
"""The form of the names of commits, branches and tags, including HEAD~2 and main@{1}; never an option."""


@contextmanager
def store_at(store: Path, revision: str) -> Iterator[Path]:
    """Yield a folder with the trials that `store` had at `revision`; it is removed at the end of the block.

    Raises
    ------
    UserError
        If there is no git, no repository, no such revision, or nothing of the store in it.
    """
    top, inside = _repository(store)
    if not _REVISION.fullmatch(revision):
        raise UserError(f"revision {revision!r}: expected a commit, branch or tag, like main or HEAD~1")
    found = _git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode:
        raise UserError(
            f"revision {revision!r}: {top} has no such commit, branch or tag (a shallow clone? fetch it first)"
        )
    commit = found.stdout.decode().strip()
    files = _trials(top, commit, inside)
    if not files:
        raise UserError(f"revision {revision!r}: no trials below {inside} in it; name another store or revision")
    with tempfile.TemporaryDirectory(prefix="reprbench-") as folder:
        for name, content in _contents(top, files):
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield Path(folder)


def _repository(store: Path) -> tuple[Path, Path]:
    """Return the top folder of the checkout that holds `store`, and the path of the store in it."""
    place = store.resolve()
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    try:
        found = _git(there, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        raise UserError("--base-rev and --new-rev need git, which is not installed; give two folders") from None
    if found.returncode:
        raise UserError(f"store {store}: not in a git repository; give two folders instead of a revision")
    top = Path(found.stdout.decode().rstrip("\n")).resolve()
    return top, place.relative_to(top)


def _trials(top: Path, commit: str, inside: Path) -> list[tuple[str, str]]:
    """Return the objects of all ``trial.json`` of a store in a commit, each with its path in the store."""
    tree = "" if inside == Path() else inside.as_posix()
    listed = _git(top, "ls-tree", "-r", "-z", f"{commit}:{tree}")
    if listed.returncode:
        return []
    files = []
    for entry in listed.stdout.decode(errors="surrogateescape").split("\0"):
        about, _, name = entry.partition("\t")
        # Only regular files: a link would lead out of the folder.
        if name.endswith(f"/{TRIAL}") and about.startswith("100") and ".." not in Path(name).parts:
            files.append((about.split()[2], name))
    return files


def _contents(top: Path, files: list[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Yield each file's path and content, read by one git process, one file in memory at a time."""
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{identity}\n" for identity, _ in files).encode())
        asked.seek(0)
        command = ["git", "-C", str(top), "cat-file", "--batch", "--buffer"]
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE) as process:
            if process.stdout is None:
                raise RuntimeError("git has no output pipe")
            for _, name in files:
                size = int(process.stdout.readline().split()[2])
                yield name, process.stdout.read(size + 1)[:-1]


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, check=False)
