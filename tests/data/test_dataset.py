from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reprbench.data.dataset import Dataset, assemble
from reprbench.data.folds import stratified_folds
from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.limit import Limit
from reprbench.spec import parse_call


def some_images(n: int, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0) -> Images:
    return Images(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def some_dataset(**changes: Any) -> Dataset:
    parts: dict[str, Any] = {
        "call": parse_call("some[path=x]"),
        "title": "Some",
        "train": some_images(60),
        "train_labels": np.arange(60) % 3,
        "test": some_images(30, seed=1),
        "test_labels": np.arange(30) % 3,
        "classes": ["a", "b", "c"],
        "content": {"train": "1" * 64, "test": "2" * 64},
    }
    return assemble(**{**parts, **changes})


def all_pixels(images: Images) -> np.ndarray:
    return images.pixels(np.arange(len(images)))


def test_without_unlabeled_images_it_is_the_training_images() -> None:
    dataset = some_dataset()
    assert dataset.unlabeled is dataset.train
    other = some_images(5)
    assert some_dataset(unlabeled=other).unlabeled is other


def test_draws_are_named_without_the_parameters_of_the_call() -> None:
    assert some_dataset().name == "some"
    assert str(some_dataset().call) == "some[path=x]"


def test_folds_do_not_depend_on_parameters_of_the_name() -> None:
    expected = stratified_folds(np.arange(60) % 3, "some")
    for name in ("some", "some[path=elsewhere]"):
        assert all(
            np.array_equal(a, b) for a, b in zip(some_dataset(call=parse_call(name)).folds, expected, strict=True)
        )


def test_digest_follows_content_and_folds_and_nothing_else() -> None:
    digest = some_dataset().digest
    assert len(bytes.fromhex(digest)) == 32
    assert some_dataset(call=parse_call("some"), title="Other", notes=["odd"]).digest == digest
    assert some_dataset(content={"test": "2" * 64, "train": "1" * 64}).digest == digest
    assert some_dataset(content={"test": "1" * 64, "train": "2" * 64}).digest != digest
    assert some_dataset(folds=[np.arange(9)]).digest != digest
    assert some_dataset(folds=[np.arange(9)]).digest != some_dataset(folds=[np.arange(8)]).digest


def test_limited_cuts_every_split_by_class() -> None:
    dataset = some_dataset(unlabeled=some_images(100, seed=2))
    limited = dataset.limited(12)
    assert [len(s) for s in (limited.unlabeled, limited.train, limited.test)] == [12, 12, 12]
    assert np.bincount(limited.train_labels).tolist() == [4, 4, 4]
    assert np.bincount(limited.test_labels).tolist() == [4, 4, 4]
    assert limited.digest not in (dataset.digest, dataset.limited(13).digest)
    assert limited.digest == dataset.limited(12).digest
    assert limited.notes == dataset.notes
    for fold in limited.folds:
        assert np.bincount(limited.train_labels[fold]).tolist() == [3, 3, 3]


def test_limited_keeps_images_and_labels_together() -> None:
    pixels = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None], (60, 1, 8, 8))
    limited = some_dataset(train=Images(pixels)).limited(20)
    rows = all_pixels(limited.train)[:, 0, 0, 0]
    assert np.array_equal(rows % 3, limited.train_labels)
    assert limited.unlabeled is limited.train


def test_limited_is_the_same_for_everybody_and_differs_between_datasets() -> None:
    one, again = some_dataset().limited(12), some_dataset(call=parse_call("some[path=elsewhere]")).limited(12)
    assert np.array_equal(all_pixels(one.train), all_pixels(again.train))
    assert not np.array_equal(
        all_pixels(one.train), all_pixels(some_dataset(call=parse_call("other")).limited(12).train)
    )


def test_limited_leaves_small_splits_and_their_folds_alone() -> None:
    dataset = some_dataset(unlabeled=some_images(100, seed=2), folds=[np.arange(9)])
    limited = dataset.limited(60)
    assert len(limited.unlabeled) == 60
    assert limited.train is dataset.train
    assert limited.folds is dataset.folds
    assert limited.digest != dataset.digest
    assert dataset.limited(100) is dataset
    assert dataset.limited(None) is dataset


def test_a_limit_by_split_cuts_only_the_splits_that_it_names() -> None:
    dataset = some_dataset(unlabeled=some_images(100, seed=2))
    for limit in (Limit(unlabeled=12), Limit(train=12), Limit(test=12)):
        limited = dataset.limited(limit)
        for split in ("unlabeled", "train", "test"):
            whole, images = getattr(dataset, split), getattr(limited, split)
            assert images is whole if getattr(limit, split) is None else len(images) == 12
        assert (limited.folds is dataset.folds) == (limit.train is None)
    assert len({dataset.limited(limit).digest for limit in (12, Limit(unlabeled=12), Limit(train=12))}) == 3


def test_the_same_limit_of_each_split_is_the_limit_of_all() -> None:
    dataset = some_dataset()
    one, other = dataset.limited(12), dataset.limited(Limit(unlabeled=12, train=12, test=12))
    assert one.digest == other.digest
    assert other.unlabeled is other.train
    assert np.array_equal(all_pixels(one.train), all_pixels(other.train))


def test_fewer_unlabeled_images_are_some_of_the_training_images_with_their_folds() -> None:
    dataset = some_dataset()
    limited = dataset.limited(Limit(unlabeled=20))
    assert limited.train is dataset.train
    assert limited.folds is dataset.folds
    known = {image.tobytes() for image in all_pixels(dataset.train)}
    assert len({image.tobytes() for image in all_pixels(limited.unlabeled)} & known) == 20
    fewer = dataset.limited(Limit(train=20))
    assert fewer.unlabeled is dataset.unlabeled
    assert dataset.limited(Limit(unlabeled=60)) is dataset


def test_classes_bound_the_limits_of_labeled_splits_alone() -> None:
    assert len(some_dataset().limited(Limit(unlabeled=1)).unlabeled) == 1
    for limit in (Limit(train=2), Limit(test=2)):
        with pytest.raises(UserError, match="a limit of 2 images leaves out classes"):
            some_dataset().limited(limit)


@pytest.mark.parametrize("count", [-1, 0, 2])
def test_limit_below_the_number_of_classes_is_refused(count: int) -> None:
    with pytest.raises(UserError, match="use at least 3"):
        some_dataset().limited(count)
    assert len(some_dataset().limited(3).train) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": some_images(60, (1, 7, 9)), "test": some_images(30, (1, 7, 9))}, "7×9 pixels; expected .* 8×8"),
        ({"train": some_images(60, (2, 8, 8)), "test": some_images(30, (2, 8, 8))}, "2 channels"),
        ({"test": some_images(30, (3, 8, 8))}, "expected one shape"),
        ({"unlabeled": some_images(30, (1, 8, 9))}, "expected one shape"),
        ({"unlabeled": some_images(0)}, "the unlabeled split has no images"),
        ({"train_labels": np.arange(59) % 3}, "60 images and 59 labels"),
        ({"test_labels": np.arange(30) % 4}, "test labels run from 0 to 3; expected the 3 classes 0 to 2"),
        ({"train_labels": np.arange(60) % 3 - 1}, "train labels run from -1"),
        ({"classes": ["a"]}, "at least two"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        some_dataset(**changes)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 9)])
def test_smallest_images_are_taken(shape: tuple[int, ...]) -> None:
    assert some_dataset(train=some_images(60, shape), test=some_images(30, shape)).train.shape == shape
