"""The committed results: all are read, and have the files that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from common import REPOSITORY
from trials import read_whole

from reprbench.trial import Trial

COMMITTED = REPOSITORY / "results"


@pytest.fixture(scope="module")
def committed() -> list[Trial]:
    return read_whole(COMMITTED)


def test_figures_of_committed_trials_are_where_they_say(committed):
    figures = {
        (Path(one.path).parent / figure.file, figure.name)
        for one in committed
        for evaluation in one.evaluations
        for figure in evaluation.figures
    }
    assert figures
    assert all(path.is_file() for path, _ in figures)
    assert all(path.stem.endswith(f"-{name}") and "-" not in name for path, name in figures)
