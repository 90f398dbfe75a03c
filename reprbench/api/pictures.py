"""Reads the images that a learner is asked to encode: arrays, tensors, and image files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reprbench.data.image_files import decode
from reprbench.errors import UserError
from reprbench.images import Images

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.learner import ImageShape

Array = NDArray[Any]
Pictures: TypeAlias = "Images | Array | Tensor | str | Path | Iterable[str | Path]"
"""Images of one shape, or the paths of image files."""


def read_pictures(given: Any, shape: ImageShape) -> Images | Array | Tensor:
    """Return images of `shape`; those in files are cropped, resized and made gray or colored as needed.

    Raises
    ------
    UserError
        If there are no images, they have another shape, or a file cannot be read.
    """
    if isinstance(given, Iterator):
        given = list(given)
    if isinstance(given, str | os.PathLike):
        given = [given]
    if hasattr(given, "__len__") and not len(given):
        raise UserError("images: there are none to encode")
    if isinstance(given, list | tuple) and all(isinstance(one, str | os.PathLike) for one in given):
        return Images(_decoded([Path(one) for one in given], shape))
    found: Images | Array | Tensor = given
    own = found.shape if isinstance(found, Images) else tuple(getattr(found, "shape", ()))[1:]
    if tuple(own) != tuple(shape):
        channels, height, width = shape
        raise UserError(
            f"images: the learner was fitted to images of shape {(channels, height, width)}; expected an array "
            f"(N, {channels}, {height}, {width}), or paths of image files, not {_shown(found)}"
        )
    return found


def _decoded(paths: Sequence[Path], shape: ImageShape) -> NDArray[np.uint8]:
    channels, height, width = shape
    if height != width:
        raise UserError(
            f"{paths[0]}: image files are made square, and the learner was fitted to {height}×{width} pixels; give an "
            "array of such images"
        )
    return np.stack([decode(path, height, channels == 1) for path in paths])


def _shown(given: Any) -> str:
    shape = getattr(given, "shape", None)
    return type(given).__name__ if shape is None else f"one of shape {tuple(shape)}"
