"""What many tests share besides fixtures; folders have their own conftest, so none can be imported by that name."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

FAST = ("--limit", "150", "--set", "linear-svm.costs=[0.1]", "--set", "linear-svm.inner_folds=2")
"""Options that make a run on digits short."""
