"""Features that were computed elsewhere, by any model in any framework, as a row of the table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reprbench import FeatureMaps, File, Images, ImageShape, Indices, Learner, Run, UserError, register

LAYER = "features"


@register("features")
class ComputedFeatures(Learner):
    """Features that were computed elsewhere: an array for each split, row by row those of the dataset's images.

    Both are .npy files of numbers, (N, D) or, to be pooled by the protocols, (N, C, H, W). Row i belongs to image i of
    the split as `reprbench.dataset` returns it, within the run's limit; the counts are compared before the run.
    Protocols that encode other images, such as corrupted ones, leave the row empty.

    Parameters
    ----------
    train, test : the files.
    """

    kind = "pretrained"
    version: ClassVar[int] = 1

    train: File
    test: File

    def build(self, shape: ImageShape) -> None:
        """Map the files into memory."""
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
    return array
