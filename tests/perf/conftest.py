"""Runs what is measured in a separate process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""glibc otherwise frees large feature maps after every use, and every page of the next one faults."""


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
