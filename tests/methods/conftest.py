"""One thread for the small networks of these tests: more would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint whenever one may be written."""
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.run_context.CHECKPOINT_SHARE", 0)
