"""What many tests share besides fixtures; folders have their own conftest, so none can be imported by that name."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from reprbench.cli.main import main

REPOSITORY = Path(__file__).parent.parent

FAST = ("--limit", "150", "--set", "linear-svm.costs=[0.1]", "--set", "linear-svm.inner_folds=2")
"""Options that make a run on digits short."""

NEED_FILES = {"features", "module", "timm", "torchvision"}
"""The methods that evaluate what a user's file holds; they cannot run without it."""


def wait_for(found: Callable[[], object], seconds: float = 120) -> None:
    """Wait until `found` returns something true, but not longer than these seconds."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def status_here(*words: str) -> int:
    """Run ``reprbench`` with the given words in this process, as it would be started; return its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["reprbench", *words])
        main()
    status: int = end.value.code
    return status


def script(path: Path) -> ModuleType:
    """Return the module of a script that no package has."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
