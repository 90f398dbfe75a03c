from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from reprbench.methods.hand_made import HOG, ColorHistogram
from skimage.feature import hog

from reprbench.errors import UserError
from reprbench.features import View
from reprbench.learner import make


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 40, 56)])
def test_hog_is_that_of_scikit_image(shape):
    images = blobs(3, shape)
    learner, run = fitted(HOG, images)
    found = encoded(learner, images.batch(slice(None)))["blocks"]
    cell = learner._cell
    for image, one in zip(images.batch(slice(None)).double().numpy(), found, strict=True):
        expected = hog(image, 9, (cell, cell), (2, 2), channel_axis=0)
        np.testing.assert_allclose(one.permute(1, 2, 0).flatten(), expected, atol=1e-6)
    assert run.images_seen == 0


def test_the_direction_of_an_edge_decides_and_not_its_contrast():
    rows = torch.arange(16).float()[:, None].expand(16, 16) / 16
    learner = make(HOG, {"cell": 8, "block": 1, "orientations": 4}, (1, 16, 16))
    steep, flat, turned = (encoded(learner, one[None, None])["blocks"] for one in (rows, rows / 2, rows.T))
    torch.testing.assert_close(steep, flat, rtol=1e-3, atol=1e-3)
    assert steep[0, :, 0, 0].argmax() != turned[0, :, 0, 0].argmax()


@pytest.mark.parametrize(
    ("shape", "cell"), [((1, 4, 9), 2), ((1, 8, 8), 4), ((3, 28, 28), 4), ((3, 32, 32), 4), ((3, 96, 96), 12)]
)
def test_the_size_of_cells_follows_the_image(shape, cell):
    assert make(HOG, {}, shape)._cell == cell


def test_blocks_that_do_not_fit():
    with pytest.raises(UserError, match="2×2 cells of 8 pixels does not fit into images of 12×12; set cell or block"):
        make(HOG, {"cell": 8}, (1, 12, 12))
    with pytest.raises(UserError, match="does not fit"):
        make(HOG, {"block": 9}, (1, 8, 8))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_histogram_is_that_of_numpy(channels):
    images = blobs(4, (channels, 9, 11))
    learner, run = fitted(ColorHistogram, images, bins=4)
    found = encoded(learner, images.batch(slice(None)))["histogram"]
    for image, one in zip(images.pixels(slice(None)) / 255, found, strict=True):
        expected, _ = np.histogramdd(image.reshape(channels, -1).T, bins=4, range=[(0, 1)] * channels)
        np.testing.assert_allclose(one, expected.flatten() / 99, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(4))
    assert run.images_seen == 0
    assert View().matrix({"histogram": found}).shape == (4, 4**channels)


def test_white_is_in_the_last_bin_and_where_a_pixel_is_does_not_matter():
    learner = make(ColorHistogram, {}, (3, 4, 4))
    x = torch.rand(1, 3, 4, 4)
    x[:, :, 0, 0] = 1
    one = encoded(learner, x)["histogram"]
    assert one[0, -1] >= 1 / 16
    assert torch.equal(one, encoded(learner, x.flatten(2).flip(2).unflatten(2, (4, 4)))["histogram"])
