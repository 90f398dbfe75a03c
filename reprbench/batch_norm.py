"""Batch normalization in evaluation: running averages measured anew, so that a learner is evaluated as it was trained.

The averages that training leaves lag behind weights that move fast: with torch's momentum of 0.1 they are mostly those
of the last twenty steps, each with other weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reprbench.images import Images, Indices
from reprbench.learner import Learner
from reprbench.run_context import Run, derive_seed
from reprbench.state import evaluating, networks_of

MEASURED_IMAGES = 5000
"""The most images on which the averages of a fitted learner are measured."""

LARGEST_DIFFERENCE = 0.5
"""A learner whose features differ by more than this share between batch and running statistics is reported."""

COMPARED_IMAGES = 256
"""The most images on which they are compared."""

NAME = "batch-norm"
"""Of the run's generators that choose the images and draw what the passes need."""

Normalization = Any
"""A module with `running_mean`, `running_var` and `momentum`, like torch's own; nn.Module declares none of them."""


def measure_batch_norm(learner: Learner, images: Images, run: Run, most: int = MEASURED_IMAGES) -> int:
    """Measure the running averages of the learner's batch normalizations anew; return on how many images.

    The learner's `batch_norm_passes` are run as in evaluation (without gradients or autocast, dropout inactive) over at
    most `most` of `images`, chosen by the run's generator "batch-norm". In each pass the normalizations that no pass
    before it reached normalize by the statistics of the batch, and the means of these over all batches become their
    running averages: a decoder is measured on the codes that the encoder gives in evaluation. Normalizations in
    evaluation mode count as frozen. They, and those that no pass reaches, keep their averages. Nothing else of the
    learner, or of the run's generators, changes.

    `train` calls it at the end of a fit, unless the learner's class sets ``remeasure_batch_norm = False``.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from reprbench import Budget, Images, Learner, Run, measure_batch_norm
    >>> class Standardized(Learner):
    ...     def build(self, shape):
    ...         self.norm = torch.nn.BatchNorm2d(shape[0])
    ...
    ...     def fit(self, images, run):
    ...         self.norm.train()
    ...         run.images_seen += measure_batch_norm(self, images, run)
    ...         self.norm.eval()
    ...
    ...     def encode(self, x):
    ...         return {"standardized": self.norm(x)}
    >>> images = Images(np.full((20, 1, 8, 8), 51, dtype=np.uint8))
    >>> learner = Standardized()
    >>> learner.build(images.shape)
    >>> learner.fit(images, Run(seed=0, budget=Budget(epochs=1)))
    >>> round(float(learner.norm.running_mean), 3)
    0.2
    """
    left, rows = learning(learner), chosen(images, run, most)
    if not left or len(rows) < 2:
        return 0
    # Of nearly equal size and below the learner's limit; none is a single image.
    batches = np.array_split(rows, max(1, len(rows) // max(2, learner.encode_batch_size // 2)))
    # A new one, as a fit must not depend on how often snapshots were taken.
    generator = torch.Generator(run.device).manual_seed(derive_seed(run.seed, NAME))
    for forward in learner.batch_norm_passes(generator):
        if left:
            with evaluating(learner):
                reached = average(left, forward, (images.batch(batch, run.device) for batch in batches))
            left = [unit for unit in left if unit not in reached]
    return len(rows)


def chosen(images: Images, run: Run, most: int) -> Indices:
    """Return random rows of `images`, always the same in a run, and with a smaller `most` the first of them."""
    return run.numpy_generator(NAME).permutation(len(images))[:most].astype(np.int64)


def normalizations(learner: object) -> list[Normalization]:
    """Return all modules with running averages in the networks that the learner holds."""
    modules = {module: None for network in networks_of(vars(learner)) for module in network.modules()}
    needed = ("running_mean", "running_var", "momentum")
    return [
        module
        for module in modules
        if all(hasattr(module, name) for name in needed) and module.running_mean is not None
    ]


def learning(learner: object) -> list[Normalization]:
    """Return those that are in training mode; the others are frozen."""
    return [unit for unit in normalizations(learner) if unit.training]


def average(
    units: Sequence[Normalization], forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> set[nn.Module]:
    """Set the running averages of the `units` that `forward` reaches to means over `batches`; return these units."""
    counts: Counter[nn.Module] = Counter()

    def weigh(unit: Normalization, inputs: object) -> None:
        counts[unit] += 1
        unit.momentum = 1 / counts[unit]
        if counts[unit] == 1:
            # With a weight of 0 an infinite average would still become NaN.
            unit.running_mean.zero_()
            unit.running_var.fill_(1)

    with by_batch_statistics(units):
        hooks = [unit.register_forward_pre_hook(weigh) for unit in units]
        try:
            for x in batches:
                forward(x)
        finally:
            for hook in hooks:
                hook.remove()
    return set(counts)


@contextmanager
def by_batch_statistics(units: Sequence[Normalization]) -> Iterator[None]:
    """Put `units` alone, and not the modules in them, in training mode for the block; keep mode and momentum."""
    before = [(unit.training, unit.momentum) for unit in units]
    for unit in units:
        unit.training = True
    try:
        yield
    finally:
        for unit, (training, momentum) in zip(units, before, strict=True):
            unit.training, unit.momentum = training, momentum


@contextmanager
def restored(units: Sequence[Normalization]) -> Iterator[None]:
    """Put the averages of `units` back after the block."""
    before = [(buffer, buffer.clone()) for unit in units for buffer in unit.buffers(recurse=False)]
    try:
        yield
    finally:
        for buffer, kept in before:
            buffer.copy_(kept)


def difference(learner: Learner, units: Sequence[Normalization], x: Tensor) -> tuple[str, float]:
    """Return the layer whose features of `x` differ most between batch and running statistics, and by which share.

    The share is the norm of the difference over the norm of the features by batch statistics. Nothing is changed.
    """
    with restored(units), evaluating(learner):
        running = learner.encode(x)
        with by_batch_statistics(units):
            batch = learner.encode(x)
        shares = torch.stack([_share(layer.float(), running[name].float()) for name, layer in batch.items()])
    # The device is waited for once.
    share, layer = max(zip(shares.tolist(), batch, strict=True))
    return layer, share


def _share(features: Tensor, others: Tensor) -> Tensor:
    share: Tensor = (features - others).norm() / features.norm().clamp(min=torch.finfo(torch.float32).tiny)
    return share


def warning_if_stale(learner: Learner, images: Images, run: Run) -> list[str]:
    """Return a warning if some of `images` have other features by the statistics of their batch than in evaluation.

    Normalizations in evaluation mode count as frozen, and are not compared.
    """
    units, rows = learning(learner), chosen(images, run, min(COMPARED_IMAGES, learner.encode_batch_size))
    if not units or len(rows) < 2:
        return []
    layer, share = difference(learner, units, images.batch(rows, run.device))
    return [stale(layer, share)] if share > LARGEST_DIFFERENCE else []


def stale(layer: str, share: float) -> str:
    """Return what is wrong if the features of `layer` differ by `share`."""
    return (
        f"batch and running statistics of the batch normalizations give features of layer {layer!r} that differ by "
        f"{share:.0%} of their size: the running averages are not those that it was trained with"
    )
