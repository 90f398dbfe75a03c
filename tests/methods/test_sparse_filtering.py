from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, interrupting
from reprbench.methods import kmeans
from reprbench.methods.patches import second_moments
from reprbench.methods.sparse_filtering import SparseFiltering, feature_norms, sparse_filtering
from torch.autograd import gradcheck

from reprbench.run_context import Budget, Run
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"n_features": 12, "n_patches": 300, "receptive_field": 4, "iterations": 15}
sizes = pytest.mark.parametrize("n_features", [3, 5, 9], ids=["under", "complete", "overcomplete"])


def problem(n_features: int, n_patches: int = 23, size: int = 5):
    """Filters of different norms, one of them 0 so that the softening shows, and correlated patches, in float64."""
    generator = np.random.default_rng(n_features)
    patches = generator.normal(size=(n_patches, size)) @ generator.normal(size=(size, size)) + 0.1
    weights = generator.normal(size=(n_features, size)) * generator.uniform(0.1, 3, size=(n_features, 1))
    return weights, patches


def features_by_formula(weights: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """The matrix (K, n) of normalized features, as METHODS has it."""
    soft = np.sqrt((weights @ patches.T) ** 2 + 1e-8)
    equal = soft / np.sqrt((soft**2).sum(1, keepdims=True))
    return equal / np.sqrt((equal**2).sum(0, keepdims=True))


def by_formula(weights: np.ndarray, patches: np.ndarray) -> float:
    """The L1 sum, divided by the number of patches."""
    return float(np.abs(features_by_formula(weights, patches)).sum() / len(patches))


def evaluated(weights: np.ndarray, patches: np.ndarray, dtype=torch.float64):
    """The objective and its gradient by the module under test."""
    x, leaf = torch.from_numpy(patches).to(dtype), torch.from_numpy(weights).to(dtype).requires_grad_()
    value = sparse_filtering(leaf, x, second_moments(x))
    return float(value), leaf.grad.double().numpy()


@sizes
def test_the_objective_is_the_formula(n_features):
    weights, patches = problem(n_features)
    assert evaluated(weights, patches)[0] == pytest.approx(by_formula(weights, patches), rel=1e-12)


def test_the_objective_is_the_formula_where_the_softening_matters():
    weights, patches = problem(5)
    weights[1] = 0
    weights[3] *= 1e-4
    assert evaluated(weights, patches)[0] == pytest.approx(by_formula(weights, patches), rel=1e-9)


@sizes
def test_the_gradient_is_that_of_the_formula(n_features):
    weights, patches = problem(n_features)
    _, gradient = evaluated(weights, patches)
    slopes = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        values = []
        for step in (1e-6, -1e-6):
            moved = weights.copy()
            moved[place] += step
            values.append(by_formula(moved, patches))
        slopes[place] = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)
    assert np.abs(gradient).max() > 1e-2


def test_the_gradient_is_at_right_angles_to_every_filter():
    # The objective does not depend on the norm of a filter, but for the softening: so the paths through the responses
    # and through the norms cancel in that direction.
    weights, patches = problem(9)
    _, gradient = evaluated(weights, patches)
    along, across = np.abs((gradient * weights).sum(1)), np.linalg.norm(gradient, axis=1)
    assert (along < 1e-5 * across * np.linalg.norm(weights, axis=1)).all()


def test_float32_gives_nearly_the_same():
    weights, patches = problem(9)
    value, gradient = evaluated(weights, patches)
    rough_value, rough_gradient = evaluated(weights, patches, torch.float32)
    assert rough_value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(rough_gradient, gradient, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("chunk", [1, 7, 23])
def test_chunks_change_nothing(chunk, monkeypatch):
    weights, patches = problem(9)
    value, gradient = evaluated(weights, patches)
    monkeypatch.setattr(kmeans, "CHUNK", chunk)
    in_chunks, gradient_in_chunks = evaluated(weights, patches)
    assert in_chunks == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(gradient_in_chunks, gradient, atol=1e-12 * np.abs(gradient).max())


def test_the_norms_are_root_mean_squares_and_do_not_depend_on_the_number_of_patches():
    weights, patches = problem(5)
    soft = np.sqrt((weights @ patches.T) ** 2 + 1e-8)
    for repeated in (patches, np.tile(patches, (4, 1))):
        norms = feature_norms(torch.from_numpy(weights), second_moments(torch.from_numpy(repeated)))
        np.testing.assert_allclose(norms, np.sqrt((soft**2).mean(1)), rtol=1e-12)
    assert gradcheck(
        lambda w: feature_norms(w, second_moments(torch.from_numpy(patches))),
        torch.from_numpy(weights).requires_grad_(),
    )


def test_the_objective_falls_and_the_features_get_sparser():
    generator = np.random.default_rng(0)
    patches = torch.from_numpy(generator.laplace(size=(2000, 8))).float()
    learner, run = SparseFiltering(n_features=8, iterations=95), Run(0, Budget(epochs=1))
    start = learner.start(patches, run)
    filters = learner.learn(patches, Run(0, Budget(epochs=1)))
    first, last = (by_formula(w.double().numpy(), patches.double().numpy()) for w in (start, filters))
    assert last < 0.97 * first
    assert last == pytest.approx(evaluated(filters.double().numpy(), patches.double().numpy())[0])


def test_the_logged_objective_falls():
    _, run = fitted(SparseFiltering, blobs(), **{**SMALL, "iterations": 55})
    values = [row["objective"] for row in run.history]
    assert len(values) == 6
    assert values == sorted(values, reverse=True) and values[-1] < 0.95 * values[0]
    # The L1 norm of K numbers with the L2 norm 1.
    assert all(1 <= value <= np.sqrt(12) for value in values)


def test_training_patches_are_encoded_as_the_objective_has_them():
    patches = torch.from_numpy(np.random.default_rng(0).laplace(size=(500, 8))).float()
    learner = SparseFiltering(n_features=6, iterations=20)
    learner.mean, learner.matrix = torch.zeros(8), torch.eye(8)
    learner.dictionary = learner.learn(patches.clone(), Run(0, Budget(epochs=1)))
    soft = ((patches @ learner.dictionary.T).double() ** 2 + 1e-8).sqrt()
    torch.testing.assert_close(learner.norms, soft.square().mean(0).sqrt().float())
    expected = features_by_formula(learner.dictionary.double().numpy(), patches.double().numpy()).T
    np.testing.assert_allclose(learner.activate(patches), expected, atol=1e-5)
    # A part of them is encoded alike: what it is divided by is that of all.
    np.testing.assert_allclose(learner.activate(patches[:3]), expected[:3], atol=1e-5)


def test_new_images_are_encoded_with_the_norms_of_the_training_patches():
    images = blobs(shape=(3, 9, 11))
    learner, _ = fitted(SparseFiltering, images, **SMALL, stride=2)
    x = blobs(shape=(3, 9, 11), seed=1).batch(slice(0, 2))
    features = encoded(learner, x)["features"]
    assert features.shape == (2, 12, 3, 4)
    filters, mean, matrix, norms = (
        t.double().numpy() for t in (learner.dictionary, learner.mean, learner.matrix, learner.norms)
    )
    pixels = 255 * x.double().numpy()
    for image, row, column in [(0, 0, 0), (0, 2, 3), (1, 1, 2)]:
        patch = pixels[image, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4].transpose(1, 2, 0).ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10)
        soft = np.sqrt((filters @ ((patch - mean) @ matrix)) ** 2 + 1e-8) / norms
        np.testing.assert_allclose(features[image, :, row, column], soft / np.linalg.norm(soft), atol=1e-4)
    learner.norms = learner.norms * torch.linspace(1, 2, 12)
    assert not torch.allclose(encoded(learner, x)["features"], features)


def test_the_features_of_every_patch_have_unit_norm():
    learner, _ = fitted(SparseFiltering, blobs(), **SMALL)
    x = torch.cat([blobs(seed=1).batch(slice(0, 3)), torch.full((1, 1, 8, 8), 0.5)])
    norms = encoded(learner, x)["features"].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, checkpoints):
    images, parameters = blobs(), {**SMALL, "iterations": 35}
    undisturbed, run = fitted(SparseFiltering, images, **parameters)
    with pytest.raises(KeyboardInterrupt):
        learner = SparseFiltering(**parameters)
        learner.build(images.shape)
        learner.fit(images, Run(0, Budget(epochs=1), folder=tmp_path, progress=interrupting(2)))
    resumed, second_run = fitted(SparseFiltering, images, folder=tmp_path, **parameters)
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert set(one) == {"mean", "matrix", "dictionary", "norms"}
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert [row["objective"] for row in run.history] == [row["objective"] for row in second_run.history]


def test_it_keeps_the_promises_of_a_learner():
    assert not [finding for finding in check_learner(SparseFiltering, SMALL) if finding.problem]


def test_its_iterations_are_the_authors():
    assert SparseFiltering().parameters()["iterations"] == 200
