"""Steps of learners from two views, and the same written out, for the tests of their objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from fits import blobs, small
from reprbench.methods.augmentations import two_views
from reprbench.methods.two_view import TwoViewLearner
from torch import Tensor, nn

from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded

Plain = Callable[[Any, Sequence[Tensor], Sequence[Tensor]], Tensor]
"""(learner, both views, both z as float64) → loss."""


def prepared(cls: type[TwoViewLearner], shape=(3, 32, 32), seed=0, **parameters) -> tuple[Any, Run]:
    """Return a learner as at the start of a fit, and its run."""
    with seeded(seed, "weights"):
        learner = make(cls, small(cls, **parameters), shape)
    run = Run(seed, Budget(epochs=1))
    learner.prepare(run)
    return learner, run


def students(learner: TwoViewLearner) -> dict[str, nn.Parameter]:
    """Return all weights that the optimizer has, by name."""
    given = {weight for group in learner._optimizers["optimizer"].param_groups for weight in group["params"]}
    names = {n: w for name, one in learner._networks().items() for n, w in one.named_parameters(prefix=name)}
    return {name: weight for name, weight in names.items() if weight in given}


def code(encoder: nn.Module, x: Tensor) -> Tensor:
    """Return the representations, averaged over positions."""
    last = list(encoder(x).values())[-1]
    return last.mean((2, 3)) if last.dim() == 4 else last


def assert_step_descends(cls: type[TwoViewLearner], plain: Plain, share: float = 0.0, **parameters: Any) -> None:
    """Check the loss of a step, and its gradients in all weights, against the loss written out.

    What a teacher or another branch says of the views is to be computed by `plain` without gradients.
    """
    learner, run = prepared(cls, **parameters)
    run.share = share
    x = blobs(6, (3, 32, 32)).batch(slice(0, 6))
    views = two_views(x, learner._augmentations, Run(0, Budget(epochs=1)).generator("augmentation"))
    weights = students(learner)
    projections = [learner._projector(code(learner.encoder, view)) for view in views]
    expected = plain(learner, views, [z.double() for z in projections])
    gradients = torch.autograd.grad(expected, list(weights.values()))
    found = learner.step(x, learner._optimizers, run)["loss"]
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        torch.testing.assert_close(
            weight.grad, gradient, rtol=1e-3, atol=1e-5 * largest, msg=lambda m, n=name: f"{n}: {m}"
        )
    others = [w for one in learner._networks().values() for w in one.parameters() if w not in set(weights.values())]
    assert all(weight.grad is None for weight in others)
