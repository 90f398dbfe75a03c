"""Images as stored on disk: uint8, possibly memory-mapped, read by row number and converted on the device."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Indices = NDArray[np.int64]
"""Row numbers, which select images of a sequence or rows of a matrix; shape (M,) unless stated otherwise."""

Labels = NDArray[np.int64]
"""The classes, 0 … K-1, of N images; shape (N,)."""

RESIDENT_BYTES = 2**28
"""After each read of a mapped file larger than this, its pages are released to the system's page cache."""

VECTOR_BYTES = 500_000_000
"""The most memory for the vectors of images to which something is fitted at once."""


class Images:
    """A sequence of images of one shape, without labels.

    Parameters
    ----------
    pixels : uint8 array of shape (N, C, H, W)
        May be memory-mapped, and a view with any strides; it is never copied as a whole.
    rows : Indices of shape (M,), optional
        The rows of `pixels` that make up the sequence, in order; all of them by default.
    """

    def __init__(self, pixels: NDArray[np.uint8], rows: Indices | None = None) -> None:
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise ValueError(f"images are uint8 of shape (N, C, H, W), not {pixels.dtype} of shape {pixels.shape}")
        self._pixels = np.asarray(pixels)  # drop the memmap subclass: its slices and gathers are slower
        self._rows = rows
        self._mapping = _large_mapping(pixels)

    def __len__(self) -> int:
        return len(self._pixels) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self._pixels.shape[1:]
        return channels, height, width

    def pixels(self, rows: Indices | slice) -> NDArray[np.uint8]:
        """Return the images at `rows` of this sequence as a new contiguous uint8 array of shape (n, C, H, W)."""
        source: Any = rows if self._rows is None else self._rows[rows]
        drawn = self._pixels[source]
        # A slice is a view of the (read-only, mapped) source, a gather is new already but in the source's memory order.
        drawn = np.array(drawn, order="C") if isinstance(source, slice) else np.ascontiguousarray(drawn)
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)
        return drawn

    def take(self, rows: Indices) -> Images:
        """Return the sequence of the images at `rows`, without reading them."""
        return Images(self._pixels, rows if self._rows is None else self._rows[rows])

    def batch(self, rows: Indices | slice, device: torch.device | str = "cpu") -> Tensor:
        """Return the images at `rows` on `device` as float32 in [0, 1], shape (n, C, H, W), channels last in memory.

        They are copied as uint8, on CUDA from pinned memory and without blocking, and converted on the device.
        """
        import torch

        pixels = copied_to(device, torch.from_numpy(self.pixels(rows)))
        # Dividing after the conversion keeps 255 → 1.0 exact.
        return pixels.contiguous(memory_format=torch.channels_last).to(torch.float32).div_(255.0)

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
        """Yield all images in order, in batches of at most `size`, as `batch` returns them."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, min(start + size, len(self))), device)

    def vectors(self, rows: Indices | slice) -> NDArray[np.float64]:
        """Return the images at `rows` as float64 vectors of pixels in [0, 1], shape (n, C·H·W)."""
        return self.pixels(rows).reshape(-1, math.prod(self.shape)) / 255.0

    def most_vectors(self, most: int) -> int:
        """Return how many images to fit to at once: no more than `most` and 500 MB of `vectors`, but at least two."""
        return min(most, len(self), max(2, VECTOR_BYTES // (8 * math.prod(self.shape))))


def copied_to(device: torch.device | str, tensor: Tensor) -> Tensor:
    """Return a tensor of the CPU on `device`, on CUDA from pinned memory: any other copy waits for the device."""
    import torch

    if torch.device(device).type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _large_mapping(pixels: NDArray[np.uint8]) -> mmap.mmap | None:
    """Return the read-only file mapping that `pixels` is a view of, if it is larger than `RESIDENT_BYTES`."""
    owner: Any = pixels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    # Releasing the pages of a writable private mapping would lose what was written; Windows has no madvise.
    large = isinstance(owner, mmap.mmap) and len(owner) > RESIDENT_BYTES and not pixels.flags.writeable
    return owner if large and hasattr(mmap, "MADV_DONTNEED") else None
