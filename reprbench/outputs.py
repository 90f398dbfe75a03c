"""Checks of what learners return: feature maps, the same for every batch, and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reprbench.errors import Diverged

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.learner import FeatureMaps


def checked(maps: FeatureMaps, count: int) -> FeatureMaps:
    """Return `maps` if they are what `encode` promises for `count` images; raise a `TypeError` otherwise.

    Layers are dense tensors of real numbers: floats of any precision, integers or truth values.
    """
    import torch

    if not isinstance(maps, Mapping) or not maps:
        raise TypeError(f"encode must return a non-empty mapping of layer names to tensors, not {type(maps).__name__}")
    for name, layer in maps.items():
        if not isinstance(name, str):
            raise TypeError(f"encode must name its layers by texts, not by {type(name).__name__}: {name!r}")
        if not isinstance(layer, torch.Tensor) or layer.ndim not in (2, 4) or len(layer) != count or 0 in layer.shape:
            shape = tuple(getattr(layer, "shape", ()))
            raise TypeError(f"layer {name!r} must be a tensor ({count}, C, H, W) or ({count}, D), not {shape}")
        if layer.is_complex() or layer.is_quantized or layer.layout != torch.strided:
            kind = layer.dtype if layer.layout == torch.strided else layer.layout
            raise TypeError(f"layer {name!r} must be a dense tensor of real numbers, not {kind}")
    return maps


class CheckedBatches:
    """Checks the feature maps of one batch after another: all have the layers, shapes and types of the first."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._done = 0

    def add(self, maps: FeatureMaps, count: int) -> FeatureMaps:
        """Return the maps of the next `count` images; raise a `TypeError` that names a layer if they differ."""
        found = {
            name: f"{layer.dtype} {tuple(layer.shape[1:])}".removeprefix("torch.")
            for name, layer in checked(maps, count).items()
        }
        self._first = self._first or found
        where = f"for images {self._done} … {self._done + count - 1}"
        if list(found) != list(self._first):
            raise TypeError(f"encode returned the layers {_listed(found)} {where}, but {_listed(self._first)} before")
        for name, layer in found.items():
            if layer != self._first[name]:
                raise TypeError(f"layer {name!r} is {layer} for each image {where}, but {self._first[name]} before")
        self._done += count
        return maps


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(map(repr, names))


def not_finite(name: str, layer: Tensor, finite: Tensor, first: int) -> Diverged:
    """Return the error for a layer whose features are not finite.

    Parameters
    ----------
    layer : as `encode` returned it.
    finite : which of its images have finite features, shape (N,).
    first : the number of the first of these images.
    """
    import torch

    bad = (~finite).nonzero().flatten().tolist()
    cause = ""
    if layer.dtype == torch.float16:
        cause = ": float16 overflow, it ends at 65504; return bfloat16 or float32"
    elif bool(torch.isfinite(layer).all()):
        cause = ": float32, in which they are pooled and kept, ends at 3.4e38"
    return Diverged(
        f"layer {name!r}: the features of {len(bad)} of the images {first} … {first + len(layer) - 1} are not finite, "
        f"such as those of image {first + bad[0]}{cause}"
    )


def checked_images(images: Any, shape: Sequence[int], what: str) -> Tensor:
    """Return images that a learner made if they are floats of `shape` (N, C, H, W) and finite.

    Values outside [0, 1] are measured as they are: a linear decoder overshoots.

    Parameters
    ----------
    what : the method of the learner, for messages.

    Raises
    ------
    TypeError
        If they have another type or shape.
    Diverged
        If one of them is not finite.
    """
    import torch

    if not isinstance(images, torch.Tensor) or tuple(images.shape) != tuple(shape) or not images.is_floating_point():
        found = type(images).__name__
        if isinstance(images, torch.Tensor):
            found = f"{images.dtype} of shape {tuple(images.shape)}".removeprefix("torch.")
        raise TypeError(f"{what} must return images as floats of shape {tuple(shape)}, not {found}")
    if not bool(torch.isfinite(images).all()):
        raise Diverged(f"the images that {what} returned are not finite")
    return images
