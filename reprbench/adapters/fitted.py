"""What a fitted estimator of scikit-learn has learned, as arrays and plain values: without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reprbench.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUES = "values"
"""The key of the array that holds the plain values, as JSON in UTF-8, and says which of the others is what."""
_SPARSE = ("data", "indices", "indptr")


def saved(estimator: Any) -> dict[str, NDArray[Any]]:
    """Return the attributes of a fitted estimator, without its parameters, as a flat dict of arrays.

    Arrays of numbers, sparse matrices (CSR), random states, numbers, texts, None, and lists and tuples of these can be
    saved.

    Raises
    ------
    UserError
        That names an attribute which is something else.
    """
    arrays: dict[str, NDArray[Any]] = {}
    parameters = estimator.get_params(deep=False)
    values = {
        name: _saved(value, name, arrays, type(estimator).__name__)
        for name, value in vars(estimator).items()
        if name not in parameters
    }
    return {**arrays, VALUES: np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)}


def _saved(value: Any, name: str, arrays: dict[str, NDArray[Any]], owner: str) -> Any:
    from scipy.sparse import issparse

    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if type(value) in (list, tuple):
        items = [_saved(item, f"{name}/{number}", arrays, owner) for number, item in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is np.random.RandomState:
        return {"RandomState": _saved(value.get_state(), name, arrays, owner)}
    if issparse(value) and value.format == "csr":
        arrays |= {f"{name}/{part}": np.ascontiguousarray(getattr(value, part)) for part in _SPARSE}
        return {"sparse": list(value.shape), "matrix": type(value).__name__ == "csr_matrix"}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        arrays[name] = np.array(value, order="C")
        return {"array": isinstance(value, np.ndarray)}
    raise UserError(
        f"{owner}.{name} is {_kind(value)}, which cannot be saved without pickle; "
        "use an estimator that keeps arrays of numbers and plain values"
    )


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {'objects' if value.dtype.hasobject else value.dtype}"
    return f"a {type(value).__name__}"


def restore(estimator: Any, state: Mapping[str, NDArray[Any]]) -> None:
    """Give an estimator the attributes that `saved` returned."""
    values = json.loads(state[VALUES].tobytes().decode())
    for name, value in values.items():
        setattr(estimator, name, _restored(value, name, state))


def _restored(value: Any, name: str, state: Mapping[str, NDArray[Any]]) -> Any:
    from scipy.sparse import csr_array, csr_matrix

    match value:
        case {"float": text}:
            return float.fromhex(text)
        case {"list": items}:
            return [_restored(item, f"{name}/{number}", state) for number, item in enumerate(items)]
        case {"tuple": items}:
            return tuple(_restored(item, f"{name}/{number}", state) for number, item in enumerate(items))
        case {"RandomState": numbers}:
            generator = np.random.RandomState()
            generator.set_state(_restored(numbers, name, state))
            return generator
        case {"sparse": shape, "matrix": is_matrix}:
            parts = tuple(state[f"{name}/{part}"] for part in _SPARSE)
            return (csr_matrix if is_matrix else csr_array)(parts, shape=tuple(shape))
        case {"array": is_array}:
            return state[name] if is_array else state[name][()]
    return value
