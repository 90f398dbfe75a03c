"""The cost of a step of `ameae` against `ae`, and of `ae` against a bare loop. Run with `pytest tests/perf -s`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from reprbench.methods.ameae import AMEAE
from reprbench.methods.autoencoders import AE, adam
from reprbench.methods.networks import Architecture, Decoder, Encoder
from torch.nn import functional

from reprbench import Budget, Images, Run
from reprbench.learner import make
from reprbench.run_context import seeded

Shape = tuple[int, int, int]

BATCH = 64
NETWORKS = [
    ((1, 28, 28), 32, 12),
    ((3, 32, 32), 16, 12),
    ((3, 32, 32), 64, 8),
    ((3, 96, 96), 64, 4),
]
"""Shape, width, and how often both are timed."""


def ratio_of_times(one: Callable[[], object], other: Callable[[], object], repetitions: int) -> float:
    """Return the median of `other`'s time over `one`'s; each pair is timed together, as load varies."""
    ratios, pair = [], []
    for _ in range(repetitions + 1):
        pair = [_seconds(one), _seconds(other)]
        ratios.append(pair[1] / pair[0])
    # The first pair warms up.
    ratio = statistics.median(ratios[1:])
    print(f"  {pair[0] * 1e3:.0f} and {pair[1] * 1e3:.0f} ms: {ratio:.3f} of {[round(r, 2) for r in ratios[1:]]}")
    return ratio


def _seconds(work: Callable[[], object]) -> float:
    """Return the processor time, which other processes do not lengthen as they do the time by the clock."""
    start = time.process_time()
    work()
    return time.process_time() - start


def learner_for(cls: type[AE], shape: Shape, width: int, **options: float) -> AE:
    with seeded(0, "weights"):
        learner = make(cls, {"width": width, "batch_size": BATCH, **options}, shape)
    assert isinstance(learner, cls)
    return learner


def steps_ratio(shape: Shape, width: int, repetitions: int, noise: float) -> float:
    print(f"\n{shape} width {width}, a step of ae and ameae with noise {noise}:", flush=True)
    run = Run(0, Budget(epochs=1))
    x = torch.rand(BATCH, *shape).contiguous(memory_format=torch.channels_last)
    plain, adversarial = learner_for(AE, shape, width), learner_for(AMEAE, shape, width, instance_noise=noise)
    for learner in (plain, adversarial):
        learner.prepare(run)
    steps = [partial(learner.step, x, learner._optimizers, run) for learner in (plain, adversarial)]
    return ratio_of_times(*steps, repetitions)


def loops_ratio(shape: Shape, width: int, repetitions: int) -> float:
    """Time a bare loop with the same network, data, batches and optimizer, and nothing of reprbench."""
    count = 8 * BATCH
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    learner, architecture = learner_for(AE, shape, width), Architecture.of(shape, width)
    encoder, decoder = (
        network(architecture).to(memory_format=torch.channels_last).train() for network in (Encoder, Decoder)
    )
    optimizer = adam(1e-4, encoder, decoder)
    tensor = torch.from_numpy(pixels)

    def bare() -> None:
        for rows in torch.randperm(count).split(BATCH):
            x = tensor[rows].to(memory_format=torch.channels_last).float().div_(255)
            optimizer.zero_grad(set_to_none=True)
            functional.mse_loss(decoder(encoder.code(x)), x).backward()
            optimizer.step()

    print(f"\n{shape} width {width}, an epoch of ae in reprbench and in a bare loop:", flush=True)
    return ratio_of_times(lambda: learner.fit(Images(pixels), Run(0, Budget(epochs=1))), bare, repetitions)


@pytest.mark.parametrize(("shape", "width", "repetitions"), NETWORKS)
@pytest.mark.parametrize(("noise", "most"), [(0.0, 1.7), (0.1, 2.3)])
def test_a_step_of_ameae_costs_at_most_1_7_of_ae_and_2_3_with_noise(measured, shape, width, repetitions, noise, most):
    """With instance noise C sees other originals than the autoencoder, and E runs once more."""
    assert measured(steps_ratio, shape, width, repetitions, noise) <= most


def test_ae_trains_at_0_97_of_a_bare_loop(measured):
    assert measured(loops_ratio, (1, 28, 28), 32, 10) >= 0.97
