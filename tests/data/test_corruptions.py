"""Corruptions: the same for everybody, nested over levels, and of the stated size."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from reprbench.data import corruptions
from reprbench.data.corruptions import CORRUPTIONS, corrupted
from reprbench.images import Images

LEVELS = (0.1, 0.25, 0.5, 0.9)


def data(count: int = 60, shape: tuple[int, int, int] = (3, 16, 20), name: str = "toy") -> SimpleNamespace:
    """Random images without black or white pixels; those of a larger count begin with those of a smaller."""
    pixels = np.random.default_rng(0).integers(1, 255, (count, *shape), dtype=np.uint8)
    return SimpleNamespace(name=name, test=Images(pixels))


def pixels(dataset: SimpleNamespace, kind: str, level: float) -> np.ndarray:
    return corrupted(dataset, kind, level).pixels(slice(None))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_level_0_is_the_clean_split_and_other_levels_leave_it_alone(kind):
    dataset = data()
    before = dataset.test.pixels(slice(None))
    assert corrupted(dataset, kind, 0.0) is dataset.test
    assert not np.array_equal(pixels(dataset, kind, 0.3), before)
    assert np.array_equal(dataset.test.pixels(slice(None)), before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_an_image_depends_on_its_place_alone_not_on_blocks_or_the_length_of_the_split(monkeypatch, kind, level):
    whole = pixels(data(), kind, level)
    assert np.array_equal(pixels(data(), kind, level), whole)
    assert np.array_equal(pixels(data(23), kind, level), whole[:23])
    monkeypatch.setattr(corruptions, "BLOCK", 7 * 3 * 16 * 20)
    assert np.array_equal(pixels(data(), kind, level), whole)
    monkeypatch.setattr(corruptions, "BLOCK", 1)
    assert np.array_equal(pixels(data(), kind, level), whole)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_draws_are_named_after_the_dataset(kind):
    assert not np.array_equal(pixels(data(name="toy"), kind, 0.3), pixels(data(name="other"), kind, 0.3))


@pytest.mark.parametrize("kind", ["mask", "salt-and-pepper", "occlusion"])
def test_what_a_level_changes_a_higher_level_changes_alike(kind):
    clean = data().test.pixels(slice(None))
    copies = [pixels(data(), kind, level) for level in (0.05, *LEVELS, 1.0)]
    for lower, higher in pairwise(copies):
        changed = lower != clean
        assert np.array_equal(lower[changed], higher[changed])
        assert (higher != clean).sum() > changed.sum()
    assert (copies[-1] != clean).all()


def test_noise_of_a_higher_level_is_the_same_noise_magnified():
    dataset = SimpleNamespace(name="toy", test=Images(np.full((20, 3, 16, 20), 128, dtype=np.uint8)))
    low, high = (pixels(dataset, "gaussian", level).astype(float) - 128 for level in (0.05, 0.1))
    # Rounding to whole pixel values moves each by at most a half.
    inside = np.abs(high) < 127
    assert np.abs(2 * low - high)[inside].max() <= 1.5


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["mask", "salt-and-pepper"])
def test_the_share_of_corrupted_pixels_is_the_level_and_channels_go_together(kind, level):
    dataset = data(200)
    changed = pixels(dataset, kind, level) != dataset.test.pixels(slice(None))
    assert (changed == changed[:, :1]).all()
    hit = changed[:, 0]
    # Within four standard deviations of a binomial share.
    assert abs(hit.mean() - level) < 4 * np.sqrt(level * (1 - level) / hit.size)
    # No place of an image is preferred: its share over 200 images varies as a binomial one.
    assert hit.mean(0).std() == pytest.approx(np.sqrt(level * (1 - level) / 200), rel=0.2)


def test_masked_pixels_are_black_and_salt_is_as_frequent_as_pepper():
    dataset = data(200)
    clean = dataset.test.pixels(slice(None))
    masked = pixels(dataset, "mask", 0.4)
    assert (masked[masked != clean] == 0).all()
    noisy = pixels(dataset, "salt-and-pepper", 0.4)
    values = noisy[:, 0][noisy[:, 0] != clean[:, 0]]
    assert set(values.tolist()) == {0, 255}
    assert abs((values == 255).mean() - 0.5) < 4 * 0.5 / np.sqrt(values.size)


def test_gaussian_noise_has_the_standard_deviation_of_its_level_in_each_channel_alone():
    gray = SimpleNamespace(name="toy", test=Images(np.full((100, 3, 16, 20), 128, dtype=np.uint8)))
    noise = (pixels(gray, "gaussian", 0.1).astype(float) - 128) / 255
    assert noise.std() == pytest.approx(0.1, rel=0.01)
    assert abs(noise.mean()) < 4 * 0.1 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.03


def test_noise_is_clipped_where_it_leaves_the_range():
    black = SimpleNamespace(name="toy", test=Images(np.zeros((100, 1, 16, 16), dtype=np.uint8)))
    noisy = pixels(black, "gaussian", 0.1)
    assert (noisy == 0).mean() == pytest.approx(0.5, abs=0.02)
    # Of a normal variable, clipped at 0, the mean is σ/√(2π).
    assert noisy.mean() / 255 == pytest.approx(0.1 / np.sqrt(2 * np.pi), rel=0.03)


@pytest.mark.parametrize("level", LEVELS)
def test_an_occlusion_is_one_black_block_of_the_given_area_inside_the_image(level):
    dataset = data(300, (1, 16, 16))
    black = pixels(dataset, "occlusion", level)[:, 0] == 0
    side = round(16 * np.sqrt(level))
    corners = set()
    for image in black:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert len(rows) == len(columns) == side and image.sum() == side**2
        corners.add((rows[0], columns[0]))
    assert abs(side**2 / 256 - level) <= (2 * side + 1) / 2 / 256
    # Every place is reached, or nearly every one where there are many.
    assert len(corners) > 0.6 * min(300, (17 - side) ** 2)


def test_an_occlusion_has_the_proportions_of_the_image():
    black = pixels(data(5, (1, 12, 24)), "occlusion", 0.25)[:, 0] == 0
    assert all(image.any(1).sum() == 6 and image.any(0).sum() == 12 for image in black)


def test_full_occlusion_and_masking_leave_nothing():
    for kind in ("mask", "occlusion"):
        assert not pixels(data(), kind, 1.0).any()


@pytest.mark.parametrize("level", [0.0, 0.3])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_first_images_alone_are_the_first_of_all(kind, level):
    few = corrupted(data(), kind, level, count=7).pixels(slice(None))
    assert np.array_equal(few, pixels(data(), kind, level)[:7])
    assert len(corrupted(data(5), kind, level, count=7)) == 5


def test_levels_are_labeled_in_percent_or_as_a_standard_deviation():
    labels = {kind: corruption.label(0.25) for kind, corruption in CORRUPTIONS.items()}
    assert {kind: label for kind, label in labels.items() if kind != "gaussian"} == {
        "mask": "25 % off",
        "salt-and-pepper": "25 % hit",
        "occlusion": "25 % covered",
    }
    assert "0.25" in labels["gaussian"]
