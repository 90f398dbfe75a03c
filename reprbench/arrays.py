"""Arrays in files: tensors and a JSON note as safetensors, matrices as .npy. No pickle is written or read."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reprbench.cache import CacheFile, Content

if TYPE_CHECKING:
    from torch import Tensor

_TENSOR = "__tensor__"
_LONGEST_HEADER = 2**16


def save_arrays(file: CacheFile, arrays: Mapping[str, Tensor], note: Any = None) -> None:
    """Write a flat dict of tensors and a JSON-serializable `note`."""
    content = pack(arrays, note)
    with file.write() as writer:
        writer.write(content)


def pack(arrays: Mapping[str, Tensor], note: Any = None) -> bytes:
    """Return a flat dict of tensors and a JSON-serializable `note` as the content of a safetensors file."""
    from safetensors.torch import save

    # Tensors that share storage, or are strided views, cannot be saved directly.
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in arrays.items()}
    return save(separate, metadata={"note": json.dumps(note)})


def unpack(content: bytes | Content) -> tuple[dict[str, Tensor], Any]:
    """Return what was given to `pack`: the tensors, on the CPU, and the note; raise a `ValueError` if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = bytes(content)
    try:
        loaded = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    note = json.loads(header.get("__metadata__", {}).get("note", "null"))
    # Loaded tensors may be unaligned, and kernels round differently on unaligned memory.
    return {name: loaded.pop(name).clone() for name in sorted(loaded)}, note


def npy_header(shape: Sequence[int], dtype: DTypeLike) -> bytes:
    """Return the beginning of the .npy file of an array in C order; its values follow."""
    head = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": tuple(shape)})
    return head.getvalue()


def as_array(content: Content) -> NDArray[Any]:
    """Return the array in the content of a .npy file in C order, without copying it.

    Raises
    ------
    ValueError
        If it is no such array, or has not as many values as its header says.
    """
    head = io.BytesIO(content[:_LONGEST_HEADER].tobytes())
    version = np.lib.format.read_magic(head)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(head)
    if version != (1, 0) or fortran_order or dtype.hasobject:
        raise ValueError("not an array in C order without objects")
    return content[head.tell() :].view(dtype).reshape(shape)


def flatten(value: Any) -> tuple[dict[str, Tensor], Any]:
    """Split nested dicts and lists into a flat dict of their tensors and a JSON-serializable skeleton of the rest.

    Keys that are not strings (the parameter numbers in an optimizer's state) survive the round trip.
    """
    import torch

    tensors: dict[str, Tensor] = {}

    def visit(node: Any) -> Any:
        if isinstance(node, torch.Tensor):
            tensors[str(len(tensors))] = node
            return {_TENSOR: str(len(tensors) - 1)}
        if isinstance(node, Mapping):
            return {"items": [[key, visit(item)] for key, item in node.items()]}
        if isinstance(node, list | tuple):
            return [visit(item) for item in node]
        return node

    return tensors, visit(value)


def unflatten(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """Undo `flatten`; tuples come back as lists."""
    if isinstance(skeleton, list):
        return [unflatten(tensors, item) for item in skeleton]
    if isinstance(skeleton, dict):
        if _TENSOR in skeleton:
            return tensors[skeleton[_TENSOR]]
        return {key: unflatten(tensors, item) for key, item in skeleton["items"]}
    return skeleton
