"""Fixtures of the tests of faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reader_files import Load

from reprbench.data import Dataset, load_dataset


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a dataset by its name from ``data`` in the test's folder, with its cache in ``cache`` there."""
    (tmp_path / "data").mkdir()

    def call(name: str, cache: str = "cache", **parameters: Any) -> Dataset:
        return load_dataset(name, parameters, data_dirs=[tmp_path / "data"], cache_dir=tmp_path / cache)

    return call
