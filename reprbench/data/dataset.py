"""The Dataset: images of three splits, labels of two, folds of one, and the digest of all that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reprbench.data.folds import named_generator, random_rows, stratified_folds, stratified_rows
from reprbench.errors import UserError
from reprbench.images import Images, Indices, Labels
from reprbench.limit import Limit
from reprbench.spec import Call

SMALLEST_SIDE = 8
"""Pixels; the encoders halve an image three times."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Named image data; read-only."""

    call: Call
    """With the parameters that identify the data, such as ``folder[path=cifar]``."""
    title: str
    """For display, such as ``CIFAR-10 (JPEG)``."""
    unlabeled: Images
    """If there is no such split, the training images: the same object as `train`."""
    train: Images
    train_labels: Labels
    """Shape (N,), 0 … K-1."""
    test: Images
    test_labels: Labels
    classes: tuple[str, ...]
    folds: tuple[Indices, ...]
    """Row numbers of `train`, sorted; each fold is a complete training set."""
    digest: str
    """SHA-256, hexadecimal, of content and folds, independent of where the files lie and whether they are zipped."""
    notes: tuple[str, ...] = ()
    """Notes shown with every row that comes from this data."""
    read_from: Path | None = None
    """The data folder in which its files were found, where that is worth saying."""

    @property
    def name(self) -> str:
        """The name without parameters, which may contain a path; random draws are named after it."""
        return self.call.name

    def limited(self, limit: int | Limit | None) -> Dataset:
        """Return the dataset with at most so many images in every split, or in those named; ``None`` means all.

        Labeled splits keep the shares of their classes. The images drawn depend only on the dataset's name and their
        number, so that they are the same for every seed and user. Folds are redrawn if `train` was reduced. Where
        `unlabeled` is `train`, it stays so if both have one limit, and is drawn from all training images otherwise.

        Raises
        ------
        UserError
            If the limit of a labeled split is less than the number of classes.
        """
        limit = Limit.each(limit) if isinstance(limit, int) else limit or Limit()
        splits = {"unlabeled": self.unlabeled, "train": self.train, "test": self.test}
        if not any(_reduces(getattr(limit, split), images) for split, images in splits.items()):
            return self
        for count in (limit.train, limit.test):
            if count is not None and count < len(self.classes):
                raise UserError(
                    f"a limit of {count} images leaves out classes of {self.title}; use at least {len(self.classes)}"
                )
        train, train_labels = self._draw(self.train, self.train_labels, limit.train, "train")
        test, test_labels = self._draw(self.test, self.test_labels, limit.test, "test")
        shared = self.unlabeled is self.train and limit.unlabeled == limit.train
        return replace(
            self,
            unlabeled=train if shared else self._draw_unlabeled(limit.unlabeled),
            train=train,
            train_labels=train_labels,
            test=test,
            test_labels=test_labels,
            folds=self.folds if train is self.train else stratified_folds(train_labels, self.name),
            digest=hashlib.sha256(f"{self.digest} limited to {limit}".encode()).hexdigest(),
        )

    def _draw(self, images: Images, labels: Labels, count: int | None, split: str) -> tuple[Images, Labels]:
        if count is None or len(images) <= count:
            return images, labels
        rows = stratified_rows(labels, count, self._generator(count, split))
        return images.take(rows), labels[rows]

    def _draw_unlabeled(self, count: int | None) -> Images:
        if count is None or len(self.unlabeled) <= count:
            return self.unlabeled
        return self.unlabeled.take(random_rows(len(self.unlabeled), count, self._generator(count, "unlabeled")))

    def _generator(self, count: int, split: str) -> np.random.Generator:
        return named_generator(f"{self.name} {split} limited to {count}")


def _reduces(count: int | None, images: Images) -> bool:
    return count is not None and count < len(images)


def assemble(
    *,
    call: Call,
    title: str,
    train: Images,
    train_labels: Labels,
    test: Images,
    test_labels: Labels,
    classes: Sequence[str],
    content: Mapping[str, str],
    unlabeled: Images | None = None,
    folds: Sequence[Indices] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Check the parts of a dataset, draw its folds if it has none, and digest it.

    Parameters
    ----------
    content : the SHA-256 of every part of the content, by the part's name
    unlabeled : by default the training images
    folds : by default `stratified_folds`, drawn by the name, without parameters

    Raises
    ------
    UserError
        If the parts do not fit together, or reprbench does not support the images' shape.
    """
    splits = {"train": train, "test": test, **({} if unlabeled is None else {"unlabeled": unlabeled})}
    _check_images(str(call), splits)
    for split, images, labels in (("train", train, train_labels), ("test", test, test_labels)):
        _check_labels(str(call), split, len(images), labels, len(classes))
    folds = tuple(stratified_folds(train_labels, call.name) if folds is None else folds)
    check_folds(str(call), folds, train_labels)
    return Dataset(
        call=call,
        title=title,
        unlabeled=train if unlabeled is None else unlabeled,
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=tuple(classes),
        folds=folds,
        digest=_digest(content, folds),
        notes=tuple(notes),
    )


def match_labels(labels: Labels, images: Images, path: Path) -> Labels:
    """Return `labels`, read from `path`, if there is one per image; raise a `UserError` otherwise."""
    if len(labels) != len(images):
        raise UserError(f"{path}: has {len(labels)} labels; expected {len(images)}, one per image; fetch it again")
    return labels


def _digest(content: Mapping[str, str], folds: Sequence[Indices]) -> str:
    """Folds are included in the digest: another version of NumPy might draw others from the same name."""
    drawn = [hashlib.sha256(np.ascontiguousarray(fold, dtype="<i8").tobytes()).hexdigest() for fold in folds]
    return hashlib.sha256(json.dumps([sorted(content.items()), drawn]).encode()).hexdigest()


def _check_images(call: str, splits: Mapping[str, Images]) -> None:
    for split, images in splits.items():
        if len(images) == 0:
            raise UserError(f"dataset {call!r}: the {split} split has no images; expected at least one")
        if images.shape != splits["train"].shape:
            raise UserError(
                f"dataset {call!r}: {split} images are {images.shape} and train images {splits['train'].shape} "
                "(channels, height, width); expected one shape"
            )
    channels, height, width = splits["train"].shape
    if channels not in (1, 3) or min(height, width) < SMALLEST_SIDE:
        raise UserError(
            f"dataset {call!r}: images have {channels} channels and {height}×{width} pixels; "
            f"expected 1 or 3 channels and at least {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels"
        )


def _check_labels(call: str, split: str, n_images: int, labels: Labels, n_classes: int) -> None:
    if len(labels) != n_images:
        raise UserError(f"dataset {call!r}: {split} has {n_images} images and {len(labels)} labels; expected as many")
    if n_classes < 2:
        raise UserError(f"dataset {call!r}: {n_classes} class; expected at least two to tell apart")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(
            f"dataset {call!r}: {split} labels run from {labels.min()} to {labels.max()}; "
            f"expected the {n_classes} classes 0 to {n_classes - 1}"
        )


def check_folds(call: str, folds: Sequence[Indices], labels: Labels) -> None:
    """Raise a `UserError` unless every fold has at least two classes."""
    for number, rows in enumerate(folds):
        if len(found := np.unique(labels[rows])) < 2:
            raise UserError(
                f"dataset {call!r}: fold {number} has {len(rows)} images of {len(found)} class; "
                "expected at least two classes to tell apart in every fold"
            )
