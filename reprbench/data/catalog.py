"""Loads datasets by name: validates the parameters of a dataset's function, calls it, and finds its files."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from reprbench.data.dataset import Dataset
from reprbench.data.development import held_out
from reprbench.data.digests import FileCheck, fresh_check
from reprbench.data.locate import DataFile, DataRequest
from reprbench.data.returned import as_dataset
from reprbench.errors import UserError
from reprbench.file_parameter import parameters_as_given
from reprbench.files import NotRegularError
from reprbench.parameters import changed_parameters, make_model
from reprbench.registry import Entry, discover
from reprbench.spec import Call, Count, mistakes
from reprbench.texts import described, reason

_REQUEST = "request"
"""The parameter of a dataset's function that is given the `DataRequest`."""
_DEVELOPMENT = "development"
"""The parameter that every dataset has: how many training images are held out and used as the test split."""


@dataclass(frozen=True)
class BuiltIn:
    """What is known about a built-in dataset besides its function: where its files come from."""

    files: str | None = None
    """``module:function`` that finds them, with the parameters of the dataset; None if it has no files."""
    torchvision: str | None = None
    """The class of `torchvision.datasets` that downloads them."""
    unfetchable: str = "no download is known for it"
    """Why it cannot be downloaded, if it cannot."""


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(unfetchable="it comes with scikit-learn"),
    "mnist": BuiltIn("reprbench.data.idx:mnist_files", "MNIST"),
    "fashion-mnist": BuiltIn("reprbench.data.idx:fashion_mnist_files", "FashionMNIST"),
    "cifar10": BuiltIn("reprbench.data.cifar:cifar10_files", "CIFAR10"),
    "stl10": BuiltIn("reprbench.data.stl10:stl10_files", "STL10"),
    "folder": BuiltIn(
        "reprbench.data.folder:folder_files",
        unfetchable="it is a folder of your own images; point path=… at it",
    ),
    "npz": BuiltIn(
        "reprbench.data.npz:npz_files",
        unfetchable="it is a file of your own arrays; point path=… at it",
    ),
}


def installed_dataset(name: str) -> Entry:
    """Return the dataset of an installed package; raise a `UserError` that suggests the nearest name otherwise."""
    return discover(folder=None).find("dataset", name)


def load_dataset(
    dataset: str | Entry,
    parameters: Mapping[str, object],
    *,
    data_dirs: Sequence[Path],
    cache_dir: Path,
    named: Path | None = None,
) -> Dataset:
    """Load a dataset; its images stay on disk if possible.

    Parameters
    ----------
    dataset : an entry of the registry, or the name of an installed one
    parameters : those of the call, as in ``folder[path=cifar]``; every dataset has ``development``, see `held_out`
    data_dirs : the folders in which to search its files, in order
    named : the one of them that the user named, if any; `Dataset.read_from` says so if another was read
    cache_dir : the folder of digests and decoded images; created when needed

    Raises
    ------
    UserError
        If the name or parameters are wrong (all mistakes at once), files are missing, damaged or inaccessible, or the
        function of a plugin fails.
    """
    entry = installed_dataset(dataset) if isinstance(dataset, str) else dataset
    function = entry.load_or_refuse()
    try:
        request, values = _request(entry.name, function, parameters, data_dirs, cache_dir)
        development = values.pop(_DEVELOPMENT)
        if _REQUEST in inspect.signature(function).parameters:
            values[_REQUEST] = request
        whole = as_dataset(function(**values), request)
        if named is not None and request.read_from and named not in request.read_from:
            whole = replace(whole, read_from=request.read_from[0])
        return whole if development is None else held_out(whole, development)
    except OSError as error:
        raise _inaccessible(entry.name, error) from error
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # whatever the function of a plugin raises
        raise UserError(f"dataset {entry.name!r}: {described(error)}") from error


def dataset_files(
    name: str, parameters: Mapping[str, object], *, data_dirs: Sequence[Path], cache_dir: Path
) -> list[DataFile]:
    """Find the files of an installed dataset without reading them; only built-in datasets have any.

    Raises
    ------
    UserError
        If files are missing or inaccessible.
    """
    entry = installed_dataset(name)
    files = BUILT_IN.get(name, BuiltIn()).files
    if files is None:
        return []
    request, values = _request(name, entry.load_or_refuse(), parameters, data_dirs, cache_dir)
    del values[_DEVELOPMENT]  # the files are the same
    module, _, function = files.partition(":")
    try:
        found: list[DataFile] = getattr(importlib.import_module(module), function)(request, **values)
    except OSError as error:
        raise _inaccessible(name, error) from None
    return found


def verify(
    name: str, parameters: Mapping[str, object], *, data_dirs: Sequence[Path], cache_dir: Path
) -> list[FileCheck]:
    """Read a dataset's files again and return their digests with the official ones."""
    try:
        return [fresh_check(file) for file in dataset_files(name, parameters, data_dirs=data_dirs, cache_dir=cache_dir)]
    except OSError as error:
        raise _inaccessible(name, error) from None


def _request(
    name: str,
    function: Callable[..., Any],
    parameters: Mapping[str, object],
    data_dirs: Sequence[Path],
    cache_dir: Path,
) -> tuple[DataRequest, dict[str, Any]]:
    """Return the request and the validated parameters, those of the function and ``development``."""
    if _DEVELOPMENT in inspect.signature(function).parameters:
        raise UserError(f"dataset {name!r}: every dataset has a parameter {_DEVELOPMENT!r}; give its own another name")
    model = _parameters_model(function)
    try:
        validated = model.model_validate(dict(parameters))
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, f"dataset {name!r}", model.model_fields))) from None
    call = Call(name=name, parameters=_canonical(validated, parameters))
    values = {key: getattr(validated, key) for key in model.model_fields}
    return DataRequest(call, tuple(data_dirs), cache_dir), values


def _parameters_model(function: Callable[..., Any]) -> type[BaseModel]:
    """Return the model of a dataset function's parameters, except `request`; untyped ones accept any value."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != _REQUEST
    }
    fields[_DEVELOPMENT] = (Count | None, None)
    return make_model("Parameters", fields)


def _canonical(validated: BaseModel, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the parameters that identify the call of the function: without defaults, and the title for display."""
    shown = parameters_as_given(validated, given)
    changed = set(changed_parameters(validated, given)) - {"title", _DEVELOPMENT}
    return {key: shown[key] for key in sorted(changed)}


def _inaccessible(name: str, error: OSError) -> UserError:
    if isinstance(error, NotRegularError):
        return UserError(f"dataset {name!r}: {error.path} {error}")
    why = error.strerror.lower() if error.strerror else reason(error)
    place = f" {error.filename}" if error.filename else ""
    return UserError(f"dataset {name!r}: cannot read or write{place}: {why}; free it or choose another place")
