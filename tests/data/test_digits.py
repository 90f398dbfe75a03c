from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

from reprbench.data import Dataset


def test_digits_are_scikit_learns(load: Callable[..., Dataset]) -> None:
    dataset = load("digits")
    original = load_digits()
    pixels = np.concatenate([s.pixels(slice(0, len(s))) for s in (dataset.train, dataset.test)])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert pixels.shape == (1797, 1, 8, 8)
    assert pixels.max() == 255
    back = np.round(pixels.reshape(-1, 64) * (16 / 255))
    drawn = np.column_stack([back, labels])
    expected = np.column_stack([original.data, original.target])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, expected))


def test_a_quarter_is_the_test_split_by_class(load: Callable[..., Dataset]) -> None:
    dataset = load("digits")
    assert len(dataset.test) == 449
    counts = np.bincount(dataset.train_labels) + np.bincount(dataset.test_labels)
    assert np.abs(np.bincount(dataset.test_labels) - counts / 4).max() < 1
    for fold in dataset.folds:
        assert np.bincount(dataset.train_labels[fold]).tolist() == [100] * 10


def test_digits_are_the_same_for_everybody(load: Callable[..., Dataset]) -> None:
    assert load("digits").digest == load("digits", cache="elsewhere").digest
    assert load("digits").notes == ()


def test_scikit_learn_is_imported_only_where_its_file_is_not_found(load: Callable[..., Dataset], monkeypatch) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from reprbench.data import load_dataset
        print(load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).digest, "sklearn" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    monkeypatch.setattr("reprbench.data.digits.find_spec", lambda name: None)
    assert done.stdout.split() == [load("digits").digest, "False"]
