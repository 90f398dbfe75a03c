"""reprbench: a pluggable benchmark harness for unsupervised representation learners.

What a plugin needs is here; nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprbench.errors import Diverged, UserError
    from reprbench.file_parameter import File
    from reprbench.images import Images, Rows
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
    from reprbench.run import Run
    from reprbench.spec import Budget
    from reprbench.training import TorchLearner, TorchSupervisedLearner, train

__version__ = "0.1.0"

EXPORTS = {
    "Budget": "reprbench.spec",
    "Decodes": "reprbench.learner",
    "Diverged": "reprbench.errors",
    "FeatureMaps": "reprbench.learner",
    "File": "reprbench.file_parameter",
    "ImageShape": "reprbench.learner",
    "Images": "reprbench.images",
    "Learner": "reprbench.learner",
    "Reconstructs": "reprbench.learner",
    "Resumes": "reprbench.learner",
    "Rows": "reprbench.images",
    "Run": "reprbench.run",
    "SupervisedLearner": "reprbench.learner",
    "TorchLearner": "reprbench.training",
    "TorchSupervisedLearner": "reprbench.training",
    "UserError": "reprbench.errors",
    "register": "reprbench.learner",
    "train": "reprbench.training",
}
"""Public names and the modules that define them; a test keeps this in step with the imports above."""

__all__ = [
    "EXPORTS",
    "Budget",
    "Decodes",
    "Diverged",
    "FeatureMaps",
    "File",
    "ImageShape",
    "Images",
    "Learner",
    "Reconstructs",
    "Resumes",
    "Rows",
    "Run",
    "SupervisedLearner",
    "TorchLearner",
    "TorchSupervisedLearner",
    "UserError",
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
