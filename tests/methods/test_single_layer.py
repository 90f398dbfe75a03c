from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from reprbench.methods import single_layer
from reprbench.methods.single_layer import SingleLayer, split_polarity

from reprbench import Images, UserError
from reprbench.learner import make


class Linear(SingleLayer):
    """The responses of random filters."""

    n_patches = 200
    n_maps = 5

    def learn(self, patches, run):
        # Writing into the patches must be harmless.
        patches.zero_()
        return torch.randn(self.n_maps, patches.shape[1], generator=run.generator("filters"))

    def activate(self, patches):
        return self.responses(patches)


def direct(learner: SingleLayer, image: np.ndarray, top: int, left: int) -> np.ndarray:
    """The responses at one position of an image (C, H, W) in [0, 1], in float64, by the definitions."""
    size, factor = learner.receptive_field, learner.downsample
    square = np.empty((size, size, len(image)))
    for row, column, channel in np.ndindex(square.shape):
        rows, columns = (slice(factor * at, factor * (at + 1)) for at in (top + row, left + column))
        square[row, column, channel] = 255 * image[channel, rows, columns].mean()
    patch = square.reshape(-1)
    patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + learner.contrast)
    whitened = learner.matrix.double().numpy() @ (patch - learner.mean.double().numpy())
    return learner.dictionary.double().numpy() @ whitened


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((1, 8, 8), {"receptive_field": 3}),
        ((3, 9, 11), {"receptive_field": 4, "stride": 2}),
        ((3, 13, 17), {"receptive_field": 3, "downsample": 2, "stride": 3, "contrast": 1, "whitening": 1}),
        ((2, 7, 7), {"receptive_field": 7}),
        ((3, 6, 9), {"receptive_field": 1}),
        # As wide as the image, so that patches at two positions share most of what is in memory.
        ((3, 10, 6), {"receptive_field": 6}),
        ((1, 6, 10), {"receptive_field": 6}),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_the_responses_at_every_position_are_those_of_a_direct_loop(shape, parameters, count):
    images = blobs(20, shape)
    learner, _ = fitted(Linear, images, **parameters)
    x = images.batch(slice(0, count))
    features = encoded(learner, x)["features"]
    size, stride, factor = learner.receptive_field, learner.stride, learner.downsample
    tops, lefts = (range(0, side // factor - size + 1, stride) for side in shape[1:])
    expected = np.empty((count, 5, len(tops), len(lefts)))
    for number, row, column in np.ndindex(count, len(tops), len(lefts)):
        image = x[number].double().numpy()
        expected[number, :, row, column] = direct(learner, image, tops[row], lefts[column])
    assert np.isfinite(expected).all()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(features.numpy() / max(scale, 1), expected / max(scale, 1), atol=1e-4)


def test_the_whitening_is_that_of_the_drawn_patches():
    learner, run = fitted(Linear, blobs(20, (3, 9, 11)), receptive_field=3)
    torch.testing.assert_close(learner.matrix, learner.matrix.T)
    assert learner.mean.shape == (27,) and learner.dictionary.shape == (5, 27)
    assert run.images_seen == 20
    patches = torch.rand(30, 27)
    torch.testing.assert_close(
        learner.responses(patches), learner.whitened(patches) @ learner.dictionary.T, rtol=1e-3, atol=1e-4
    )


class Recording(Linear):
    """Keeps the patches that it is to learn from."""

    n_patches = 2000

    def learn(self, patches, run):
        self.learned_from = patches.clone()
        return super().learn(patches, run)


def test_the_dictionary_is_learned_from_whitened_patches():
    noise = np.random.default_rng(0).integers(0, 256, (40, 1, 9, 9)).cumsum(2).cumsum(3) % 256
    epsilon = 0.01
    learner, _ = fitted(Recording, Images(noise.astype(np.uint8)), receptive_field=3, n_patches=2000, whitening=epsilon)
    patches = learner.learned_from.double().numpy()
    np.testing.assert_allclose(patches.mean(0), 0, atol=1e-5)
    # In the directions of the patches before whitening, whose variances λ its matrix shows, λ/(λ + ε) is left.
    scales = np.linalg.eigvalsh(learner.matrix.double().numpy())
    assert scales.max() > 1.5 * scales.min()
    np.testing.assert_allclose(
        np.linalg.eigvalsh(np.cov(patches.T)), np.sort(1 - epsilon * scales**2), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("shape", "parameters", "message"),
    [
        ((1, 8, 8), {"receptive_field": 9}, r"9×9 do not fit into images of 8×8 pixels; set receptive_field .* 8$"),
        ((3, 12, 7), {"receptive_field": 8}, r"images of 12×7 pixels; set receptive_field to at most 7$"),
        ((3, 28, 28), {"receptive_field": 10, "downsample": 3}, r"9×9 pixels after downsample=3; .* at most 9$"),
    ],
)
def test_patches_that_do_not_fit_are_refused_before_the_fit(shape, parameters, message):
    with pytest.raises(UserError, match=message):
        make(Linear, parameters, shape)
    make(Linear, {**parameters, "receptive_field": parameters["receptive_field"] - 1}, shape)


def test_a_single_gray_pixel_is_no_patch_and_a_single_colored_one_is():
    with pytest.raises(UserError, match="one gray pixel have no contrast; set receptive_field to at least 2"):
        make(Linear, {"receptive_field": 1}, (1, 8, 8))
    make(Linear, {"receptive_field": 1}, (3, 8, 8))
    make(Linear, {"receptive_field": 2}, (1, 8, 8))


@pytest.mark.parametrize(("shape", "field", "stride"), [((3, 96, 96), 6, 1), ((1, 12, 9), 4, 2), ((1, 8, 8), 8, 1)])
@pytest.mark.parametrize("numbers", [1, 5000, 2**24])
def test_a_batch_has_no_more_features_than_fit_into_memory(monkeypatch, shape, field, stride, numbers):
    monkeypatch.setattr(single_layer, "ENCODED_NUMBERS", numbers)
    learner = make(Linear, {"receptive_field": field, "stride": stride}, shape)
    features = 5 * int(np.prod([len(range(0, side - field + 1, stride)) for side in shape[1:]]))
    batch = learner.encode_batch_size
    assert 1 <= batch <= 256
    assert batch == 1 or batch * features <= numbers
    assert batch == 256 or (batch + 1) * features > numbers


@pytest.mark.parametrize("threshold", [0.0, 0.25])
def test_the_polarity_split_is_its_formula(threshold):
    responses = torch.linspace(-1, 1, 21).reshape(7, 3)
    before = responses.clone()
    features = split_polarity(responses, threshold)
    assert features.shape == (7, 6) and torch.equal(responses, before)
    for sample, unit in np.ndindex(7, 3):
        response = float(responses[sample, unit])
        assert features[sample, unit] == pytest.approx(max(response - threshold, 0), abs=1e-6)
        assert features[sample, 3 + unit] == pytest.approx(max(-response - threshold, 0), abs=1e-6)
    if threshold == 0:
        assert torch.equal(features[:, :3] - features[:, 3:], responses)
