"""Views of images: what each transformation does, and that all methods see the same ones."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from reprbench.data.augmented import TRANSFORMATIONS, Transformation, augmented
from reprbench.images import Images

PIXELS = np.random.default_rng(0).integers(60, 160, (40, 3, 16, 16), dtype=np.uint8)
IMAGES = Images(PIXELS)


def changed(*kinds: Transformation, number: int = 0, name: str = "toy", images: Images = IMAGES) -> np.ndarray:
    return augmented(images, kinds, name, number).pixels(slice(None)).astype(int)


def test_every_transformation_can_be_named_and_changes_images():
    assert set(TRANSFORMATIONS) == set(get_args(Transformation))
    for kind in TRANSFORMATIONS:
        assert (changed(kind) != PIXELS).any()


@pytest.mark.parametrize("kind", TRANSFORMATIONS)
def test_views_depend_on_their_number_and_the_data_alone(kind):
    assert np.array_equal(changed(kind), changed(kind))
    assert (changed(kind) != changed(kind, number=1)).any()
    assert (changed(kind) != changed(kind, name="other")).any()


def test_a_shift_moves_by_at_most_an_eighth_and_repeats_the_border():
    found = set()
    for image, moved in zip(PIXELS, changed("shift"), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="edge")
        windows = {(y, x): padded[:, 2 - y : 18 - y, 2 - x : 18 - x] for y in range(-2, 3) for x in range(-2, 3)}
        (offset,) = [at for at, window in windows.items() if np.array_equal(window, moved)]
        found.add(offset)
    assert {y for y, _ in found} == {x for _, x in found} == {-2, -1, 0, 1, 2}


def test_small_images_move_by_a_pixel_and_their_sides_may_differ():
    images = Images(PIXELS[:, :, :5, :7])
    moved = changed("shift", images=images)
    assert moved.shape == (40, 3, 5, 7) and (moved != PIXELS[:, :, :5, :7]).any()


def test_a_flip_mirrors_about_half_of_the_images():
    mirrored = [np.array_equal(one, image[:, :, ::-1]) for one, image in zip(changed("flip"), PIXELS, strict=True)]
    same = [np.array_equal(one, image) for one, image in zip(changed("flip"), PIXELS, strict=True)]
    assert np.logical_xor(mirrored, same).all() and 10 < sum(mirrored) < 30


def test_brightness_multiplies_by_one_factor_and_contrast_keeps_the_mean():
    factors = changed("brightness").mean((1, 2, 3)) / PIXELS.mean((1, 2, 3))
    assert 0.6 <= factors.min() < 0.7 and 1.3 < factors.max() <= 1.41
    contrast = changed("contrast")
    assert contrast.mean((1, 2, 3)) == pytest.approx(PIXELS.mean((1, 2, 3)), abs=0.1)
    factors = contrast.std((1, 2, 3)) / PIXELS.std((1, 2, 3))
    assert 0.59 <= factors.min() < 0.7 and 1.3 < factors.max() <= 1.41


def test_noise_has_its_standard_deviation():
    assert (changed("gaussian") - PIXELS).std() == pytest.approx(255 * 0.05, rel=0.02)


def test_values_stay_in_their_range():
    bright = Images(np.full((40, 1, 8, 8), 250, np.uint8))
    assert changed("brightness", "gaussian", images=bright).max() == 255
