"""Features that were computed elsewhere, by any model in any framework, as a row of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprbench import FeatureMaps, File, Images, ImageShape, Indices, Learner, Run, UserError, register

LAYER = "features"
BLOCK = 2**22
"""How many numbers are looked at together."""


@register("features")
class ComputedFeatures(Learner):
    """Features that were computed elsewhere: an array for each split, row by row those of the dataset's images.

    Both are .npy files of finite numbers, (N, D) or, to be pooled by the protocols, (N, C, H, W). Row i belongs to
    image i of the split as `reprbench.dataset` returns it, within the run's limit; the counts are compared before the
    run. Protocols that encode other images, such as corrupted ones, leave the row empty.

    Parameters
    ----------
    train, test : the files.
    """

    kind = "pretrained"
    version: ClassVar[int] = 1

    train: File
    test: File

    def build(self, shape: ImageShape) -> None:
        """Map the files into memory, and read them once per process for numbers that are not finite."""
        self._arrays = {"train": _mapped(self.train), "test": _mapped(self.test)}
        train, test = (self._arrays[split].shape[1:] for split in ("train", "test"))
        if train != test:
            raise UserError(f"{self.train} has features of shape {train} for each image, and {self.test} of {test}")

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Raise a `UserError`: what computed the features is not here."""
        raise UserError("features has those of the dataset's images, and encodes no others")

    def counts(self) -> Mapping[str, int]:
        """Return of how many images of each split there are features."""
        return {split: len(array) for split, array in self._arrays.items()}

    def features_of(self, split: Literal["train", "test"], rows: Indices) -> FeatureMaps:
        """Return the features of the images at `rows` of a split."""
        return {LAYER: torch.from_numpy(self._arrays[split][rows].astype(np.float32))}


def _mapped(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, mapped into memory; raise a `UserError` if it holds no features."""
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: not an array of numbers as .npy: {error}") from None
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 4) or 0 in array.shape:
        raise UserError(f"{path}: expected numbers of shape (N, D) or (N, C, H, W), not {array.dtype} of {array.shape}")
    status = path.stat()
    if (row := _first_not_finite(path, status.st_size, status.st_mtime_ns)) is not None:
        raise UserError(f"{path}: the features of image {row} are not all finite in float32, whose largest is 3.4e38")
    return array


@lru_cache(maxsize=64)
def _first_not_finite(path: Path, size: int, mtime_ns: int) -> int | None:
    """Return the first row with numbers that are not finite in float32, None if there is none; read once per content.

    Planning and each trial build a learner more than once, and files may have gigabytes. For its digest, planning reads
    the whole file, too.
    """
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind != "f":
        return None
    step = max(1, BLOCK // math.prod(array.shape[1:]))
    for start in range(0, len(array), step):
        rows = array[start : start + step].reshape(-1, math.prod(array.shape[1:]))
        with np.errstate(over="ignore"):
            finite = np.isfinite(rows.astype(np.float32, copy=False))
        if not finite.all():
            return start + int(np.argmin(finite.all(axis=1)))
    return None
