"""Development splits: labeled images held out of the train split and used as the test split, which nobody reads."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import xxhash

from reprbench.data.dataset import Dataset, check_folds
from reprbench.data.folds import named_generator, stratified_folds, stratified_rows
from reprbench.errors import UserError
from reprbench.images import Images, Indices

_BLOCK = 1024
"""Images hashed at a time: a memory-mapped array is never read as a whole."""


def held_out(dataset: Dataset, count: int) -> Dataset:
    """Return the dataset with `count` of its training images as the test split; the real one is not in it.

    Classes keep their shares. The images drawn depend only on the dataset's name and `count`, so that they are the same
    for every seed and user. The rest are the training images, and folds are drawn from them, also for a dataset that
    has folds of its own. No unlabeled image equals one that is held out.

    Raises
    ------
    UserError
        If `count` is less than the number of classes, or leaves a class without training images.
    """
    drawn = _draw(dataset, count)
    rest = np.setdiff1d(np.arange(len(dataset.train)), drawn)
    labels = dataset.train_labels[rest]
    if len(np.unique(labels)) < len(np.unique(dataset.train_labels)):
        raise UserError(f"dataset {str(dataset.call)!r}: development={count} leaves no training image of some class")
    folds = stratified_folds(labels, f"{dataset.name} without {count} for development")
    check_folds(str(dataset.call), folds, labels)
    train, test = dataset.train.take(rest), dataset.train.take(drawn)
    return replace(
        dataset,
        call=dataset.call.with_parameters(development=count),
        title=f"{dataset.title}, tested on {count:,} development images held out of the train split",
        unlabeled=train if dataset.unlabeled is dataset.train else _without(dataset.unlabeled, test),
        train=train,
        train_labels=labels,
        test=test,
        test_labels=dataset.train_labels[drawn],
        folds=folds,
        digest=_digest(dataset.digest, drawn, *folds),
    )


def _draw(dataset: Dataset, count: int) -> Indices:
    n_classes, n_images = len(dataset.classes), len(dataset.train)
    if not n_classes <= count < n_images:
        raise UserError(
            f"dataset {str(dataset.call)!r}: development={count}; expected at least {n_classes}, one image of each "
            f"class, and fewer than the {n_images} training images"
        )
    generator = named_generator(f"{dataset.name} {count} for development")
    return stratified_rows(dataset.train_labels, count, generator)


def _without(images: Images, others: Images) -> Images:
    """Return the images that are none of `others`: a split of unlabeled images may contain those for training."""
    drop = np.isin(_hashes(images), _hashes(others))
    return images.take(np.flatnonzero(~drop)) if drop.any() else images


def _hashes(images: Images) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    hashes = np.empty(len(images), dtype=np.uint64)
    for start in range(0, len(images), _BLOCK):
        for row, image in enumerate(images.pixels(slice(start, start + _BLOCK)), start=start):
            hashes[row] = xxhash.xxh3_64_intdigest(image.data)
    return hashes


def _digest(digest: str, drawn: Indices, *folds: Indices) -> str:
    """Rows are included: another version of NumPy might draw others from the same name."""
    content = hashlib.sha256(f"{digest} development".encode())
    for rows in (drawn, *folds):
        content.update(hashlib.sha256(rows.astype("<i8").tobytes()).digest())
    return content.hexdigest()
