"""`reprbench.dataset`: a dataset by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from reprbench.api.calls import asked_call
from reprbench.api.paths import asked_path, asked_paths
from reprbench.cache_folder import CACHE
from reprbench.data.catalog import load_dataset
from reprbench.data.locate import data_dirs, expanded
from reprbench.errors import UserError
from reprbench.limit import Limit, LimitField
from reprbench.registry import discover
from reprbench.spec import Call, mistakes

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset


def dataset(
    name: str | Call,
    *,
    limit: int | Limit | Mapping[str, int] | None = None,
    data_dir: str | Path | None = None,
    cache: str | Path = CACHE,
    plugins: Sequence[str | Path] = (),
    **parameters: Any,
) -> Dataset:
    """Return a dataset: its images of all splits, labels and folds.

    Parameters
    ----------
    name : a name or call, such as ``"folder[path=birds]"``.
    limit : at most this many images per split, or ``{"unlabeled": 10000, "test": 2000}``.
    data_dir : where its files are; the folders of ``REPRBENCH_DATA`` and ``./data`` are searched, too.
    cache : the folder of decoded images.
    plugins : files with datasets of your own.
    parameters : of the dataset, as in ``dataset("folder", path="birds")``.

    Raises
    ------
    UserError
        If there is no such dataset, its files are missing, or a parameter is wrong.

    Examples
    --------
    >>> from reprbench import dataset
    >>> digits = dataset("digits", limit=100)
    >>> digits.train.shape, len(digits.train), len(digits.test)
    ((1, 8, 8), 100, 100)
    """
    call = asked_call(name, "dataset").with_parameters(**parameters)
    entry = discover(asked_paths(plugins, "plugins")).find("dataset", call.name)
    named = None if data_dir is None else expanded(asked_path(data_dir, "data_dir"))
    dirs, cache_dir = data_dirs(named), asked_path(cache, "cache").resolve()
    found = load_dataset(entry, call.parameters, data_dirs=dirs, cache_dir=cache_dir, named=named)
    return found.limited(_checked(limit))


def _checked(limit: Any) -> Limit | None:
    try:
        checked: Limit | None = TypeAdapter(LimitField | None).validate_python(limit)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, "limit"))) from None
    return checked
