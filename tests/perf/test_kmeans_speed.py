"""K-means training and encoding against the matrix products they consist of, and against other libraries.

Run with `pytest tests/perf -s`. Sizes are those of the paper on CIFAR-10: patches of 108 numbers, 1600 centroids.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from reprbench.methods.kmeans import CHUNK, KMeans, lloyd_step
from sklearn import cluster

from reprbench import Budget, Images, Run
from reprbench.features import View, extract
from reprbench.learner import make

SIZE, CENTROIDS, ITERATIONS = 108, 1600, 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak() -> float:
    """Return the operations per second of the product of a chunk of patches with all centroids, into given memory."""
    patches, centroids = torch.randn(CHUNK, SIZE), torch.randn(CENTROIDS, SIZE)
    out = torch.empty(CHUNK, CENTROIDS)
    operations = 2 * CHUNK * SIZE * CENTROIDS
    return operations / min(seconds(lambda: torch.mm(patches, centroids.T, out=out)) for _ in range(30))


def share_of_peak(work: Callable[[], object], operations: float, repetitions: int) -> float:
    """Return the median over repetitions of the rate of `work` as a share of the peak, measured next to it."""
    shares = []
    for _ in range(repetitions + 1):
        best = peak()
        shares.append(operations / seconds(work) / best)
    print(f"  {best / 1e9:.0f} Gflop/s at peak; shares {[round(share, 2) for share in shares[1:]]}")
    return statistics.median(shares[1:])


def shares() -> tuple[float, float]:
    patches, centroids = torch.randn(100_000, SIZE), torch.randn(CENTROIDS, SIZE)
    print("\nLloyd's iteration, 100,000 patches:", flush=True)
    training = share_of_peak(lambda: lloyd_step(patches, centroids), 2 * 100_000 * SIZE * CENTROIDS, 5)
    learner = make(KMeans, {}, (3, 32, 32))
    learner.mean, learner.matrix, learner.dictionary = torch.zeros(SIZE), torch.eye(SIZE), centroids
    images = Images(np.random.default_rng(0).integers(0, 256, (400, 3, 32, 32), dtype=np.uint8))
    print("encoding and pooling, 400 images of 32×32:", flush=True)
    encoding = share_of_peak(
        lambda: list(extract(learner, images, [View(pooling="sum")])), 400 * 2 * 27 * 27 * SIZE * CENTROIDS, 5
    )
    return training, encoding


def test_training_and_encoding_run_near_the_speed_of_their_products(measured):
    training, encoding = measured(shares)
    assert training >= 0.5
    assert encoding >= 0.4


def rivals() -> dict[str, tuple[float, float]]:
    """Return seconds and final inertia of the same iterations from the same centroids, by library."""
    import faiss

    # Patches of real-looking statistics: whitened noise has no clusters, so a mixture stands in.
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(CENTROIDS, SIZE, generator=generator) * 2
    labels = torch.randint(CENTROIDS, (100_000,), generator=generator)
    patches = centers[labels] + torch.randn(100_000, SIZE, generator=generator)
    start = patches[torch.randperm(len(patches), generator=generator)[:CENTROIDS]].clone()
    array = patches.numpy()
    found: dict[str, tuple[float, float]] = {}

    def inertia(centroids: torch.Tensor) -> float:
        return lloyd_step(patches, centroids)[1]

    def ours() -> torch.Tensor:
        centroids = start
        for _ in range(ITERATIONS):
            centroids, _, _ = lloyd_step(patches, centroids)
        return centroids

    def lloyd() -> torch.Tensor:
        model = cluster.KMeans(CENTROIDS, init=start.numpy(), n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd")
        return torch.from_numpy(model.fit(array).cluster_centers_)

    def mini_batch() -> torch.Tensor:
        model = cluster.MiniBatchKMeans(
            CENTROIDS, init=start.numpy(), n_init=1, max_iter=ITERATIONS, batch_size=10_000, max_no_improvement=None,
            tol=0, reassignment_ratio=0, random_state=0,
        )  # fmt: skip
        return torch.from_numpy(model.fit(array).cluster_centers_)

    def facebook() -> torch.Tensor:
        model = faiss.Kmeans(SIZE, CENTROIDS, niter=ITERATIONS, max_points_per_centroid=len(array), seed=0)
        model.train(array, init_centroids=start.numpy())
        return torch.from_numpy(model.centroids)

    for name, fit in {"ours": ours, "KMeans": lloyd, "MiniBatchKMeans": mini_batch, "faiss": facebook}.items():
        held: list[torch.Tensor] = []
        taken = min(seconds(lambda fit=fit, held=held: held.append(fit())) for _ in range(2))
        found[name] = taken, inertia(held[-1].float())
    return found


def test_training_against_other_libraries_at_equal_iterations(measured):
    found = measured(rivals)
    print(f"\n{ITERATIONS} passes over 100,000 patches, {CENTROIDS} centroids:")
    for name, (taken, inertia) in found.items():
        print(f"  {name:16} {taken:6.1f} s, inertia {inertia:.3f} a patch, {taken / found['ours'][0]:.2f} of our time")
    assert found["ours"][1] == pytest.approx(found["KMeans"][1], rel=1e-3)
    assert found["ours"][1] == pytest.approx(found["faiss"][1], rel=1e-2)
    assert found["ours"][0] <= 1.25 * found["KMeans"][0]


def at_size() -> float:
    """Fit to 400,000 patches of 50,000 images, encode a thousand; return the peak memory in MB."""
    images = Images(np.random.default_rng(0).integers(0, 256, (50_000, 3, 32, 32), dtype=np.uint8))
    learner = make(KMeans, {"iterations": 1}, images.shape)
    learner.fit(images, Run(0, Budget(epochs=1)))
    for _ in extract(learner, images.take(np.arange(1000)), [View(pooling="sum")]):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_the_published_size_stays_under_3_gb(measured):
    memory = measured(at_size)
    print(f"\npeak memory of kmeans at 400,000 patches and 1600 centroids, images included: {memory:.0f} MB")
    assert memory < 3 * 1024
