"""Encodes images with a learner, as the harness does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from reprbench.errors import Diverged
from reprbench.features import Matrix, View
from reprbench.images import Images
from reprbench.outputs import CheckedBatches
from reprbench.state import device_of, evaluating

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reprbench.learner import FeatureMaps, Learner


@overload
def encode(
    learner: Learner, images: Images | NDArray[Any] | Tensor, view: None = None
) -> dict[str, NDArray[np.float32]]: ...


@overload
def encode(learner: Learner, images: Images | NDArray[Any] | Tensor, view: View) -> Matrix: ...


def encode(
    learner: Learner, images: Images | NDArray[Any] | Tensor, view: View | None = None
) -> dict[str, NDArray[np.float32]] | Matrix:
    """Encode images as the harness does: in evaluation mode, without gradients, in batches, on the learner's device.

    The modes of the learner's networks are restored afterwards.

    Parameters
    ----------
    learner : fitted, or with networks that `build` made.
    images : N images, as `Images`, or as an array or tensor (N, C, H, W), uint8 or floats in [0, 1].
    view : which layers, pooled how, make up the feature matrix; None pools nothing.

    Returns
    -------
    Without a view, float32 arrays (N, C', H', W') or (N, D) by layer name, from input to output; with one, the float32
    matrix (N, D). Both are in memory as a whole.

    Raises
    ------
    ValueError
        If there are no images, or they have another type, shape or range.
    TypeError
        If the learner's `encode` does not return a mapping of layer names to such tensors.
    UserError
        If the learner has no layer that `view` names.
    Diverged
        If a feature is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from reprbench import Learner, View, encode
    >>> class Edges(Learner):
    ...     kind = "pretrained"
    ...
    ...     def fit(self, images, run):
    ...         pass
    ...
    ...     def encode(self, x):
    ...         return {"edges": x.diff(dim=2)}
    >>> images = np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)
    >>> encode(Edges(), images)["edges"].shape
    (10, 3, 7, 8)
    >>> encode(Edges(), images, View(pooling="max", grid=2)).shape
    (10, 12)
    """
    maps_of_batches = _encoded(learner, _batches(images, learner.encode_batch_size, device_of(learner)))
    if view is not None:
        return np.concatenate([_array(view.matrix(maps)) for maps in maps_of_batches])
    batches = [{name: _array(layer, f" of layer {name!r}") for name, layer in maps.items()} for maps in maps_of_batches]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _encoded(learner: Learner, batches: Iterator[Tensor]) -> Iterator[FeatureMaps]:
    checks = CheckedBatches()
    for x in batches:
        with evaluating(learner):
            maps = checks.add(learner.encode(x), len(x))
        yield maps


def _array(features: Tensor, where: str = "") -> NDArray[np.float32]:
    features = features.float()  # in which large numbers of float64 are infinite
    if not bool(features.isfinite().all()):
        raise Diverged(f"the features{where} are not finite")
    array: NDArray[np.float32] = features.cpu().numpy()
    return array


def _batches(images: Images | NDArray[Any] | Tensor, size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield float32 images in [0, 1], in batches of at most `size`, laid out as `Images` does."""
    import torch

    source = images if isinstance(images, Images) else _read(images)
    if not len(source):
        raise ValueError("there are no images to encode")
    if isinstance(source, Images):
        yield from source.batches(size, device)
        return
    for start in range(0, len(source), size):
        # A copy: a learner may write into its input.
        x = np.array(source[start : start + size], dtype=np.float32, order="C")
        if not (x.min() >= 0 and x.max() <= 1):
            raise ValueError("float images must be in [0, 1]: divide by the value of white, 255 for instance")
        yield torch.from_numpy(x).to(device).contiguous(memory_format=torch.channels_last)


_FLOATS = ("float16", "bfloat16", "float32", "float64")


def _read(images: NDArray[Any] | Tensor) -> Images | NDArray[Any]:
    dtype, shape = str(images.dtype).removeprefix("torch."), tuple(images.shape)
    if dtype not in ("uint8", *_FLOATS) or len(shape) != 4:
        wanted = "images must be uint8, or floats in [0, 1], of shape (N, C, H, W)"
        raise ValueError(f"{wanted}, not {dtype} of shape {shape}")
    if isinstance(images, np.ndarray):
        return Images(images) if dtype == "uint8" else images
    tensor = images.detach().cpu()
    return Images(tensor.numpy()) if dtype == "uint8" else tensor.float().numpy()
