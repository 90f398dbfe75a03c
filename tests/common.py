"""What many tests share besides fixtures; folders have their own conftest, so none can be imported by that name."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from reprbench.cli.main import main
from reprbench.images import Images

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.evaluation import Evaluation
    from reprbench.protocols.base import Outcome

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


def noise(count: int, seed: int = 0, shape: tuple[int, ...] = (1, 8, 8)) -> Images:
    """Return images whose pixels are independent and uniform."""
    return Images(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


def digits(limit: int | None = None, **parameters: Any) -> Dataset:
    """Return the dataset that is there without a download."""
    from reprbench.data import load_dataset

    return load_dataset("digits", parameters, data_dirs=[], cache_dir=Path()).limited(limit)


def values(outcome: Outcome | Evaluation, metric: str, **at: Any) -> list[float]:
    """Return what was measured of a metric, wherever the coordinates include these."""
    return [one.value for one in outcome.measurements if one.metric == metric and at.items() <= one.at.items()]


class Evil:
    """What prints a word when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return (print, ("run",))
