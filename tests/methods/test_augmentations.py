"""The random views: against torchvision, in distribution, and drawn from nothing but the given generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reprbench.methods import augmentations
from reprbench.methods.augmentations import AUGMENTATIONS, Augmentation, altered, crop_sides, two_views
from scipy import stats
from torchvision import transforms
from torchvision.transforms import functional

SHAPES = [(1, 8, 8), (3, 32, 32), (2, 9, 14), (3, 96, 64)]
NOTHING = Augmentation(smallest_crop=1.0, flip=0.0, jittered=0.0, gray=0.0)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def images(count: int = 6, shape=(3, 32, 32)) -> torch.Tensor:
    return torch.rand(count, *shape, generator=seed(9))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_views_keep_shape_and_range_and_leave_the_images_alone(name, shape):
    x = images(6, shape)
    before = x.clone()
    for view in two_views(x, AUGMENTATIONS[name], seed()):
        assert view.shape == x.shape and view.is_contiguous(memory_format=torch.channels_last)
        assert view.min() >= 0 and view.max() <= 1
        assert not torch.equal(view, x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_depend_on_the_generator_and_nothing_else(name):
    x = images()
    one = two_views(x, AUGMENTATIONS[name], seed(1))
    torch.rand(7)
    state = torch.random.get_rng_state()
    again = two_views(x, AUGMENTATIONS[name], seed(1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    other = two_views(x, AUGMENTATIONS[name], seed(2))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(*one)


def test_each_image_has_draws_of_its_own():
    x = images(1).expand(8, -1, -1, -1)
    views = Augmentation()(x, seed())
    assert all(not torch.equal(views[0], view) for view in views[1:])


def test_what_has_no_chance_does_not_happen():
    torch.testing.assert_close(NOTHING(images(), seed()), images(), rtol=0, atol=1e-5)


def test_every_image_is_mirrored_or_none_or_half_of_them():
    x = images(400, (1, 8, 8))
    every = Augmentation(smallest_crop=1.0, flip=1.0, jittered=0.0)(x, seed())
    torch.testing.assert_close(every, x.flip(3), rtol=0, atol=1e-5)
    half = Augmentation(smallest_crop=1.0, flip=0.5, jittered=0.0)(x, seed())
    mirrored = ((half - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4).sum()
    assert ((half - x).abs().amax((1, 2, 3)) < 1e-4).sum() + mirrored == 400
    assert 160 < mirrored < 240


# -- crops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "smallest"), [((3, 32, 32), 0.08), ((1, 8, 8), 0.5), ((3, 96, 64), 0.2)])
def test_crops_are_distributed_as_those_of_torchvision(shape, smallest):
    # Large images, as torchvision rounds to whole pixels.
    large = (1, 20 * shape[1], 20 * shape[2])
    torch.manual_seed(0)
    theirs = np.array(
        [
            transforms.RandomResizedCrop.get_params(torch.empty(large), [smallest, 1], [3 / 4, 4 / 3])
            for _ in range(3000)
        ]
    )
    widths, heights = (side.numpy() for side in crop_sides(torch.empty(3000, *shape), smallest, seed()))
    assert stats.ks_2samp(theirs[:, 3] / large[2], widths).pvalue > 0.01
    assert stats.ks_2samp(theirs[:, 2] / large[1], heights).pvalue > 0.01
    assert stats.ks_2samp(theirs[:, 2] * theirs[:, 3] / (large[1] * large[2]), widths * heights).pvalue > 0.01


def test_a_crop_is_a_piece_of_the_image_scaled_to_its_size():
    """The interpolation of a plane is exact: what a view shows of it gives the edges of its crop."""
    size, count = 200, 500
    rows = ((torch.arange(size) + 0.5) / size)[:, None].expand(size, size)
    x = torch.stack([rows, rows.T]).expand(count, -1, -1, -1)
    views = Augmentation(smallest_crop=0.2, flip=0.5, jittered=0.0)(x, seed()).double()
    inner = size // 4, 3 * size // 4
    for channel, dim in ((0, 2), (1, 3)):
        line = views[:, channel].movedim(dim - 1, 1)
        first, last = line[:, inner[0], size // 2], line[:, inner[1], size // 2]
        side = (last - first) * size / (inner[1] - inner[0])
        torch.testing.assert_close(line[:, (inner[0] + inner[1]) // 2, 3], (first + last) / 2, rtol=0, atol=1e-4)
        edge = first - side * (inner[0] + 0.5) / size
        assert edge.min() > -1e-3 and (edge + side).max() < 1 + 1e-3
        assert ((side < 0).double().mean() - (0.5 if dim == 3 else 0)).abs() < 0.1
        # A crop that is smaller than the image is anywhere in it.
        place = torch.minimum(edge, edge + side) / (1 - side.abs())
        assert stats.kstest(place[side.abs() < 0.9].numpy(), "uniform").pvalue > 0.01


# -- colors, against torchvision --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_the_jitter_is_that_of_torchvision(channels, monkeypatch):
    x, draws = images(5, (channels, 16, 16)), iter([0.7, 1.3, 0.6, 0.15])
    drawn = []
    monkeypatch.setattr(
        augmentations, "uniform", lambda x, g, *limits: drawn.append(limits) or torch.full((len(x),), next(draws))
    )
    found = Augmentation(jitter=(0.4, 1.5, 0.8, 0.2), jittered=1.0)._jittered(x, seed())
    expected = functional.adjust_contrast(functional.adjust_brightness(x, 0.7), 1.3)
    if channels == 3:
        expected = functional.adjust_hue(functional.adjust_saturation(expected, 0.6), 0.15)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    limits = [(0.6, 1.4), (0.0, 2.5), (pytest.approx(0.2), 1.8), (-0.2, 0.2)]
    assert drawn == limits[: 4 if channels == 3 else 2]


def test_as_many_images_change_as_are_to():
    x = images(2000, (3, 8, 8))
    jittered = Augmentation(jittered=0.8)._jittered(x, seed())
    assert 1540 < ((jittered - x).abs().amax((1, 2, 3)) > 1e-3).sum() < 1660
    gray = Augmentation(gray=0.2)._without_color(x, seed())
    changed = (gray - x).abs().amax((1, 2, 3)) > 0
    assert 340 < changed.sum() < 460
    torch.testing.assert_close(gray[changed], functional.rgb_to_grayscale(x[changed], 3), rtol=0, atol=1e-3)
    solarized = Augmentation(solarize=0.2)._solarized(x, seed())
    changed = (solarized - x).abs().amax((1, 2, 3)) > 0
    assert 340 < changed.sum() < 460
    torch.testing.assert_close(solarized[changed], functional.solarize(x[changed], 0.5))


def test_the_blur_is_that_of_torchvision(monkeypatch):
    x = images(4, (3, 64, 96))
    monkeypatch.setattr(augmentations, "uniform", lambda x, g, *limits: torch.full((len(x),), 1.4))
    found = Augmentation(blur=1.0)._blurred(x, seed())
    torch.testing.assert_close(found, functional.gaussian_blur(x, [9, 7], [1.4, 1.4]), rtol=0, atol=1e-4)


def test_the_smallest_images_can_be_blurred():
    assert Augmentation(blur=1.0)(images(3, (1, 8, 8)), seed()).isfinite().all()


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_without_three_channels_keep_their_colors(channels):
    x = images(4, (channels, 8, 8))
    assert torch.equal(Augmentation(gray=1.0)._without_color(x, seed()), x)


# -- parameters -------------------------------------------------------------------------------------------------------


def test_what_is_given_alters_an_augmentation():
    assert altered(Augmentation()) == Augmentation()
    found = altered(Augmentation(), smallest_crop=0.3, flip=False, jitter=2.0, gray=0.0, blur=0.1)
    assert found == Augmentation(smallest_crop=0.3, flip=0.0, jitter=(0.8, 0.8, 0.8, 0.2), gray=0.0, blur=0.1)
    assert altered(AUGMENTATIONS["digits"][0], flip=True).flip == 0.5
    # Hues more than half a turn away are nearer by the other way round.
    assert altered(Augmentation(), jitter=9.0).jitter[3] == 0.5


def test_an_image_that_no_crop_fits_into_is_shown_whole():
    # Ten times as wide as high: no ratio of sides up to 4:3 has the area of the whole image.
    widths, heights = crop_sides(torch.empty(50, 1, 10, 100), 1.0, seed())
    assert torch.equal(widths, torch.ones(50)) and torch.equal(heights, torch.ones(50))
