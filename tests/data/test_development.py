"""Images held out of the train split take the place of the test split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reprbench.data import Dataset, load_dataset
from reprbench.data.dataset import assemble
from reprbench.data.development import held_out
from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.registry import Entry, discover
from reprbench.spec import parse_call

Load = Callable[..., Dataset]
N_TRAIN = 60


def numbered(numbers: Any) -> Images:
    """Images that are all different: the first two pixels of each have its number."""
    pixels = np.zeros((len(numbers), 1, 8, 8), dtype=np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.asarray(numbers) % 256, np.asarray(numbers) // 256
    return Images(pixels)


def numbers_of(images: Images) -> list[int]:
    pixels = images.pixels(np.arange(len(images))).astype(int)
    return (pixels[:, 0, 0, 0] + 256 * pixels[:, 0, 0, 1]).tolist()


def some_dataset(**changes: Any) -> Dataset:
    """Training image i has class i mod 3; test images have numbers from 1000."""
    parts: dict[str, Any] = {
        "call": parse_call("some[path=x]"),
        "title": "Some",
        "train": numbered(np.arange(N_TRAIN)),
        "train_labels": np.arange(N_TRAIN) % 3,
        "test": numbered(np.arange(1000, 1030)),
        "test_labels": np.arange(30) % 3,
        "classes": ["a", "b", "c"],
        "content": {"train": "1" * 64, "test": "2" * 64},
    }
    return assemble(**{**parts, **changes})


def test_training_images_are_split_and_the_test_images_are_gone() -> None:
    found = held_out(some_dataset(), 15)
    train, test = numbers_of(found.train), numbers_of(found.test)
    assert len(test) == 15
    assert sorted(train + test) == list(range(N_TRAIN))
    assert found.train_labels.tolist() == [number % 3 for number in train]
    assert found.test_labels.tolist() == [number % 3 for number in test]
    assert np.bincount(found.test_labels).tolist() == [5, 5, 5]


def test_learners_are_not_fitted_to_held_out_images() -> None:
    found = held_out(some_dataset(), 15)
    assert found.unlabeled is found.train
    own = held_out(some_dataset(unlabeled=numbered(np.arange(2000, 2050))), 15)
    assert numbers_of(own.unlabeled) == list(range(2000, 2050))


def test_a_split_of_unlabeled_images_that_contains_training_images_loses_the_held_out_ones() -> None:
    # Each training image twice, among others.
    unlabeled = [*range(2000, 2050), *range(N_TRAIN), *range(N_TRAIN)]
    found = held_out(some_dataset(unlabeled=numbered(unlabeled)), 15)
    held = set(numbers_of(found.test))
    assert numbers_of(found.unlabeled) == [number for number in unlabeled if number not in held]


def test_folds_are_drawn_from_the_rest_even_if_the_dataset_has_its_own() -> None:
    own = [np.arange(start, start + 10) for start in range(3)]
    found = held_out(some_dataset(folds=own), 15)
    assert len(found.folds) == 10
    for fold in found.folds:
        assert np.bincount(found.train_labels[fold]).tolist() == [12, 12, 12]  # 80 % of 15
        assert not set(numbers_of(found.train.take(fold))) & set(numbers_of(found.test))


def test_what_is_held_out_depends_on_name_and_count_alone() -> None:
    one, same = held_out(some_dataset(), 15), held_out(some_dataset(call=parse_call("some")), 15)
    assert numbers_of(one.test) == numbers_of(same.test)
    assert one.digest == same.digest
    others = [held_out(some_dataset(), 16), held_out(some_dataset(call=parse_call("other")), 15)]
    for other in others:
        assert numbers_of(other.test)[:15] != numbers_of(one.test)
    digests = {one.digest, some_dataset().digest, *(other.digest for other in others)}
    assert len(digests) == 4


def test_name_and_title_say_it() -> None:
    found = held_out(some_dataset(), 15)
    assert str(found.call) == "some[path=x,development=15]"
    assert found.name == "some"
    assert found.title == "Some, tested on 15 development images held out of the train split"


@pytest.mark.parametrize("count", [2, N_TRAIN, N_TRAIN + 1])
def test_a_count_that_leaves_no_split_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"development={count}; expected at least 3, .* fewer than the 60"):
        held_out(some_dataset(), count)


def test_a_class_without_training_images_is_refused() -> None:
    labels = np.array([2] + [0, 1] * 29 + [0])
    with pytest.raises(UserError, match="development=10 leaves no training image of some class"):
        held_out(some_dataset(train_labels=labels), 10)


def test_a_limit_applies_to_what_is_left() -> None:
    found = held_out(some_dataset(), 30).limited(12)
    assert (len(found.unlabeled), len(found.train), len(found.test)) == (12, 12, 12)
    assert not set(numbers_of(found.unlabeled)) & set(numbers_of(held_out(some_dataset(), 30).test))


def test_built_in_datasets_have_it(load: Load, write_mnist: Any, write_stl10: Any, tmp_path: Path) -> None:
    for name, write, folder in (("mnist", write_mnist, "mnist"), ("stl10", write_stl10, "stl10_binary")):
        write(tmp_path / "data" / folder)
        whole, found = load(name), load(name, development=10)
        assert len(found.train) == len(whole.train) - 10
        assert len(found.test) == 10
        assert found.title.startswith(whole.title)
        assert str(found.call) == f"{name}[development=10]"


def test_the_unlabeled_images_of_stl10_without_those_held_out(load: Load, write_stl10: Any, tmp_path: Path) -> None:
    write_stl10(tmp_path / "data" / "stl10_binary")
    found = load("stl10", development=10)
    everything = np.arange(len(found.test))
    held = {image.tobytes() for image in found.test.pixels(everything)}
    rest = found.unlabeled.pixels(np.arange(len(found.unlabeled)))
    assert len(rest) > 0
    assert not held & {image.tobytes() for image in rest}


SQUARES = """
import numpy as np
from reprbench import ImageArrays, register_dataset

@register_dataset("squares")
def squares({parameters}):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    return ImageArrays(x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:])
"""


def squares(folder: Path, parameters: str = "") -> Entry:
    file = folder / "squares.py"
    file.write_text(SQUARES.format(parameters=parameters))
    return discover([file], None).find("dataset", "squares")


def test_datasets_of_plugins_have_it(tmp_path: Path) -> None:
    found = load_dataset(squares(tmp_path), {"development": 8}, data_dirs=[], cache_dir=tmp_path)
    assert (len(found.train), len(found.test)) == (22, 8)
    for wrong in (0, -1, 1.5, True, "8"):
        with pytest.raises(UserError, match="dataset 'squares': development: Input should be"):
            load_dataset(squares(tmp_path), {"development": wrong}, data_dirs=[], cache_dir=tmp_path)


def test_a_dataset_cannot_have_a_parameter_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every dataset has a parameter 'development'; give its own another name"):
        load_dataset(squares(tmp_path, "development: int = 3"), {}, data_dirs=[], cache_dir=tmp_path)
