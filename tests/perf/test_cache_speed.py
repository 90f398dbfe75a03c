"""What it costs to verify a file of the cache when it is opened. Run with `make perf`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from reprbench.cache import CacheFile

SIZE = 2**28


def shortest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_verifying_costs_a_fraction_of_a_second_per_gigabyte(tmp_path):
    """A quarter of a gigabyte that is in the page cache, beside one pass of NumPy over its values."""
    file, block = CacheFile(tmp_path, "features"), os.urandom(2**20)
    with file.write() as writer:
        for _ in range(SIZE // len(block)):
            writer.write(block)
    verified = set()
    first = shortest(lambda: file.read(len))
    file.read(len, verified)
    again = shortest(lambda: file.read(len, verified))
    summed = shortest(lambda: file.read(lambda content: content.view(np.float32).max(), verified))
    print(f"\nverified: {SIZE / first / 1e9:.1f} GB/s; opened again: {again * 1e6:.0f} µs; one pass: {summed:.3f} s")
    assert first <= 1.0 * SIZE / 2**30
