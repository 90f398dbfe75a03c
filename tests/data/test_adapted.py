"""Images adapted to another shape: the stated rule, against Pillow and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprbench.data import load_dataset
from reprbench.data.adapted import adapted, adapted_pixels

RANDOM = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def test_a_single_channel_is_repeated():
    gray = pixels(5, 1, 9, 8)
    assert np.array_equal(adapted_pixels(gray, (3, 9, 8)), np.repeat(gray, 3, axis=1))


def test_luminance_is_pillows():
    color = pixels(4, 3, 10, 10)
    found = adapted_pixels(color, (1, 10, 10))[:, 0]
    for image, own in zip(color, found, strict=True):
        expected = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"), dtype=int)
        assert np.abs(own.astype(int) - expected).max() <= 1
    assert np.array_equal(adapted_pixels(np.full((1, 3, 8, 8), 77, np.uint8), (1, 8, 8)), np.full((1, 1, 8, 8), 77))


@pytest.mark.parametrize("side", [(8, 8), (12, 20), (40, 9)])
def test_sides_are_resized_as_by_pillows_bilinear_filter(side):
    original = pixels(3, 1, 24, 16)
    found = adapted_pixels(original, (1, *side))
    for image, own in zip(original[:, 0], found[:, 0], strict=True):
        expected = np.asarray(Image.fromarray(image).resize(side[::-1], Image.Resampling.BILINEAR), dtype=int)
        # Pillow rounds after each of the two passes.
        assert np.abs(own.astype(int) - expected).max() <= 1


def test_halving_a_checkerboard_gives_gray_and_not_an_alias():
    board = (255 * (np.indices((32, 32)).sum(0) % 2)).astype(np.uint8)[None, None]
    small = adapted_pixels(board, (1, 16, 16))[:, :, 2:-2, 2:-2]
    assert np.abs(small.astype(int) - 127.5).max() < 3


def test_what_has_the_shape_stays_as_it_is():
    dataset = load_dataset("digits", {}, data_dirs=[], cache_dir=Path())
    assert adapted(dataset, (1, 8, 8)) is dataset


def test_an_adapted_dataset_reads_like_images_and_has_a_digest_of_its_own():
    dataset = load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).limited(100)
    found = adapted(dataset, (3, 16, 12))
    assert found.train.shape == (3, 16, 12) and len(found.train) == 100
    assert found.unlabeled is found.train
    assert found.digest != dataset.digest != adapted(dataset, (3, 16, 16)).digest
    assert np.array_equal(found.folds[0], dataset.folds[0])
    rows = np.array([7, 3])
    expected = adapted_pixels(dataset.train.pixels(rows), (3, 16, 12))
    assert np.array_equal(found.train.pixels(rows), expected)
    assert np.array_equal(found.train.take(rows).take(np.array([1])).pixels(slice(None)), expected[1:])
    batches = np.concatenate([batch.numpy() for batch in found.train.batches(30)])
    whole = found.train.batch(slice(None))
    assert np.array_equal(batches, whole.numpy()) and whole.dtype.is_floating_point
    assert whole.min() >= 0 and whole.max() <= 1
