"""Common corruptions against plain versions, closed forms, and the properties that all corruptions have."""

from __future__ import annotations

import colorsys
import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from skimage.filters import gaussian

from reprbench.data import corruptions
from reprbench.data.common_corruptions import COMMON, COMMON_KINDS, SEVERITIES
from reprbench.data.corruptions import CORRUPTIONS, corrupted
from reprbench.data.folds import named_generator
from reprbench.images import Images


def smooth(count: int = 12, shape: tuple[int, int, int] = (3, 32, 32)) -> np.ndarray:
    """Images with structure at several scales."""
    rng = np.random.default_rng(0)
    fields = [gaussian(rng.normal(size=(count, *shape)), sigma=(0, 0, sigma, sigma)) for sigma in (1, 3)]
    field = sum(one / one.std() for one in fields)
    return np.clip(128 + 45 * field, 0, 255).astype(np.uint8)


def data(pixels: np.ndarray, name: str = "toy") -> SimpleNamespace:
    return SimpleNamespace(name=name, test=Images(pixels))


def pixels(clean: np.ndarray, kind: str, severity: float, name: str = "toy") -> np.ndarray:
    return corrupted(data(clean, name), kind, severity).pixels(slice(None))


@pytest.mark.parametrize("kind", COMMON)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 20, 31)])
def test_every_severity_is_further_from_the_clean_image(kind, shape):
    clean = smooth(shape=shape)
    errors = [np.square(pixels(clean, kind, s).astype(float) - clean).mean() for s in SEVERITIES]
    assert errors == sorted(errors) and errors[-1] > errors[0]
    assert np.array_equal(pixels(clean, kind, 0), clean)


@pytest.mark.parametrize("kind", COMMON)
def test_an_image_depends_on_its_place_alone(monkeypatch, kind):
    clean = smooth()
    whole = pixels(clean, kind, 3)
    assert np.array_equal(pixels(clean, kind, 3), whole)
    assert np.array_equal(pixels(clean[:5], kind, 3), whole[:5])
    changed = clean.copy()
    changed[0] = 255 - changed[0]
    assert np.array_equal(pixels(changed, kind, 3)[1:], whole[1:])
    monkeypatch.setattr(corruptions, "BLOCK", 1)
    assert np.array_equal(pixels(clean, kind, 3), whole)


@pytest.mark.parametrize("kind", ["gaussian-noise", "shot-noise", "impulse-noise", "motion-blur"])
def test_random_ones_are_drawn_by_the_name_of_the_dataset(kind):
    assert not np.array_equal(pixels(smooth(), kind, 3), pixels(smooth(), kind, 3, name="other"))


def test_names_are_no_others():
    assert set(COMMON) == set(COMMON_KINDS) and not set(COMMON) & set(CORRUPTIONS)


# -- each of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.04), (5, 0.10)])
def test_gaussian_noise(severity, sigma):
    noise = pixels(np.full((20, 3, 32, 32), 128, np.uint8), "gaussian-noise", severity) / 255 - 128 / 255
    assert noise.std() == pytest.approx(sigma, rel=0.02) and abs(noise.mean()) < 4 * sigma / math.sqrt(noise.size)


@pytest.mark.parametrize(("severity", "photons"), [(1, 500), (5, 50)])
@pytest.mark.parametrize("value", [0, 1, 90, 200])
def test_shot_noise_is_poisson(severity, photons, value):
    found = pixels(np.full((20, 3, 32, 32), value, np.uint8), "shot-noise", severity).ravel()
    rate = photons * value / 255
    counts = np.arange(int(rate + 12 * math.sqrt(rate) + 12))
    expected = np.rint(np.clip(255 * counts / photons, 0, 255))
    probability = stats.poisson.pmf(counts, rate)
    mean = (probability * expected).sum()
    spread = math.sqrt((probability * (expected - mean) ** 2).sum())
    assert found.mean() == pytest.approx(mean, abs=5 * spread / math.sqrt(found.size) + 1e-9)
    assert found.std() == pytest.approx(spread, rel=0.05, abs=1e-9)
    assert set(found.tolist()) <= set(expected.astype(int).tolist())


@pytest.mark.parametrize(("severity", "share"), [(1, 0.01), (5, 0.07)])
def test_impulse_noise_hits_channels_on_their_own(severity, share):
    clean = np.full((60, 3, 32, 32), 99, np.uint8)
    found = pixels(clean, "impulse-noise", severity)
    hit = found != 99
    assert hit.mean() == pytest.approx(share, rel=0.1) and set(found[hit].tolist()) == {0, 255}
    assert (hit[:, 0] & hit[:, 1]).mean() == pytest.approx(share**2, rel=0.6)
    assert (found[hit] == 255).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.4), (3, 0.7), (5, 1.0)])
def test_gaussian_blur_is_scikit_images(severity, sigma):
    clean = smooth()
    expected = 255 * gaussian(clean / 255, sigma=(0, 0, sigma, sigma))
    assert np.abs(pixels(clean, "gaussian-blur", severity) - expected).max() <= 0.51


@pytest.mark.parametrize(("severity", "radius", "smoothing"), [(1, 0.3, 0.4), (4, 1, 0.2), (5, 1.5, 0.1)])
def test_defocus_blur_is_a_smoothed_disk(severity, radius, smoothing):
    # The answer to a bright point is the kernel itself.
    point = np.zeros((1, 1, 17, 17), np.uint8)
    point[0, 0, 8, 8] = 255
    found = pixels(point, "defocus-blur", severity)[0, 0]
    disk = np.array([[x * x + y * y <= radius**2 for x in range(-8, 9)] for y in range(-8, 9)], float)
    disk /= disk.sum()
    weights = [math.exp(-0.5 * (x / smoothing) ** 2) for x in (-1, 0, 1)]
    weights = [one / sum(weights) for one in weights]
    expected = sum(weights[a] * weights[b] * np.roll(disk, (a - 1, b - 1), (0, 1)) for a in range(3) for b in range(3))
    assert np.abs(found - 255 * expected).max() <= 0.51
    flat = np.full((2, 3, 9, 9), 140, np.uint8)
    assert np.array_equal(pixels(flat, "defocus-blur", severity), flat)


@pytest.mark.parametrize(("severity", "radius", "sigma"), [(1, 6, 1.0), (5, 9, 2.5)])
def test_motion_blur_smears_a_point_along_a_line_of_its_own(severity, radius, sigma):
    point = np.zeros((40, 1, 41, 41), np.uint8)
    point[:, 0, 20, 20] = 255
    found = pixels(point, "motion-blur", severity)[:, 0]
    angles = named_generator("toy test motion-blur").uniform(-45, 45, 40)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(2 * radius + 1)]
    for image, angle in zip(found, np.deg2rad(angles), strict=True):
        expected = np.zeros((41, 41))
        for step, weight in enumerate(weights):
            # Half of a kernel: the point is seen from the places to its left.
            row, column = (math.ceil(step * part - 0.5) for part in (math.sin(angle), math.cos(angle)))
            expected[20 - row, 20 - column] += weight / sum(weights)
        assert np.abs(image - 255 * expected).max() <= 0.51
    assert angles.min() < -30 and angles.max() > 30
    flat = np.full((3, 3, 16, 16), 77, np.uint8)
    assert np.array_equal(pixels(flat, "motion-blur", severity), flat)


def test_brightness_is_that_of_hsv():
    clean = smooth(2)
    clean[0, :, 0, 0], clean[0, :, 0, 1] = 0, (255, 10, 10)
    found = pixels(clean, "brightness", 4)
    rows = (images.transpose(0, 2, 3, 1).reshape(-1, 3) for images in (clean, found))
    for image, other in zip(*rows, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image / 255))
        expected = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1)))
        assert np.abs(other - expected).max() <= 0.51
    gray = pixels(np.array([[[[0, 100, 250]] * 3]], np.uint8), "brightness", 4)
    assert gray[0, 0, 0].tolist() == [51, 151, 255]


@pytest.mark.parametrize(("severity", "kept"), [(1, 0.75), (5, 0.15)])
def test_contrast_keeps_the_mean_and_shrinks_the_spread(severity, kept):
    clean = smooth()
    found = pixels(clean, "contrast", severity).astype(float)
    assert np.abs(found.mean((2, 3)) - clean.mean((2, 3))).max() < 0.5
    assert found.std((2, 3)) == pytest.approx(kept * clean.std((2, 3)), rel=0.02)


@pytest.mark.parametrize(("severity", "side"), [(1, 30), (5, 20)])
def test_pixelated_images_are_pillows(severity, side):
    clean = smooth(3)
    for image, found in zip(clean, pixels(clean, "pixelate", severity), strict=True):
        small = Image.fromarray(image.transpose(1, 2, 0)).resize((side, side), Image.Resampling.BOX)
        assert np.array_equal(np.asarray(small.resize((32, 32), Image.Resampling.BOX)).transpose(2, 0, 1), found)


@pytest.mark.parametrize(("severity", "quality"), [(1, 80), (5, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_of_the_stated_quality(severity, quality, channels):
    clean = smooth(3, (channels, 32, 32))
    for image, found in zip(clean, pixels(clean, "jpeg", severity), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(buffer))
        assert np.array_equal(decoded[None] if channels == 1 else decoded.transpose(2, 0, 1), found)
