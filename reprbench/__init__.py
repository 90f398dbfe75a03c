"""reprbench: a pluggable benchmark harness for unsupervised representation learners.

What a plugin needs is here; nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.errors import Diverged, UserError
    from reprbench.features import View
    from reprbench.images import Images, Indices, Labels
    from reprbench.learner import (
        Decodes,
        FeatureMaps,
        ImageShape,
        Learner,
        Reconstructs,
        Resumes,
        SupervisedLearner,
        register,
    )
    from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Protocol
    from reprbench.protocols.folds import Fold, FoldProtocol
    from reprbench.protocols.subject import Features, Snapshots, Subject
    from reprbench.run import Run
    from reprbench.spec import Budget
    from reprbench.training import TorchLearner, TorchSupervisedLearner, train

__version__ = "0.1.0"

EXPORTS = {
    "Budget": "reprbench.spec",
    "Curve": "reprbench.protocols.base",
    "Dataset": "reprbench.data.dataset",
    "Decodes": "reprbench.learner",
    "Diverged": "reprbench.errors",
    "FeatureMaps": "reprbench.learner",
    "Features": "reprbench.protocols.subject",
    "Fold": "reprbench.protocols.folds",
    "FoldProtocol": "reprbench.protocols.folds",
    "Headline": "reprbench.protocols.base",
    "ImageShape": "reprbench.learner",
    "Images": "reprbench.images",
    "Indices": "reprbench.images",
    "Labels": "reprbench.images",
    "Learner": "reprbench.learner",
    "Measurement": "reprbench.protocols.base",
    "Outcome": "reprbench.protocols.base",
    "Protocol": "reprbench.protocols.base",
    "Reconstructs": "reprbench.learner",
    "Resumes": "reprbench.learner",
    "Run": "reprbench.run",
    "Snapshots": "reprbench.protocols.subject",
    "Subject": "reprbench.protocols.subject",
    "SupervisedLearner": "reprbench.learner",
    "TorchLearner": "reprbench.training",
    "TorchSupervisedLearner": "reprbench.training",
    "UserError": "reprbench.errors",
    "View": "reprbench.features",
    "register": "reprbench.learner",
    "train": "reprbench.training",
}
"""Public names and the modules that define them; a test keeps this in step with the imports above."""

__all__ = [
    "EXPORTS",
    "Budget",
    "Curve",
    "Dataset",
    "Decodes",
    "Diverged",
    "FeatureMaps",
    "Features",
    "Fold",
    "FoldProtocol",
    "Headline",
    "ImageShape",
    "Images",
    "Indices",
    "Labels",
    "Learner",
    "Measurement",
    "Outcome",
    "Protocol",
    "Reconstructs",
    "Resumes",
    "Run",
    "Snapshots",
    "Subject",
    "SupervisedLearner",
    "TorchLearner",
    "TorchSupervisedLearner",
    "UserError",
    "View",
    "__version__",
    "register",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in EXPORTS:
        return getattr(importlib.import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'reprbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
