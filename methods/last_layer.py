"""Reconstruction by learners that can decode their last layer alone."""

from __future__ import annotations

from torch import Tensor

from reprbench import Learner, UserError


def last_map(learner: Learner, x: Tensor, layer: str | None) -> Tensor:
    """Return the map of the last layer for images `x`.

    Raises
    ------
    UserError
        If `layer`, the one that was asked for, is another.
    """
    *_, (last, h) = learner.encode(x).items()
    if layer not in {None, last}:
        raise UserError(f"{learner.method_name} reconstructs from its last layer, {last!r}, not from {layer!r}")
    return h
