from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprbench.data.folds import named_generator, random_rows, stratified_folds, stratified_rows


def test_the_generator_of_a_name_is_the_same_everywhere() -> None:
    # The integers were drawn once; if these change, everybody's folds change with them.
    assert (
        named_generator("mnist").integers(0, 1000, 5).tolist() == named_generator("mnist").integers(0, 1000, 5).tolist()
    )
    assert named_generator("mnist").integers(0, 1000, 5).tolist() == [586, 195, 133, 34, 485]
    assert named_generator("mnist").integers(0, 2**60) != named_generator("stl10").integers(0, 2**60)


def test_ten_folds_of_100_images_per_class() -> None:
    labels = np.arange(3000) % 10
    folds = stratified_folds(labels, "a name")
    assert len(folds) == 10
    for fold in folds:
        assert fold.dtype == np.int64
        assert np.all(np.diff(fold) > 0)  # sorted, and no row twice
        assert np.bincount(labels[fold]).tolist() == [100] * 10
    assert len({fold.tobytes() for fold in folds}) == 10
    assert all(np.array_equal(a, b) for a, b in zip(folds, stratified_folds(labels, "a name"), strict=True))
    assert not np.array_equal(folds[0], stratified_folds(labels, "another name")[0])


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 1), (10, 8), (124, 99), (125, 100), (126, 100)])
def test_small_classes_give_fewer(n: int, expected: int) -> None:
    labels = np.repeat([0, 1], [n, 300])
    for fold in stratified_folds(labels, "a name"):
        assert np.bincount(labels[fold]).tolist() == [expected, 100]


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), data=st.data())
def test_stratified_rows_keep_the_shares(sizes: list[int], data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = data.draw(st.integers(len(sizes), len(labels)))
    rows = stratified_rows(labels, count, np.random.default_rng(data.draw(st.integers(0, 9))))
    assert len(rows) == count
    assert np.all(np.diff(rows) > 0)
    drawn = np.bincount(labels[rows], minlength=len(sizes))
    assert drawn.min() >= 1
    # All classes are cut at one quantile t: of n images those with rank < t n, so ⌈t n⌉, or one fewer in a tie.
    lowest, highest = np.max((drawn - 1) / sizes), np.min(drawn / np.array(sizes))
    assert lowest <= highest


def test_stratified_rows_are_drawn_at_random() -> None:
    labels = np.repeat([0, 1], [500, 500])
    draws = [stratified_rows(labels, 100, np.random.default_rng(seed)) for seed in range(40)]
    # Each row is drawn with probability 0.1: means over 40 draws of 100 rows lie near the middle of the rows.
    assert abs(np.mean(draws) - 499.5) < 20
    assert len({draw.tobytes() for draw in draws}) == 40


def test_random_rows() -> None:
    rows = random_rows(50, 20, np.random.default_rng(0))
    assert len(rows) == 20
    assert np.all(np.diff(rows) > 0)
    assert rows.min() >= 0
    assert rows.max() < 50
