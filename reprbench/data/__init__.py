"""Datasets: named image data with the splits unlabeled, train and test, and folds of train."""

from __future__ import annotations

from reprbench.data.catalog import load_dataset, verify
from reprbench.data.dataset import Dataset
from reprbench.data.fetch import fetch
from reprbench.data.locate import data_dirs

__all__ = ["Dataset", "data_dirs", "fetch", "load_dataset", "verify"]
