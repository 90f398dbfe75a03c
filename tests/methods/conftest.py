"""What the tests of the methods share as fixtures."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def in_one_thread(one_thread: None) -> None:
    """Compute in one thread in all tests of the methods."""


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint whenever one may be written."""
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.run_context.CHECKPOINT_SHARE", 0)
