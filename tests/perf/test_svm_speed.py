"""The linear SVM's time against scikit-learn's `LinearSVC`, within one run. Run with `pytest tests/perf -s`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from svms import fit_svm

from reprbench.probes.linear_svm import train_fold
from reprbench.probes.standardize import standardize

COSTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS, CLASSES, WIDTH = 10, 10, 12_032
Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def make_features(n: int, width: int, seed: int) -> Split:
    """Rectified random features of a low-dimensional signal with class means: spectra like those of a convolution."""
    maps = torch.Generator().manual_seed(0)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    scale = torch.arange(1, 301) ** -0.7
    centers = torch.randn(CLASSES, 300, generator=maps) * 0.25
    mixing = torch.randn(300, width, generator=maps)
    signal = (torch.randn(n, 300, generator=generator) + centers[labels]) * scale
    features = torch.relu(signal @ mixing + 0.3 * torch.randn(n, width, generator=generator))
    return features.numpy(), labels.numpy()


@pytest.fixture(scope="module")
def stl_sized() -> tuple[Split, Split]:
    return make_features(5000, WIDTH, 1), make_features(8000, WIDTH, 2)


def ours(train: Split, test: Split, fold: int) -> float:
    rows = np.sort(np.random.default_rng(fold).choice(len(train[0]), 1000, replace=False))
    start = time.perf_counter()
    x, labels = train[0][rows], train[1][rows]
    classifier = train_fold(x, labels, CLASSES, COSTS, np.random.default_rng(fold))
    accuracy = classifier.accuracy(*test)
    seconds = time.perf_counter() - start
    print(f"fold {fold}: {seconds:.1f} s, accuracy {accuracy:.4f}, C {classifier.choice.cost:g}")
    return seconds


def liblinear(x: NDArray[np.float32], labels: NDArray[np.int64], cost: float) -> float:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        LinearSVC(C=cost).fit(x, labels)
    seconds = time.perf_counter() - start
    print(f"LinearSVC, {len(x)} rows, C {cost:g}: {seconds:.1f} s")
    return seconds


def test_ten_folds_take_seconds_where_liblinear_takes_hours(stl_sized: tuple[Split, Split]) -> None:
    """At most 90 s, and at least 50 times faster than `LinearSVC` with its default tolerance and iterations."""
    train, test = stl_sized
    total = sum(ours(train, test, fold) for fold in range(FOLDS))
    x = standardize(train[0][:800]).apply(train[0][:800])
    measured = [liblinear(x, train[1][:800], cost) for cost in COSTS[:4]]
    # Extrapolated: larger costs take at least as long as the largest measured, and the final fit of a fold is left out.
    grid = sum(measured) + measured[-1] * (len(COSTS) - len(measured))
    theirs = FOLDS * 5 * grid
    print(f"ours {total:.0f} s; LinearSVC {theirs:.0f} s, extrapolated from 4 of 350 fits: {theirs / total:.0f} times")
    assert total <= 90
    assert theirs >= 50 * total


def inner_choice(x: NDArray[np.float32], labels: NDArray[np.int64], costs: Sequence[float], limit: float) -> float:
    """Return the processor seconds of `LinearSVC` for the choice of C, extrapolated from one of five inner folds.

    Once `limit` seconds are spent, a larger cost is taken to need as long as the largest one measured.
    """
    rows = standardize(x[: len(x) * 4 // 5]).apply(x[: len(x) * 4 // 5])
    seconds: list[float] = []
    for cost in costs:
        if sum(seconds) < limit:
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                LinearSVC(C=cost, dual="auto").fit(rows, labels[: len(rows)])
            seconds.append(time.process_time() - start)
        else:
            seconds.append(seconds[-1])
    return 5 * sum(seconds)


@pytest.mark.parametrize(("width", "least"), [(64, 4), (256, 20), (800, 20), (3008, 20)])
def test_a_fold_is_many_times_faster_than_liblinear(width: int, least: float) -> None:
    """1000 rows, ten classes, eight costs, five inner folds, by processor time with one thread."""
    x, labels = make_features(1000, width, 1)
    costs, threads = (*COSTS, 10.0), torch.get_num_threads()
    seconds = []
    try:
        torch.set_num_threads(1)
        for _ in range(3):
            start = time.process_time()
            train_fold(x, labels, CLASSES, costs, np.random.default_rng(0))
            seconds.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    theirs = inner_choice(x, labels, costs, limit=20)
    print(f"1000 × {width}: ours {min(seconds):.3f} s, LinearSVC {theirs:.1f} s: {theirs / min(seconds):.0f} times")
    assert theirs >= least * min(seconds)


@pytest.mark.parametrize(("n", "width"), [(60_000, 64), (60_000, 500), (60_000, 1000), (50_000, 6400)])
def test_a_whole_training_split_converges(n: int, width: int) -> None:
    """The time of one fit of all costs with more examples than features; six of them make `folds=none`."""
    x, labels = make_features(n, width, 1)
    x = standardize(x).apply(x)
    start = time.perf_counter()
    machines = fit_svm(x, labels, CLASSES, COSTS)
    print(f"{n} × {width}: {time.perf_counter() - start:.0f} s for {len(COSTS)} costs, gap {machines.gaps.max():.1e}")
    assert machines.gaps.max() < 1e-4
