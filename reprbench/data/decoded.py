"""Arrays that are decoded once: written to the cache folder atomically, then memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reprbench.arrays import as_array, npy_header
from reprbench.cache import CacheFile
from reprbench.data.digests import Digests

Decoded = tuple[NDArray[np.uint8], str]
"""An array, memory-mapped and read-only, and the SHA-256 of its .npy file."""


def write_array(target: CacheFile, shape: Sequence[int], blocks: Iterable[NDArray[np.uint8]]) -> None:
    """Write consecutive blocks of rows as one array; it appears when it is complete."""
    with target.write() as writer:
        writer.write(npy_header(shape, np.uint8))
        for block in blocks:
            writer.write(np.ascontiguousarray(block).data)


def decoded(file: CacheFile, decode: Callable[[], object], digests: Digests) -> Decoded:
    """Return the array in `file`; call `decode`, which writes it, unless the cache has it."""
    array, content = file.get(lambda content: (as_array(content), content), decode)
    return array, digests.of_content(file.path, content)
