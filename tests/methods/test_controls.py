from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from reprbench.methods.controls import PCA, RawPixels, Untrained
from sklearn import decomposition
from torch import nn

from reprbench import Images


def test_raw_pixels_are_the_pixels():
    images = blobs(4, (3, 9, 11))
    x = images.batch(slice(0, 4))
    (pixels,) = encoded(fitted(RawPixels, images)[0], x).values()
    assert np.array_equal(np.rint(pixels.numpy() * 255), images.pixels(slice(0, 4)).reshape(4, -1))


@pytest.mark.parametrize("count", [400, 40])
@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_the_singular_value_decomposition(count, whiten):
    images = blobs(count)
    learner, _ = fitted(PCA, images, n_components=10, whiten=whiten)
    x = images.batch(slice(0, count)).double().flatten(1).numpy()
    left, singular, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    expected = left[:, :10] * (np.sqrt(count - 1) if whiten else singular[:10])
    (found,) = encoded(learner, images.batch(slice(0, count))).values()
    # A direction's sign is free.
    np.testing.assert_allclose(found.abs().numpy(), np.abs(expected), atol=1e-3 * np.abs(expected).max())


def test_pca_has_no_more_components_than_the_images_have_rank():
    base = np.random.default_rng(0).integers(0, 20, (3, 1, 8, 8))
    weights = np.random.default_rng(1).integers(0, 4, (50, 3))
    images = Images(np.einsum("ni,ichw->nchw", weights, base).astype(np.uint8))
    learner, _ = fitted(PCA, images, whiten=True)
    (found,) = encoded(learner, images.batch(slice(0, 50))).values()
    assert found.shape == (50, 3)
    np.testing.assert_allclose(np.cov(found.numpy().T), np.eye(3), atol=1e-4)


def test_pca_reads_no_more_images_than_it_says(monkeypatch):
    images = blobs(300)
    assert fitted(PCA, images, fit_images=100)[1].images_seen == 100
    monkeypatch.setattr("reprbench.images.VECTOR_BYTES", 8 * 64 * 50)
    assert fitted(PCA, images)[1].images_seen == 50


def test_the_untrained_encoder_measures_statistics_and_nothing_else():
    images = blobs(200)
    learner, run = fitted(Untrained, images, calibration_images=150)
    bare, _ = fitted(Untrained, blobs(150, seed=5))
    assert run.images_seen == 150
    for one, other in zip(learner.encoder.parameters(), bare.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_statistics_of_the_untrained_encoder_are_means_over_all_batches(monkeypatch):
    images = blobs(100)
    monkeypatch.setattr(Untrained, "encode_batch_size", 50)
    learner, _ = fitted(Untrained, images)
    stem = learner.encoder.stem
    with torch.no_grad():
        responses = nn.functional.conv2d(images.batch(slice(0, 100)), stem.conv.weight, padding=1)
    # All batches have 25 images, so that the mean of their means is the mean.
    torch.testing.assert_close(stem.running_mean, responses.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_an_odd_image_over_makes_no_batch_of_its_own(monkeypatch):
    monkeypatch.setattr(Untrained, "encode_batch_size", 8)
    learner, run = fitted(Untrained, blobs(9))
    assert run.images_seen == 9
    assert all(buffer.isfinite().all() for buffer in learner.encoder.buffers())


def test_raw_pixels_reconstruct_and_decode_to_the_images_themselves():
    images = blobs(4, (3, 9, 11))
    x = images.batch(slice(0, 4))
    learner, _ = fitted(RawPixels, images)
    (pixels,) = encoded(learner, x).values()
    assert torch.equal(learner.reconstruct(x), x)
    assert torch.equal(learner.decode(pixels), x)


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_reconstructs_as_scikit_learn_does(whiten):
    images = blobs(200)
    x = images.batch(slice(0, 200))
    learner, _ = fitted(PCA, images, n_components=6, whiten=whiten)
    theirs = decomposition.PCA(6, svd_solver="full", whiten=whiten).fit(x.flatten(1).double().numpy())
    expected = theirs.inverse_transform(theirs.transform(x.flatten(1).double().numpy())).reshape(x.shape).clip(0, 1)
    np.testing.assert_allclose(learner.reconstruct(x).numpy(), expected, atol=1e-4)
    (code,) = encoded(learner, x).values()
    assert torch.equal(learner.decode(code), learner.reconstruct(x))
