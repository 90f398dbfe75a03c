"""Finds the files of datasets: the folders that are searched, and the message if nothing is found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from reprbench.errors import UserError
from reprbench.files import kind_of_special
from reprbench.spec import Call

VARIABLE = "REPRBENCH_DATA"


@dataclass(frozen=True)
class DataRequest:
    """The call of a dataset, and where its function finds files.

    Attributes
    ----------
    call : the dataset with the parameters that identify its data.
    data_dirs : the folders to search, in order.
    cache_dir : where decoded copies are kept; created when needed.
    read_from : those of `data_dirs` in which something was found so far.
    """

    call: Call
    data_dirs: tuple[Path, ...]
    cache_dir: Path
    read_from: list[Path] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        """The dataset's name without parameters."""
        return self.call.name

    def find(self, path: str | PathLike[str]) -> Path:
        """Return a file or folder: `path` if it is absolute, otherwise the first match below a data folder.

        Raises
        ------
        UserError
            If there is none; it names the paths that were searched.
        """
        if (found := self.first(path)) is not None:
            return found
        raise UserError(
            f"dataset {self.name!r}: {str(path)!r} not found; searched {self.searched(path)}; "
            "put it there, or name the folder that has it with --data-dir"
        )

    def first(self, path: str | PathLike[str]) -> Path | None:
        """Return what `find` does, and None if there is nothing."""
        for data_dir in self.data_dirs:
            candidate = data_dir / path  # an absolute path replaces the folder
            if candidate.exists():
                if not Path(path).is_absolute():
                    self.read_from.append(data_dir)
                return candidate
        return None

    def searched(self, path: str | PathLike[str]) -> str:
        """Return the paths where `first` looks, as a text."""
        return _listed([data_dir / path for data_dir in self.data_dirs])


@dataclass(frozen=True)
class DataFile:
    """A file of a dataset (or a folder of images), and the digest given by its publisher."""

    path: Path
    official: str | None = None
    """Such as ``md5:918c…``, of the unzipped content."""
    size: int | None = None
    """The bytes of its unzipped content, as its header says, where it has one."""


@dataclass(frozen=True)
class Layout:
    """A layout of a dataset's files in a folder."""

    folders: tuple[str, ...]
    """The folders below a data folder that may contain the files; ``.`` is the data folder itself."""
    files: Mapping[str, str | None]
    """The file names, all required, and their official digests."""
    zipped: bool = False
    """Whether each file may also be ``NAME.gz``."""


def data_dirs(option: Path | None) -> list[Path]:
    """Return the folders in which datasets are searched, in order.

    First `option` (``--data-dir``), then those of the environment variable ``REPRBENCH_DATA``, then ``./data``.
    """
    named = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    folders = [*([] if option is None else [option]), *map(Path, named), Path("data")]
    return list(dict.fromkeys(map(expanded, folders)))


def expanded(folder: Path) -> Path:
    """Return the path with ``~`` replaced; raise a `UserError` if there is no such user."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise UserError(f"data folder {folder}: there is no such user; give the folder's path") from None


def locate(request: DataRequest, *layouts: Layout) -> dict[str, DataFile]:
    """Return the files of the first folder that holds all files of a layout, by their unzipped names.

    Raises
    ------
    UserError
        If no folder does; it names the folders searched, the files expected, and the command that fetches them. Or if
        an earlier folder holds some of them: the user may believe that these are read.
    """
    incomplete: list[str] = []
    for data_dir in request.data_dirs:
        earlier = len(incomplete)
        for layout in layouts:
            for folder in dict.fromkeys(data_dir / name for name in layout.folders):
                found, missing = _look(folder, layout)
                if not missing:
                    if earlier:
                        raise UserError(_incomplete(request, incomplete[:earlier], folder))
                    request.read_from.append(data_dir)
                    return found
                if found:
                    incomplete.append(f"{folder} lacks {', '.join(missing)}")
    raise UserError(_not_found(request, layouts, incomplete))


def locate_path(request: DataRequest, path: Path, expected: str) -> Path:
    """Return `path` if it is absolute, otherwise the first match below a data folder.

    Raises
    ------
    UserError
        If there is none; `expected` describes what should be there.
    """
    if (found := request.first(path)) is not None:
        return found
    raise UserError(
        f"dataset {request.name!r}: {str(path)!r} not found; searched {request.searched(path)}; expected {expected}; "
        "give its location with path=…, absolute or relative to --data-dir"
    )


def _look(folder: Path, layout: Layout) -> tuple[dict[str, DataFile], list[str]]:
    found, missing = {}, []
    for name, official in layout.files.items():
        candidates = [folder / name, *([folder / f"{name}.gz"] if layout.zipped else [])]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            special = [f" ({kind_of_special(candidate)}, not a file)" for candidate in candidates if candidate.exists()]
            missing.append(name + "".join(special[:1]))
        else:
            found[name] = DataFile(path, official)
    return found, missing


def _incomplete(request: DataRequest, places: Sequence[str], whole: Path) -> str:
    return (
        f"dataset {request.name!r}: {'; '.join(dict.fromkeys(places))}; {whole} has all files, but is searched later; "
        "complete the first (`reprbench data fetch`), or name the other with --data-dir"
    )


def _not_found(request: DataRequest, layouts: Sequence[Layout], incomplete: Sequence[str]) -> str:
    searched = [data_dir / name for data_dir in request.data_dirs for layout in layouts for name in layout.folders]
    expected = " or ".join(
        ", ".join(name + ("[.gz]" if layout.zipped else "") for name in layout.files) for layout in layouts
    )
    return (
        f"dataset {request.name!r}: not found; searched {_listed(searched)}; expected the files {expected}; "
        + "".join(f"{place}; " for place in dict.fromkeys(incomplete))
        + f"fetch them with `reprbench data fetch {request.name} --data-dir DIR`"
    )


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(dict.fromkeys(map(str, folders)))
