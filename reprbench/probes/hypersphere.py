"""Alignment and uniformity of codes on the unit sphere.

T. Wang, P. Isola, "Understanding contrastive representation learning through alignment and uniformity on the
hypersphere", ICML 2020: with codes f(x) divided by their length, alignment is E‖f(x) − f(y)‖^α over positive pairs, α =
2, and uniformity log E exp(−t‖f(x) − f(y)‖²) over pairs of different images, t = 2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from reprbench.features import Matrix

T = 2.0
BLOCK = 2**22
"""Pairs in memory at a time."""


def alignment(views: NDArray[np.float32]) -> float:
    """Return the alignment, in [0, 4], of all pairs of the q ≥ 2 views of each image; codes (n, q, D)."""
    codes = torch.nn.functional.normalize(torch.from_numpy(views).double(), dim=2)
    count = codes.shape[1]
    # The sum over all pairs of ‖a − b‖² is q·Σ‖a‖² − ‖Σa‖².
    sums = count * codes.square().sum((1, 2)) - codes.sum(1).square().sum(1)
    return max(0.0, float(sums.mean()) / (count * (count - 1) / 2))


def uniformity(codes: Matrix, device: str = "cpu") -> float:
    """Return the uniformity, in [−8, 0], of the codes (n, D) of n ≥ 2 images, computed in blocks."""
    points = torch.nn.functional.normalize(torch.from_numpy(np.array(codes, dtype=np.float32)).to(device), dim=1)
    squares, total, count = points.square().sum(1), 0.0, len(points)
    step = max(1, BLOCK // count)
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        distances = squares[block, None] + squares - 2 * points[block] @ points.T
        near = distances.clamp_(min=0).mul_(-T).exp_()
        # No image is a pair with itself.
        near.diagonal(start).zero_()
        total += float(near.sum(dtype=torch.float64))
    return math.log(total / (count * (count - 1)))
