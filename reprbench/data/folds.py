"""Random rows that are the same for every user: stratified subsets and folds, seeded by a name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from reprbench.images import Indices, Labels

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset

N_FOLDS = 10
IMAGES_A_CLASS = 100
"""Ten folds of 100 images for each of ten classes: the protocol of STL-10 (Coates, Ng, Lee 2011)."""


def named_generator(name: str) -> np.random.Generator:
    """Return a generator seeded by the SHA-256 of `name`, so that everybody who uses the name draws the same."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    # PCG64 is explicit because NumPy may change what default_rng returns.
    return np.random.Generator(np.random.PCG64(seed))


def stratified_folds(labels: Labels, name: str) -> tuple[Indices, ...]:
    """Draw ten training sets of 100 images per class; they may overlap.

    A class of n images contributes min(100, max(1, ⌊0.8 n⌋)) to each fold: folds with all images of small classes,
    those of fewer than 125, would be identical.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    name : the dataset's name, without its parameters, which may contain a path

    Returns
    -------
    tuple of ten sorted int64 arrays of row numbers, each without repetition
    """
    generator = named_generator(name)
    return tuple(_fold(labels, generator) for _ in range(N_FOLDS))


def _fold(labels: Labels, generator: np.random.Generator) -> Indices:
    drawn = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(IMAGES_A_CLASS, max(1, int(0.8 * len(rows))))
        drawn.append(generator.choice(rows, count, replace=False))
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def stratified_rows(labels: Labels, count: int, generator: np.random.Generator) -> Indices:
    """Draw `count` rows so that every class keeps its share, up to one image, and at least one image.

    In a random order of its class, an image has the quantile rank / n; the `count` lowest quantiles of all classes are
    drawn. So every class contributes its first image before any contributes its second.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    count : between the number of classes and N

    Returns
    -------
    sorted int64 array of shape (count,)
    """
    order = generator.permutation(len(labels))
    shuffled = labels[order]
    quantile = np.empty(len(labels))
    for label in np.unique(labels):
        places = np.flatnonzero(shuffled == label)
        quantile[places] = np.arange(len(places)) / len(places)
    drawn = order[np.argsort(quantile, kind="stable")[:count]]
    return np.sort(drawn).astype(np.int64)


def random_test_rows(dataset: Dataset, name: str, most: int) -> Indices:
    """Draw the rows of at most that many test images, sorted; by the protocol's `name`, the same for every method."""
    total = len(dataset.test)
    return random_rows(total, min(most, total), named_generator(f"{dataset.name} {name} images"))


def random_rows(length: int, count: int, generator: np.random.Generator) -> Indices:
    """Draw `count` of `length` rows without repetition, sorted, so that the file is read forwards."""
    return np.sort(generator.choice(length, count, replace=False)).astype(np.int64)
