"""Arrays that are decoded once: written to the cache folder atomically, then memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from reprbench.files import replacing


@contextmanager
def new_array(path: Path, shape: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield a uint8 array on disk to be filled; it appears at `path`, complete, if the block raises nothing."""
    with replacing(path) as temporary:
        array = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=tuple(shape))
        yield array
        array.flush()


def map_array(path: Path) -> NDArray[np.uint8]:
    """Return the array at `path`, memory-mapped and read-only."""
    array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
