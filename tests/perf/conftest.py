"""A process of its own for what is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""glibc otherwise gives large feature maps back after every use, and each page of the next is a fault."""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call a function in a process of its own, whose memory is managed as `KEEP_MEMORY` says, with two threads."""
    for name, value in KEEP_MEMORY.items():
        monkeypatch.setenv(name, value)

    def measure(function: Callable[..., Any], *arguments: object) -> Any:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn, initializer=torch.set_num_threads, initargs=(2,)) as process:
            return process.submit(function, *arguments).result()

    return measure
