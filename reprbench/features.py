"""From feature maps to feature matrices: which layers, how pooled, extracted once and cached by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from reprbench.arrays import as_array, npy_header
from reprbench.cache import CacheFile, Identity
from reprbench.capabilities import Precomputed
from reprbench.errors import UserError, did_you_mean
from reprbench.outputs import CheckedBatches, not_finite
from reprbench.state import evaluating

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.errors import Diverged
    from reprbench.images import Images, Indices
    from reprbench.learner import FeatureMaps, Learner

Matrix = NDArray[np.float32]

Pooling = Literal["max", "mean", "sum", "l2"]
"""How the numbers of a cell are combined; "l2" is the square root of the sum of their squares."""

Split = Literal["train", "test"]

Place = tuple[Split, "Indices"]
"""A split, and rows of it."""


class View(BaseModel):
    """How the feature maps of an image are made into one vector.

    A map (C, H, W) is pooled over a `grid` × `grid` division of its area (2: the four quadrants) into C·grid² numbers,
    in float32. Cells do not overlap; where the side is not a multiple of the grid, the first ones are larger by one
    (27: 14 and 13). In a map smaller than the grid every position is a cell. Vectors (D,) are not pooled.

    Parameters
    ----------
    layers : "last", "all" or tuple of str
        The layers that are concatenated, in this order; "all" is from input to output.
    pooling : "max", "mean", "sum" or "l2"
        How the numbers of a cell are combined; "l2" is the square root of the sum of their squares.
    grid : int
        Cells along each side, at least 1.

    Examples
    --------
    >>> import torch
    >>> from reprbench import View
    >>> maps = {"early": torch.zeros(10, 3, 8, 8), "late": torch.zeros(10, 5)}
    >>> View(layers="all", pooling="mean", grid=2).matrix(maps).shape
    torch.Size([10, 17])
    >>> View().matrix(maps).shape
    torch.Size([10, 5])
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: Literal["last", "all"] | tuple[str, ...] = "last"
    pooling: Pooling = "max"
    grid: PositiveInt = 2

    def names(self, maps: FeatureMaps) -> list[str]:
        """Return the names of the chosen layers, in order.

        Raises
        ------
        UserError
            If there is no layer of that name.
        """
        if self.layers == "all":
            return list(maps)
        if self.layers == "last":
            return [list(maps)[-1]]
        for name in self.layers:
            if name not in maps:
                raise UserError(f"no layer {name!r}.{did_you_mean(name, maps)} Layers: {', '.join(maps)}")
        return list(self.layers)

    def select(self, maps: FeatureMaps) -> list[Tensor]:
        """Return the maps of the chosen layers, in order; raises what `names` does."""
        return [maps[name] for name in self.names(maps)]

    def matrix(self, maps: FeatureMaps) -> Tensor:
        """Return the pooled and concatenated features of N images, float32 of shape (N, D).

        Raises
        ------
        UserError
            If there is no layer of that name.
        ValueError
            If a layer has another shape than (N, C, H, W) or (N, D).
        """
        import torch

        return torch.cat([self._pool(layer).flatten(1).to(torch.float32) for layer in self.select(maps)], dim=1)

    def _pool(self, layer: Tensor) -> Tensor:
        import torch

        if layer.ndim == 2:
            return layer
        if layer.ndim != 4:
            raise ValueError(f"feature maps have shape (N, C, H, W) or (N, D), not {tuple(layer.shape)}")
        # In half precision sums end at 65504 (float16), and ones are counted up to 256 (bfloat16).
        bands = [
            torch.cat([_pooled(block, (rows, n), self.pooling) for block, n in _blocks(band, 3, self.grid)], dim=3)
            for band, rows in _blocks(layer.to(torch.float32), 2, self.grid)
        ]
        return torch.cat(bands, dim=2)


def _blocks(layer: Tensor, dim: int, grid: int) -> list[tuple[Tensor, int]]:
    """Return the parts of a map that are divided into larger and into smaller cells, with their numbers of cells.

    `layer` is divided along `dim` into at most `grid` cells whose sizes differ by at most one, the larger ones first:
    27 into 14 and 13, as in the code of A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in unsupervised
    feature learning", AISTATS 2011 (``halfr = round(prows/2)``).
    """
    cells = min(grid, layer.shape[dim])
    size, larger = divmod(layer.shape[dim], cells)
    parts = layer.tensor_split([larger * (size + 1)], dim)
    return [(part, n) for part, n in zip(parts, (larger, cells - larger), strict=True) if n]


def _pooled(block: Tensor, size: tuple[int, int], pooling: Pooling) -> Tensor:
    """Pool cells of one size: `block` is divided into `size` of them without remainder."""
    import torch.nn.functional as F  # noqa: N812  (its usual name)

    if pooling == "max":
        return F.adaptive_max_pool2d(block, size)
    means = F.adaptive_avg_pool2d(block.square() if pooling == "l2" else block, size)
    if pooling == "mean":
        return means
    sums = means * (block.shape[2] // size[0] * (block.shape[3] // size[1]))
    return sums.sqrt() if pooling == "l2" else sums


def extract(
    learner: Learner,
    images: Images,
    views: Sequence[View],
    device: str = "cpu",
    advance: Callable[[float], None] = lambda share: None,
    place: Place | None = None,
) -> Iterator[list[Matrix]]:
    """Yield the features of `images` in order, in batches: one matrix (n, D) for each view, from one encoding.

    The learner is in evaluation mode. One with the capability `Precomputed` is asked for what it has of their `place`.

    Raises
    ------
    TypeError
        If layers, shapes or types differ between batches.
    Diverged
        If a feature is not finite.
    """
    import torch

    done, checks = 0, CheckedBatches()
    for x in images.batches(learner.encode_batch_size, device):
        # Entered once per batch: between two of them the caller's code runs.
        with evaluating(learner):
            part = None if place is None else (place[0], place[1][done : done + len(x)])
            maps = checks.add(maps_of(learner, x, part), len(x))
            matrices = [view.matrix(maps) for view in views]
            finite = [torch.isfinite(matrix).all() for matrix in matrices]
            # Copying waits for the device, once: what was computed before is there then.
            found = [matrix.cpu().numpy() for matrix in matrices]
            if not all(map(bool, finite)):
                raise next(_not_finite(maps, views, done))
        done += len(x)
        advance(done / len(images))
        yield found


def maps_of(learner: Learner, x: Tensor, place: Place | None = None) -> FeatureMaps:
    """Return the feature maps of the images `x`; of a `Precomputed` learner, what it has of their `place`."""
    if place is not None and isinstance(learner, Precomputed):
        return learner.features_of(*place)
    return learner.encode(x)


def _not_finite(maps: FeatureMaps, views: Sequence[View], first: int) -> Iterator[Diverged]:
    """Yield an error for each layer whose features are not finite in a view."""
    import torch

    for view in views:
        chosen = view.select(maps)
        for name, layer in maps.items():
            if any(layer is one for one in chosen):
                alone = view.model_copy(update={"layers": (name,)})
                finite = torch.isfinite(alone.matrix(maps)).all(dim=1)
                if not bool(finite.all()):
                    yield not_finite(name, layer, finite, first)


class FeatureCache:
    """Feature matrices on disk, memory-mapped, named by the hash of everything they depend on.

    Parameters
    ----------
    folder : of all features.
    fit : the name of the folder in it that holds those of one trial, which can so be removed with its fit.
    """

    def __init__(self, folder: Path, fit: str) -> None:
        self.folder, self.fit = folder, fit
        self._verified: set[Identity] = set()

    def matrices(
        self,
        key: Mapping[str, Any],
        learner: Callable[[], Learner],
        images: Images,
        rows: Indices,
        views: Sequence[View],
        device: str = "cpu",
        advance: Callable[[float], None] = lambda share: None,
        split: Split | None = None,
    ) -> list[Matrix]:
        """Return the features of `rows` of `images`, float32 of shape (len(rows), D), in every view.

        What is not cached yet is extracted; each image is encoded once for all views.

        Parameters
        ----------
        key : identifies the learner's fit and the images (JSON-serializable).
        learner : called only if features are missing.
        split : of which `images` are all.
        """
        files = {view: self._file(key, rows, view) for view in views}
        found = {view: file.read(as_array, self._verified) for view, file in files.items()}
        missing = [view for view in files if found[view] is None]

        def extract_missing() -> None:
            place = None if split is None else (split, rows)
            batches = extract(learner(), images.take(rows), missing, device, advance, place)
            _write_matrices([files[view] for view in missing], batches, len(rows))

        return [
            files[view].get(as_array, extract_missing, self._verified) if matrix is None else matrix
            for view, matrix in ((view, found[view]) for view in views)
        ]

    def _file(self, key: Mapping[str, Any], rows: Indices, view: View) -> CacheFile:
        # Nested, so that no name in the key can hide the rows or the view.
        content = [dict(key), view.model_dump(mode="json"), hashlib.sha256(rows.tobytes()).hexdigest()]
        name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return CacheFile(self.folder, f"{self.fit}/{name}.npy")


def _write_matrices(targets: Sequence[CacheFile], batches: Iterator[list[Matrix]], count: int) -> None:
    """Write batches of rows as one .npy file per target, each atomically, holding one batch in memory."""
    with ExitStack() as stack:
        writers = [stack.enter_context(target.write()) for target in targets]
        for number, matrices in enumerate(batches):
            for writer, matrix in zip(writers, matrices, strict=True):
                if number == 0:
                    writer.write(npy_header((count, matrix.shape[1]), matrix.dtype))
                writer.write(np.ascontiguousarray(matrix).data)
