"""Arrays on disk: safetensors files with a JSON note. No pickle is written or read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprbench.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

_TENSOR = "__tensor__"


def save_arrays(path: Path, arrays: Mapping[str, Tensor], note: Any = None) -> None:
    """Write a flat dict of tensors and a JSON-serializable `note` to `path` atomically."""
    from safetensors.torch import save_file

    # Tensors that share storage, or are strided views, cannot be saved directly.
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in arrays.items()}
    with replacing(path) as temporary:
        save_file(separate, temporary, metadata={"note": json.dumps(note)})


def load_arrays(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read what `save_arrays` wrote: the tensors, on the CPU, and the note."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        note = json.loads((file.metadata() or {}).get("note", "null"))
        # Tensors in the mapped file may be unaligned, and kernels round differently on unaligned memory.
        return {name: file.get_tensor(name).clone() for name in file.keys()}, note  # noqa: SIM118  (not a mapping)


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
