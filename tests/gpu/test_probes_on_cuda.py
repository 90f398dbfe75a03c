"""On a GPU: what protocols compute there is what they compute on the CPU; skipped without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reprbench.probes.hypersphere import uniformity
from reprbench.probes.knn import nearest_cosines
from reprbench.probes.logistic import fit_logistics
from reprbench.probes.ranking import rank
from reprbench.probes.spectra import lidar, spectrum

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

LABELS = np.arange(400) % 5
CODES = (
    np.random.default_rng(0).normal(size=(5, 30))[LABELS] + np.random.default_rng(1).normal(size=(400, 30))
).astype(np.float32)
PROBES = {
    "weights": lambda device: fit_logistics([(CODES, LABELS)], 5, (0.01, 1.0), device=device)[0].weights,
    "logits": lambda device: fit_logistics([(CODES, LABELS)], 5, (0.01, 1.0), device=device)[0].logits(CODES),
    "weights of few examples": lambda device: (
        fit_logistics([(CODES[:20], LABELS[:20])], 5, (1.0,), device=device)[0].weights
    ),
    "cosines": lambda device: nearest_cosines(CODES[:200], CODES[200:], 5, device)[1],
    "average precision": lambda device: rank(CODES, LABELS, CODES[:50], LABELS[:50], "euclidean", device).precision,
    "eigenvalues": lambda device: spectrum(CODES, np.arange(30), centered=True, device=device),
    "eigenvalues of few images": lambda device: spectrum(CODES[:20], np.arange(30), centered=False, device=device),
    "uniformity": lambda device: np.array([uniformity(CODES, device)]),
    "LiDAR": lambda device: np.array([lidar(CODES.reshape(80, 5, 30), device)]),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_both_devices_give_the_same_numbers(probe):
    expected = probe("cpu")
    assert np.isfinite(expected).all()
    assert probe("cuda") == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.abs(expected).max()))
