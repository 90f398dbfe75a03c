"""How much the codes of a batch differ in direction: what the history and the warnings say of a collapse."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

COLLAPSED = 0.1
"""Codes whose standard deviation is below this share of that of uniform ones get a warning; our choice."""

CODE, PROJECTION = "code_std", "projection_std"
MEASURED = {CODE: "representations", PROJECTION: "projections"}
"""What the columns of a history are of."""


def spread(name: str, vectors: Tensor) -> dict[str, Tensor]:
    """Return the `relative_std` of `vectors` (N, D) under `name`, for a history; nothing of a single one."""
    return {name: relative_std(vectors)} if len(vectors) > 1 else {}


def relative_std(vectors: Tensor) -> Tensor:
    """Return the standard deviation of the normalized `vectors` (N, D), averaged over D, in units of 1/√D."""
    normalized = functional.normalize(vectors.detach().float(), dim=1)
    return normalized.std(dim=0).mean() * vectors.shape[1] ** 0.5


def collapse_warnings(history: Sequence[dict[str, float]]) -> list[str]:
    """Return a warning for each kind of vectors that had nearly one direction for all images in the last epoch."""
    last = history[-1] if history else {}
    return [
        f"{what} hardly differ in direction, which may be a collapse: scaled to length 1, their standard deviation "
        f"over the images of a batch was {last[name]:.3f}/√d in the last epoch (below {COLLAPSED}/√d)"
        for name, what in MEASURED.items()
        if last.get(name, 1.0) < COLLAPSED
    ]
