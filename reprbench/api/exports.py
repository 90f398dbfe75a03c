"""Writes a fitted learner into a folder of its own, with a model card, and loads it from there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from reprbench import __version__
from reprbench.api.model_card import model_card
from reprbench.api.paths import asked_path
from reprbench.arrays import pack, unpack
from reprbench.errors import UserError, system_reason
from reprbench.evaluation import Code
from reprbench.files import open_regular, umask
from reprbench.registry import Entry, discover
from reprbench.runner.describe import code_of
from reprbench.runner.fitting import STATE, load_fit
from reprbench.source import code_files, package_root
from reprbench.trial import to_json

if TYPE_CHECKING:
    from reprbench.api.trials import StoredTrial
    from reprbench.learner import Learner

Decoded = TypeVar("Decoded")

PARAMETERS, CARD, CODE, FILES = "parameters.json", "README.md", "code", "files"


class Exported(msgspec.Struct, kw_only=True):
    """The content of ``parameters.json``: what is needed, besides the state, to make the learner."""

    method: str
    parameters: dict[str, Any]
    shape: tuple[int, int, int]
    """(channels, height, width) of the images that it was fitted to."""
    seed: int
    code: Code
    file: str | None = None
    """In the folder ``code``, that of a method that is not installed."""
    files: dict[str, str] = {}
    """By the parameters that name files: their copies in the folder ``files``."""
    trial: str
    """Its folder in the store."""
    fit: str
    """The hash of the trial."""
    reprbench: str = __version__


def export(trial: StoredTrial, folder: Path) -> Path:
    """Write a fitted learner into a new folder, all at once; see `StoredTrial.export`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name another folder")
    entry, _ = trial.load_class()
    # Loaded, so that what is exported is known to be loadable.
    learner = trial.learner()
    found = trial.state_file().read(unpack)
    if found is None:
        raise UserError(f"trial {trial.record.folder}: its fit was removed from the cache meanwhile; run it again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(temporary, trial, entry, pack(found[0]), learner)
            temporary.chmod(0o777 & ~umask())
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {system_reason(error)}; name another folder") from None
    return folder


def _write(folder: Path, trial: StoredTrial, entry: Entry, state: bytes, learner: Learner) -> None:
    one = trial.record
    about = Exported(
        method=one.method.name,
        parameters=one.method.parameters,
        shape=one.dataset.shape,
        seed=one.seed,
        code=one.method.code,
        file=_copied_code(entry, folder / CODE) if entry.way == "file" else None,
        files=_copied_files(learner, folder / FILES),
        trial=one.folder,
        fit=one.hash,
    )
    (folder / STATE).write_bytes(state)
    text = json.dumps(to_json(about), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / PARAMETERS).write_text(text + "\n", encoding="utf-8")
    (folder / CARD).write_text(model_card(one, about.file), encoding="utf-8")


def _copied_files(learner: Learner, folder: Path) -> dict[str, str]:
    """Copy the files that parameters name; return their paths in the folder, each in one of its parameter's name."""
    named = {name: value for name, value in learner.parameters().items() if isinstance(value, Path) and value.is_file()}
    for name, path in named.items():
        (folder / name).mkdir(parents=True)
        shutil.copyfile(path, folder / name / path.name)
    return {name: f"{name}/{path.name}" for name, path in named.items()}


def _copied_code(entry: Entry, folder: Path) -> str:
    """Copy a plugin file and what it imports beside it; return its path in the folder."""
    root = package_root(entry.file().resolve())
    for path in code_files(entry.file()):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return entry.file().resolve().relative_to(root).as_posix()


def load_learner(folder: str | Path, device: str = "cpu") -> Learner:
    """Return the fitted learner in a folder that `StoredTrial.export` or ``reprbench export`` wrote.

    The code of a method that is not installed comes from the folder, and is run: load only what you trust.

    Parameters
    ----------
    folder : the folder.
    device : where the learner computes.

    Raises
    ------
    UserError
        If something is missing or damaged, or the installed method has other code than the one that was fitted.

    Examples
    --------
    >>> import reprbench
    >>> learner = reprbench.load_learner("exported")  # doctest: +SKIP
    >>> features = reprbench.encode(learner, images, reprbench.View())  # doctest: +SKIP
    """
    path = asked_path(folder, "folder")
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give one that `reprbench export` wrote")
    about = _read(path / PARAMETERS, msgspec.json.Decoder(Exported).decode)
    state, _ = _read(path / STATE, unpack)
    cls = _class(path, about)
    files = {name: str(_inside(path, FILES, file)) for name, file in about.files.items()}
    return load_fit(cls, {**about.parameters, **files}, about.shape, about.seed, state, device)


def _inside(folder: Path, part: str, file: str) -> Path:
    """Return the path of a file in a part of the folder; raise a `UserError` if it is elsewhere."""
    within, found = (folder / part).resolve(), (folder / part / file).resolve()
    if not found.is_relative_to(within):
        raise UserError(f"{folder}: {part}/{file} is outside of the folder; export it again")
    return found


def _read(path: Path, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        with open_regular(path) as file:
            return decode(file.read())
    except (OSError, ValueError) as error:
        why = f"{path.name}: {system_reason(error)}"
        raise UserError(f"{path.parent}: cannot be read as an exported learner: {why}") from None


def _class(folder: Path, about: Exported) -> type[Learner]:
    if about.file is None:
        entry = discover(folder=None).find("method", about.method)
    else:
        file = _inside(folder, CODE, about.file)
        entry = Entry(about.method, "file", str(file))
    cls: type[Learner] = entry.load_or_refuse()
    if (code_now := code_of(cls, entry)) != about.code:
        raise UserError(
            f"{folder}: was fitted by {about.method} with {about.code}, and {entry.origin} has {code_now}; install "
            f"reprbench {about.reprbench}, or export it again"
        )
    return cls
