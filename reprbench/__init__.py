"""reprbench: a pluggable benchmark harness for unsupervised representation learners.

Everything a plugin needs is here; nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprbench.api.datasets import dataset
    from reprbench.api.encoding import encode
    from reprbench.api.evaluating import evaluate
    from reprbench.api.exports import load_learner
    from reprbench.api.results import Results
    from reprbench.api.run import run
    from reprbench.api.stores import LoadedStore, load
    from reprbench.api.trials import StoredTrial
    from reprbench.api.wrapping import wrap
    from reprbench.batch_norm import measure_batch_norm
    from reprbench.capabilities import Classifies, Decodes, Precomputed, Reconstructs, Resumes
    from reprbench.data.dataset import Dataset
    from reprbench.data.locate import DataRequest
    from reprbench.data.returned import ImageArrays, ImageFolder
    from reprbench.dataset_parameter import DatasetCall
    from reprbench.errors import Diverged, UserError
    from reprbench.features import View
    from reprbench.file_parameter import File
    from reprbench.images import Images, Indices, Labels
    from reprbench.learner import FeatureMaps, ImageShape, Kind, Learner, SupervisedLearner
    from reprbench.measurement import Curve, Headline, Measurement
    from reprbench.protocols.base import KeptGram, Outcome, Protocol
    from reprbench.protocols.folds import Fold, FoldProtocol
    from reprbench.protocols.subject import Features, Snapshots, Subject
    from reprbench.registry import register, register_dataset, register_protocol
    from reprbench.run_context import Run
    from reprbench.spec import Budget
    from reprbench.store import Store
    from reprbench.torch_learner import TorchLearner, TorchSupervisedLearner
    from reprbench.trackers.base import TrackedTrial, Tracker, TrialEnd
    from reprbench.training import cosine_with_warmup, train

__version__ = "0.2.0.dev0"

EXPORTS = {
    "Budget": "reprbench.spec",
    "Classifies": "reprbench.capabilities",
    "Curve": "reprbench.measurement",
    "DataRequest": "reprbench.data.locate",
    "Dataset": "reprbench.data.dataset",
    "DatasetCall": "reprbench.dataset_parameter",
    "Decodes": "reprbench.capabilities",
    "Diverged": "reprbench.errors",
    "FeatureMaps": "reprbench.learner",
    "Features": "reprbench.protocols.subject",
    "File": "reprbench.file_parameter",
    "Fold": "reprbench.protocols.folds",
    "FoldProtocol": "reprbench.protocols.folds",
    "Headline": "reprbench.measurement",
    "ImageArrays": "reprbench.data.returned",
    "ImageFolder": "reprbench.data.returned",
    "ImageShape": "reprbench.learner",
    "Images": "reprbench.images",
    "Indices": "reprbench.images",
    "KeptGram": "reprbench.protocols.base",
    "Kind": "reprbench.learner",
    "Labels": "reprbench.images",
    "Learner": "reprbench.learner",
    "LoadedStore": "reprbench.api.stores",
    "Measurement": "reprbench.measurement",
    "Outcome": "reprbench.protocols.base",
    "Precomputed": "reprbench.capabilities",
    "Protocol": "reprbench.protocols.base",
    "Reconstructs": "reprbench.capabilities",
    "Results": "reprbench.api.results",
    "Resumes": "reprbench.capabilities",
    "Run": "reprbench.run_context",
    "Snapshots": "reprbench.protocols.subject",
    "Store": "reprbench.store",
    "StoredTrial": "reprbench.api.trials",
    "Subject": "reprbench.protocols.subject",
    "SupervisedLearner": "reprbench.learner",
    "TorchLearner": "reprbench.torch_learner",
    "TorchSupervisedLearner": "reprbench.torch_learner",
    "TrackedTrial": "reprbench.trackers.base",
    "Tracker": "reprbench.trackers.base",
    "TrialEnd": "reprbench.trackers.base",
    "UserError": "reprbench.errors",
    "View": "reprbench.features",
    "cosine_with_warmup": "reprbench.training",
    "dataset": "reprbench.api.datasets",
    "encode": "reprbench.api.encoding",
    "evaluate": "reprbench.api.evaluating",
    "load": "reprbench.api.stores",
    "load_learner": "reprbench.api.exports",
    "measure_batch_norm": "reprbench.batch_norm",
    "register": "reprbench.registry",
    "register_dataset": "reprbench.registry",
    "register_protocol": "reprbench.registry",
    "run": "reprbench.api.run",
    "train": "reprbench.training",
    "wrap": "reprbench.api.wrapping",
}
"""Public names and the modules that define them; a test keeps this in step with the imports above."""

__all__ = [
    "EXPORTS",
    "Budget",
    "Classifies",
    "Curve",
    "DataRequest",
    "Dataset",
    "DatasetCall",
    "Decodes",
    "Diverged",
    "FeatureMaps",
    "Features",
    "File",
    "Fold",
    "FoldProtocol",
    "Headline",
    "ImageArrays",
    "ImageFolder",
    "ImageShape",
    "Images",
    "Indices",
    "KeptGram",
    "Kind",
    "Labels",
    "Learner",
    "LoadedStore",
    "Measurement",
    "Outcome",
    "Precomputed",
    "Protocol",
    "Reconstructs",
    "Results",
    "Resumes",
    "Run",
    "Snapshots",
    "Store",
    "StoredTrial",
    "Subject",
    "SupervisedLearner",
    "TorchLearner",
    "TorchSupervisedLearner",
    "TrackedTrial",
    "Tracker",
    "TrialEnd",
    "UserError",
    "View",
    "__version__",
    "cosine_with_warmup",
    "dataset",
    "encode",
    "evaluate",
    "load",
    "load_learner",
    "measure_batch_norm",
    "register",
    "register_dataset",
    "register_protocol",
    "run",
    "train",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in EXPORTS:
        return getattr(importlib.import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'reprbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
