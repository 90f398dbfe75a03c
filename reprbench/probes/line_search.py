"""The line search of Newton's method for linear squared-hinge SVMs, for many machines at once."""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_STEPS = 20
_ACCURACY = 0.01  # the remaining share of the slope at which a line search ends


def step_length(margin: Tensor, change: Tensor, linear: Tensor, square: Tensor, slope: Tensor, cost: float) -> Tensor:
    """Return the t ≥ 0 that minimizes ½‖w + t·d‖² + C·Σ max(0, m − t·c)² for each machine, shape (B,).

    `margin` and `change` are m = 1 − y·f and c = y·(what d adds to f), both (B, n); `linear` is ⟨w, d⟩, `square` ‖d‖²,
    and `slope` the derivative at t = 0, all (B,). The derivative is piecewise linear and increasing: Newton's method,
    safeguarded by a bracket, finds its zero.
    """
    low, high, length = torch.zeros_like(slope), torch.full_like(slope, torch.inf), torch.ones_like(slope)
    for _ in range(_MAX_STEPS):
        slack = (margin - length[:, None] * change).clamp(min=0)
        first = linear + length * square - 2 * cost * (change * slack).sum(1)
        second = square + 2 * cost * ((slack > 0) * change.square()).sum(1)
        if bool((first.abs() <= _ACCURACY * slope.abs()).all()):
            break
        low, high = torch.where(first < 0, length, low), torch.where(first > 0, length, high)
        newton = length - first / second.clamp(min=torch.finfo(slope.dtype).tiny)
        middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
        length = torch.where((newton > low) & (newton < high), newton, middle)
    return length
