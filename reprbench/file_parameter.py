"""The type `File`: a parameter that names a file, checked when a run is planned and identified by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, PlainSerializer, SerializationInfo, TypeAdapter

from reprbench.files import kind_of_special
from reprbench.texts import reason

BY_CONTENT = {"files": "by content"}
"""The context in which parameters are serialized for an identity: by the content of what they name."""


def _existing(path: Path) -> Path:
    try:
        found = path.expanduser().absolute()
        special = kind_of_special(found) if found.exists() else ""
    except (OSError, RuntimeError) as error:
        raise ValueError(f"cannot read {str(path)!r}: {reason(error)}") from None
    if special:
        raise ValueError(f"expected a file, but {str(path)!r} is {special}")
    if not found.is_file():
        raise ValueError(f"no such file: {str(path)!r}" + ("" if path.is_absolute() else f" in {Path.cwd()}"))
    return found


def _serialize(path: Any, info: SerializationInfo) -> Any:
    if not isinstance(path, Path):  # another member of a union
        return path
    return {"file": content_digest(path)} if info.context == BY_CONTENT else str(path)


_SERIALIZER = PlainSerializer(_serialize, when_used="json")

File = Annotated[Path, AfterValidator(_existing), _SERIALIZER]
"""The path of a file, such as trained weights, as a parameter of a method, protocol or dataset.

The path is absolute or relative to the working directory. The file must exist when a run is planned. The learner gets
an absolute `pathlib.Path`. The file's content is part of a trial's identity, its path is not.

Examples
--------
::

    @register("pretrained")
    class Pretrained(Learner):
        weights: File
        statistics: File | None = None
"""


def names_files(annotation: Any) -> bool:
    """Return whether a type is or contains `File`; a model of such parameters must validate its defaults too."""
    return is_file(annotation) or any(map(names_files, get_args(annotation)))


def is_file(mark: Any) -> bool:
    """Return whether a mark in the metadata of a type is that of `File`."""
    return mark is _SERIALIZER


def content_digest(path: Path) -> str:
    """Return the sha256 of a file's content, read again only when its size or modification time has changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parameters_by_content(validated: BaseModel) -> dict[str, Any]:
    """Return validated parameters for an identity, as JSON: ``{"file": "9f86d0…"}`` in place of each `File`."""
    return _as_json(validated, BY_CONTENT)


def parameters_as_given(validated: BaseModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return validated parameters for the record of a trial, as JSON: paths of files as they were given.

    Parameters
    ----------
    validated : the parameters after validation, with absolute paths.
    given : the parameters before validation.
    """
    record = _as_json(validated)
    by_content = parameters_by_content(validated)
    with_files = [name for name in record if name in given and record[name] != by_content[name]]
    return {**record, **{name: TypeAdapter(Any).dump_python(given[name], mode="json") for name in with_files}}


def _as_json(validated: BaseModel, context: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the parameters as JSON holds them: infinity, where a type allows it, is a text."""
    content: dict[str, Any] = json.loads(validated.model_dump_json(context=context))
    return content
