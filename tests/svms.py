"""Linear SVMs of one set of examples, which the product always trains on several."""

from __future__ import annotations

from collections.abc import Sequence

from reprbench.images import Labels
from reprbench.probes.machines import LinearSVMs, fit_svms
from reprbench.probes.standardize import Matrix


def fit_svm(x: Matrix, labels: Labels, n_classes: int, costs: Sequence[float]) -> LinearSVMs:
    """Return the machines for all costs."""
    return fit_svms([(x, labels)], n_classes, costs)[0]
