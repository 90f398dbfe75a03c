"""The table of datasets: their names, and what loads them when they are asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from reprbench.data.dataset import Dataset
from reprbench.data.digests import FileCheck, fresh_check
from reprbench.data.locate import DataFile, Request
from reprbench.errors import UserError, did_you_mean
from reprbench.spec import Call, mistakes


@dataclass(frozen=True)
class Entry:
    """A dataset that can be asked for; functions are named as ``module:function`` and imported when they are needed."""

    description: str
    loader: str
    """A function of a `Request` and, as keyword parameters with types, of the dataset's parameters."""
    files: str | None = None
    """A function of the same parameters that returns the files; ``None``: the data comes with a library."""
    torchvision: str | None = None
    """The class of `torchvision.datasets` that downloads the files."""
    unfetchable: str = ""
    """Why nothing can be downloaded, if nothing can."""


CATALOG: dict[str, Entry] = {
    "digits": Entry(
        "scikit-learn's digits: 8×8 gray, 10 classes, 1,797 images; needs no files",
        "reprbench.data.digits:load_digits",
        unfetchable="it comes with scikit-learn",
    ),
    "mnist": Entry(
        "MNIST: 28×28 gray, 10 classes, 60,000 + 10,000 images",
        "reprbench.data.idx:load_mnist",
        "reprbench.data.idx:mnist_files",
        torchvision="MNIST",
    ),
    "fashion-mnist": Entry(
        "Fashion-MNIST: 28×28 gray, 10 classes, 60,000 + 10,000 images",
        "reprbench.data.idx:load_fashion_mnist",
        "reprbench.data.idx:fashion_mnist_files",
        torchvision="FashionMNIST",
    ),
    "cifar10": Entry(
        "CIFAR-10: 32×32 color, 10 classes, 50,000 + 10,000 images",
        "reprbench.data.cifar:load_cifar10",
        "reprbench.data.cifar:cifar10_files",
        torchvision="CIFAR10",
    ),
    "stl10": Entry(
        "STL-10: 96×96 color, 10 classes, 5,000 + 8,000 images and 100,000 unlabeled, with 10 folds of its own",
        "reprbench.data.stl10:load_stl10",
        "reprbench.data.stl10:stl10_files",
        torchvision="STL10",
    ),
    "folder": Entry(
        "your images: train/<class>/*, test/<class>/*, perhaps unlabeled/*; parameters path, image_size, gray, title",
        "reprbench.data.folder:load_folder",
        "reprbench.data.folder:folder_files",
        unfetchable="it is a folder of your own images; point path=… at it",
    ),
    "npz": Entry(
        "your arrays: x_train, y_train, x_test, y_test, perhaps x_unlabeled in one npz file; parameters path, title",
        "reprbench.data.npz:load_npz",
        "reprbench.data.npz:npz_files",
        unfetchable="it is a file of your own arrays; point path=… at it",
    ),
}


def dataset_names() -> list[str]:
    """Return the names that `load_dataset` knows."""
    return list(CATALOG)


def descriptions() -> dict[str, str]:
    """Return one line on each dataset, by name; nothing is loaded."""
    return {name: entry.description for name, entry in CATALOG.items()}


def find_entry(name: str) -> Entry:
    """Return the dataset called `name`; raise a `UserError` that suggests the nearest otherwise."""
    if name not in CATALOG:
        raise UserError(f"unknown dataset {name!r}.{did_you_mean(name, CATALOG)} Known: {', '.join(CATALOG)}")
    return CATALOG[name]


def load_dataset(name: str, parameters: Mapping[str, object], *, data_dirs: Sequence[Path], cache_dir: Path) -> Dataset:
    """Load a dataset; its images stay on disk where they can.

    Parameters
    ----------
    name, parameters : the call, as in ``folder[path=cifar]``
    data_dirs : the folders in which its files are searched, in order
    cache_dir : the folder of digests and decoded images; made when it is needed

    Raises
    ------
    UserError
        If the name or parameters are wrong (all mistakes at once), or files are missing, damaged or inaccessible.
    """
    loader = _function(find_entry(name).loader)
    request, validated = _request(name, loader, parameters, data_dirs, cache_dir)
    try:
        dataset: Dataset = loader(request, **validated)
    except OSError as error:
        raise _inaccessible(name, error) from None
    return dataset


def dataset_files(
    name: str, parameters: Mapping[str, object], *, data_dirs: Sequence[Path], cache_dir: Path
) -> list[DataFile]:
    """Find a dataset's files without reading them; one that comes with a library has none.

    Raises
    ------
    UserError
        If files are missing or inaccessible.
    """
    entry = find_entry(name)
    request, validated = _request(name, _function(entry.loader), parameters, data_dirs, cache_dir)
    if entry.files is None:
        return []
    try:
        files: list[DataFile] = _function(entry.files)(request, **validated)
    except OSError as error:
        raise _inaccessible(name, error) from None
    return files


def verify(
    name: str, parameters: Mapping[str, object], *, data_dirs: Sequence[Path], cache_dir: Path
) -> list[FileCheck]:
    """Read a dataset's files again and return their digests beside the official ones."""
    try:
        return [fresh_check(file) for file in dataset_files(name, parameters, data_dirs=data_dirs, cache_dir=cache_dir)]
    except OSError as error:
        raise _inaccessible(name, error) from None


def _function(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _request(
    name: str,
    loader: Callable[..., Any],
    parameters: Mapping[str, object],
    data_dirs: Sequence[Path],
    cache_dir: Path,
) -> tuple[Request, dict[str, Any]]:
    """Return the request and the validated parameters."""
    model = _parameters_model(loader)
    try:
        validated = model.model_validate(dict(parameters))
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, f"dataset {name!r}", model.model_fields))) from None
    values = {key: getattr(validated, key) for key in model.model_fields}
    call = Call(name=name, parameters=_canonical(model, values))
    return Request(name, str(call), tuple(data_dirs), cache_dir), values


def _parameters_model(loader: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(loader, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(loader).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model("Parameters", __config__=ConfigDict(extra="forbid"), **fields)


def _canonical(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells this call from others: no default, and not the title, which is for the eyes alone."""
    return {
        key: values[key]
        for key, field in sorted(model.model_fields.items())
        if key != "title" and values[key] != field.default
    }


def _inaccessible(name: str, error: OSError) -> UserError:
    reason = (error.strerror or str(error)).lower()
    place = f" {error.filename}" if error.filename else ""
    return UserError(f"dataset {name!r}: cannot read or write{place}: {reason}; free it or choose another place")
