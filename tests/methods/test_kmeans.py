from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from pydantic import ValidationError
from reprbench.methods import kmeans
from reprbench.methods.kmeans import KMeans, RandomPatches, lloyd_step, random_patches, triangle
from reprbench.methods.patches import every_patch
from sklearn import cluster

from reprbench.run_context import Budget, Run
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"receptive_field": 4, "n_centroids": 7, "n_patches": 150}


def clouds(count: int = 300, size: int = 5, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    centers = 3 * generator.normal(size=(6, size))
    return torch.from_numpy(centers[generator.integers(6, size=count)] + generator.normal(size=(count, size))).float()


def lloyd(patches: torch.Tensor, centroids: torch.Tensor, iterations: int) -> tuple[torch.Tensor, list[float]]:
    """The centroids after `iterations`, and the inertia before each and after the last."""
    inertias = []
    for _ in range(iterations):
        centroids, inertia, _ = lloyd_step(patches, centroids)
        inertias.append(inertia)
    return centroids, [*inertias, lloyd_step(patches, centroids)[1]]


def scikit(patches: torch.Tensor, centroids: torch.Tensor, iterations: int) -> cluster.KMeans:
    made = cluster.KMeans(
        len(centroids), init=centroids.double().numpy(), n_init=1, max_iter=iterations, algorithm="lloyd", tol=0
    )
    return made.fit(patches.double().numpy())


def distances(patches: torch.Tensor, centroids: torch.Tensor) -> np.ndarray:
    differences = patches.double().numpy()[:, None] - centroids.double().numpy()
    return np.sqrt((differences**2).sum(2))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("iterations", [1, 2, 5, 40])
@pytest.mark.parametrize("count", [1, 4, 25])
def test_the_centroids_are_those_of_scikit_learn(iterations, count):
    patches = clouds()
    begin = patches[:count] + 0.01
    centroids, inertias = lloyd(patches, begin, iterations)
    expected = scikit(patches, begin, iterations)
    np.testing.assert_allclose(centroids.numpy(), expected.cluster_centers_, rtol=1e-4, atol=1e-4)
    assert inertias[-1] == pytest.approx(expected.inertia_ / len(patches), rel=1e-5)
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(inertias))


@pytest.mark.parametrize("empty", [1, 3])
def test_a_centroid_without_patches_goes_to_the_farthest_as_in_scikit_learn(empty):
    patches = clouds()
    begin = torch.cat([patches[:4], torch.full((empty, 5), 100.0) + torch.arange(empty)[:, None]])
    following, inertia, moved = lloyd_step(patches, begin)
    assert moved == empty
    assert inertia == pytest.approx((distances(patches, begin).min(1) ** 2).mean(), rel=1e-5)
    expected = scikit(patches, begin, 1).cluster_centers_
    # Which of several moved centroids takes which patch is open.
    assert np.abs(np.sort(following.numpy(), axis=0) - np.sort(expected, axis=0)).max() < 1e-4
    farthest = distances(patches, begin).min(1).argsort()[-empty:]
    assert distances(patches[farthest], following[4:]).min(1).max() < 1e-6
    _, inertias = lloyd(patches, begin, 10)
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(inertias))


@pytest.mark.parametrize("distinct", [1, 3])
def test_fewer_different_patches_than_centroids_stay_finite(distinct):
    patches = clouds(distinct).repeat(5, 1)
    centroids, inertias = lloyd(patches, clouds(8, seed=1), 6)
    assert centroids.isfinite().all() and inertias == sorted(inertias, reverse=True)
    assert inertias[-1] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_chunks_change_nothing(monkeypatch, chunk):
    patches = clouds()
    begin = torch.cat([patches[:9], torch.full((1, 5), 100.0)])
    whole, inertia, moved = lloyd_step(patches, begin)
    monkeypatch.setattr(kmeans, "CHUNK", chunk)
    in_parts, other, other_moved = lloyd_step(patches, begin)
    torch.testing.assert_close(in_parts, whole, rtol=1e-6, atol=1e-6)
    assert other == pytest.approx(inertia, rel=1e-6) and moved == other_moved == 1


def test_a_fit_starts_from_the_dictionary_of_the_control_and_its_inertia_falls(monkeypatch):
    given = []
    monkeypatch.setattr(kmeans, "lloyd_step", lambda *now: given.append(now[1].clone()) or lloyd_step(*now))
    images = blobs(40, (3, 9, 11))
    learner, run = fitted(KMeans, images, **SMALL, iterations=12)
    control, _ = fitted(RandomPatches, images, **SMALL)
    assert torch.equal(given[0], control.dictionary) and torch.equal(learner.matrix, control.matrix)
    inertias = [row["inertia"] for row in run.history]
    assert len(inertias) == 12 and inertias[-1] < inertias[0]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(inertias))


def test_triangle_features_are_a_loop_over_patches_and_centroids():
    patches, centroids = clouds(20), clouds(6, seed=1)
    features = triangle(patches, centroids).numpy()
    for row, patch in enumerate(patches.double().numpy()):
        z = [np.sqrt(((patch - centroid) ** 2).sum()) for centroid in centroids.double().numpy()]
        expected = [max(0.0, sum(z) / len(z) - one) for one in z]
        np.testing.assert_allclose(features[row], expected, atol=1e-5)
    assert (features == 0).any(1).all() and (features > 0).any(1).all()


@pytest.mark.parametrize("encoder", ["triangle", "hard"])
def test_the_maps_are_the_features_of_the_patches_at_their_positions(encoder):
    images = blobs(20, (3, 9, 11))
    learner, _ = fitted(KMeans, images, **SMALL, stride=2, encoder=encoder, iterations=3)
    x = images.batch(slice(0, 3))
    features = encoded(learner, x)["features"]
    p = every_patch(255 * x, 4, 2).double().numpy()
    p = (p - p.mean(3, keepdims=True)) / np.sqrt(p.var(3, ddof=1, keepdims=True) + 10)
    p = (p - learner.mean.double().numpy()) @ learner.matrix.double().numpy()
    z = np.sqrt(((p[..., None, :] - learner.dictionary.double().numpy()) ** 2).sum(-1))
    expected = np.maximum(z.mean(3, keepdims=True) - z, 0)
    if encoder == "hard":
        expected = (z == z.min(3, keepdims=True)).astype(float)
        assert set(features.unique().tolist()) == {0, 1} and (features.sum(1) == 1).all()
    np.testing.assert_allclose(features.permute(0, 2, 3, 1).numpy(), expected, atol=1e-3)


def test_a_patch_at_a_centroid_has_no_distance_to_it():
    # Where ‖p‖² − 2p·c + ‖c‖² rounds to less than nothing.
    centroids = 100 * clouds(6)
    features = triangle(centroids, centroids)
    means = distances(centroids, centroids).mean(1)
    assert features.isfinite().all()
    np.testing.assert_allclose(features.diagonal().numpy(), means, rtol=1e-2)


@pytest.mark.parametrize("count", [1, 7, 40, 90])
def test_random_patches_are_different_ones_as_long_as_there_are_enough(count):
    patches = clouds(40)
    drawn = random_patches(patches, count, Run(0, Budget(epochs=1)))
    rows = (distances(drawn, patches) == 0).argmax(1)
    assert torch.equal(drawn, patches[rows]) and drawn.shape == (count, 5)
    assert len(set(rows)) == count or count > 40
    assert torch.equal(drawn, random_patches(patches, count, Run(0, Budget(epochs=1))))
    assert count == 40 or not torch.equal(drawn, random_patches(patches, count, Run(1, Budget(epochs=1))))


def test_the_control_has_training_patches_for_its_dictionary(monkeypatch):
    kept = []

    def learn(self, patches, run):
        kept.append(patches.clone())
        return random_patches(patches, self.n_centroids, run)

    monkeypatch.setattr(RandomPatches, "learn", learn)
    learner, run = fitted(RandomPatches, blobs(), **SMALL)
    assert distances(learner.dictionary, kept[0]).min(1).max() == 0
    assert run.history == [] and RandomPatches.kind == "control"


@pytest.mark.parametrize("cls", [KMeans, RandomPatches])
def test_fewer_patches_than_centroids_will_do(cls):
    images = blobs()
    learner, _ = fitted(cls, images, **{**SMALL, "n_patches": 4})
    features = encoded(learner, images.batch(slice(0, 3)))["features"]
    assert features.shape == (3, 7, 5, 5) and features.isfinite().all() and features.std() > 0


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    parameters = {**SMALL, "iterations": 6}
    undisturbed, run = fitted(KMeans, blobs(), **parameters)
    calls = []

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return lloyd_step(*given)

    monkeypatch.setattr(kmeans, "lloyd_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(KMeans, blobs(), **parameters, folder=tmp_path)
    resumed, again = fitted(KMeans, blobs(), **parameters, folder=tmp_path)
    # The second time, at least the first of the six was there already.
    assert len(calls) < 4 + 6
    state, other = learner_state(undisturbed), learner_state(resumed)
    assert state.keys() == other.keys() == {"mean", "matrix", "dictionary"}
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert [row["inertia"] for row in run.history] == [row["inertia"] for row in again.history]


@pytest.mark.parametrize("cls", [KMeans, RandomPatches])
@pytest.mark.parametrize("encoder", ["triangle", "hard"])
def test_they_keep_the_promises_of_a_learner(cls, encoder):
    parameters = {**SMALL, "encoder": encoder} | ({"iterations": 3} if cls is KMeans else {})
    findings = check_learner(cls, parameters, shapes=[(1, 8, 8), (3, 9, 11)])
    assert not [(finding.check, finding.problem) for finding in findings if finding.problem]


@pytest.mark.parametrize("wrong", [{"n_centroids": 0}, {"encoder": "soft"}, {"iterations": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        KMeans(**wrong)
