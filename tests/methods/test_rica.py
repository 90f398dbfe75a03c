from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, interrupting
from pydantic import ValidationError
from reprbench.methods import kmeans
from reprbench.methods.linear_filters import unit_rows
from reprbench.methods.patches import second_moments
from reprbench.methods.rica import RICA, rica

from reprbench.run_context import Budget, Run
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"n_features": 12, "n_patches": 300, "receptive_field": 4, "iterations": 15}
sizes = pytest.mark.parametrize("n_features", [3, 5, 9], ids=["under", "complete", "overcomplete"])


def problem(n_features: int, n_patches: int = 23, size: int = 5):
    """Filters and correlated patches, in float64."""
    generator = np.random.default_rng(n_features)
    patches = generator.normal(size=(n_patches, size)) @ generator.normal(size=(size, size)) / 3 + 0.1
    return generator.normal(size=(n_features, size)), patches


def by_formula(weights: np.ndarray, patches: np.ndarray, sparsity: float) -> float:
    """The objective as METHODS has it, the mean over patches in the place of the sum, one patch after another."""
    rows = weights / np.sqrt((weights**2).sum(1, keepdims=True) + 1e-5)
    costs = [
        sparsity * np.sqrt((rows @ x) ** 2 + 1e-5).sum() + 0.5 * ((rows.T @ rows @ x - x) ** 2).sum() for x in patches
    ]
    return float(np.mean(costs))


def evaluated(weights: np.ndarray, patches: np.ndarray, sparsity: float, dtype=torch.float64):
    """The objective and its gradient by the module under test."""
    x, leaf = torch.from_numpy(patches).to(dtype), torch.from_numpy(weights).to(dtype).requires_grad_()
    value = rica(leaf, x, second_moments(x), sparsity)
    return float(value), leaf.grad.double().numpy()


@sizes
@pytest.mark.parametrize("sparsity", [0.0, 0.05, 2.0])
def test_the_objective_is_the_formula(n_features, sparsity):
    weights, patches = problem(n_features)
    value, _ = evaluated(weights, patches, sparsity)
    assert value == pytest.approx(by_formula(weights, patches, sparsity), rel=1e-12)


@sizes
@pytest.mark.parametrize("sparsity", [0.0, 0.05, 2.0])
def test_the_gradient_is_that_of_the_formula(n_features, sparsity):
    weights, patches = problem(n_features)
    _, gradient = evaluated(weights, patches, sparsity)
    np.testing.assert_allclose(gradient, differences(by_formula, weights, patches, sparsity), rtol=1e-6, atol=1e-8)
    assert np.abs(gradient).max() > 1e-3


def differences(objective, weights, *rest, step=1e-6):
    """Central finite differences of the objective in every weight."""
    slopes = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        moved = [weights.copy(), weights.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        slopes[place] = (objective(moved[0], *rest) - objective(moved[1], *rest)) / (2 * step)
    return slopes


def test_float32_gives_nearly_the_same():
    weights, patches = problem(9)
    value, gradient = evaluated(weights, patches, 0.05)
    rough_value, rough_gradient = evaluated(weights, patches, 0.05, torch.float32)
    assert rough_value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(rough_gradient, gradient, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 23])
def test_chunks_change_nothing(chunk, monkeypatch):
    weights, patches = problem(9)
    value, gradient = evaluated(weights, patches, 0.05)
    monkeypatch.setattr(kmeans, "CHUNK", chunk)
    in_chunks, gradient_in_chunks = evaluated(weights, patches, 0.05)
    assert in_chunks == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(gradient_in_chunks, gradient, atol=1e-13)


def test_the_norm_of_a_filter_does_not_matter():
    weights, patches = problem(5)
    scaled = weights * np.array([[3.0], [0.5], [10.0], [2.0], [1.0]])
    assert evaluated(scaled, patches, 0.05)[0] == pytest.approx(evaluated(weights, patches, 0.05)[0], rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_it_recovers_the_directions_of_independent_sources(seed):
    generator = np.random.default_rng(seed)
    mixing = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    patches = torch.from_numpy(generator.laplace(size=(4000, 4)) @ mixing.T).float()
    # White, as the sources are: what whitening leaves unknown is the rotation, whose columns are to be found.
    learner = RICA(n_features=4, iterations=200)
    start = learner.start(patches, Run(seed, Budget(epochs=1)))
    filters = learner.learn(patches, Run(seed, Budget(epochs=1)))
    assert matched(start, mixing) < 0.95
    assert matched(filters, mixing) > 0.99


def test_the_norms_of_the_patches_do_not_matter():
    generator = np.random.default_rng(0)
    patches = torch.from_numpy(generator.laplace(size=(300, 4))).float()
    # Powers of two, so that not a bit of a patch of unit norm changes.
    scaled = patches * 2.0 ** torch.from_numpy(generator.integers(-3, 4, (300, 1)))
    learner = RICA(n_features=6, iterations=10)
    one, other = (learner.learn(x, Run(0, Budget(epochs=1))) for x in (patches, scaled))
    assert torch.equal(one, other)


def matched(filters: torch.Tensor, mixing: np.ndarray) -> float:
    """The least |cosine| between a column of `mixing` and its filter, in the best assignment of one to the other."""
    cosines = np.abs(filters.double().numpy() @ mixing)
    return max(min(cosines[list(order), range(4)]) for order in itertools.permutations(range(4)))


def test_the_objective_falls_and_the_filters_have_unit_norm():
    learner, run = fitted(RICA, blobs(), **{**SMALL, "iterations": 55})
    values = [row["objective"] for row in run.history]
    assert len(values) == 6
    assert values == sorted(values, reverse=True) and values[-1] < 0.95 * values[0]
    torch.testing.assert_close(learner.dictionary.norm(dim=1), torch.ones(12), rtol=0, atol=1e-4)


def test_more_sparsity_makes_smaller_responses():
    responses = [
        encoded(fitted(RICA, blobs(), **SMALL, sparsity=sparsity)[0], blobs(seed=1).batch(slice(0, 9)))["features"]
        for sparsity in (0.0, 1.0)
    ]
    assert responses[1].mean() < 0.9 * responses[0].mean()


def test_an_image_is_encoded_by_the_sizes_of_the_responses_of_its_patches():
    images = blobs(shape=(3, 9, 11))
    learner, _ = fitted(RICA, images, **SMALL, stride=2)
    x = images.batch(slice(0, 2))
    features = encoded(learner, x)["features"]
    assert features.shape == (2, 12, 3, 4)
    filters, mean, matrix = (t.double().numpy() for t in (learner.dictionary, learner.mean, learner.matrix))
    pixels = 255 * x.double().numpy()
    for image, row, column in [(0, 0, 0), (0, 2, 3), (1, 1, 2)]:
        patch = pixels[image, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4].transpose(1, 2, 0).ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10)
        white = (patch - mean) @ matrix
        expected = np.abs(filters @ white) / np.linalg.norm(white)
        np.testing.assert_allclose(features[image, :, row, column], expected, atol=1e-4)


def test_flat_images_have_finite_features():
    learner, _ = fitted(RICA, blobs(), **SMALL)
    assert encoded(learner, torch.full((2, 1, 8, 8), 0.5))["features"].isfinite().all()


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, checkpoints):
    images, parameters = blobs(), {**SMALL, "iterations": 35}
    undisturbed, run = fitted(RICA, images, **parameters)
    with pytest.raises(KeyboardInterrupt):
        learner = RICA(**parameters)
        learner.build(images.shape)
        learner.fit(images, Run(0, Budget(epochs=1), folder=tmp_path, progress=interrupting(2)))
    resumed, second_run = fitted(RICA, images, folder=tmp_path, **parameters)
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert [row["objective"] for row in run.history] == [row["objective"] for row in second_run.history]
    assert run.images_seen == second_run.images_seen


def test_it_keeps_the_promises_of_a_learner():
    assert not [finding for finding in check_learner(RICA, SMALL) if finding.problem]


def test_unit_rows_are_those_of_the_paper():
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(rows[0], torch.tensor([3.0, 4.0], dtype=torch.float64) / (25 + 1e-5) ** 0.5)
    assert not rows[1].any()


@pytest.mark.parametrize("wrong", [{"sparsity": -0.1}, {"n_features": 0}, {"iterations": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        RICA(**wrong)
