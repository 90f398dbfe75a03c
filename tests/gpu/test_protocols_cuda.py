"""Protocols on a GPU: the numbers of the CPU, and the same bits twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from common import digits, values
from reprbench.methods.autoencoders import AE

from reprbench.features import View, extract
from reprbench.learner import make
from reprbench.probes.cka import centered_gram, cka
from reprbench.protocols.base import Features, Subject
from reprbench.protocols.fine_tune import FineTune
from reprbench.protocols.similarity import Similarity
from reprbench.run_context import seeded
from reprbench.state import to_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("deterministic"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def subject(device: str) -> Subject:
    dataset = digits(200)
    with seeded(0, "weights"):
        learner = make(AE, {"width": 4}, dataset.train.shape)
    to_device(learner, device)

    def features(asked: Features) -> np.ndarray:
        images = getattr(dataset, asked.split).take(asked.rows)
        return np.concatenate([codes for (codes,) in extract(learner, images, [asked.view], device)])

    return Subject(dataset, False, lambda rows: learner, features, device=device)


def test_cka_is_that_of_the_cpu():
    features = np.random.default_rng(0).normal(size=(100, 30)).astype(np.float32)
    assert cka(centered_gram(features, "cuda"), centered_gram(features)) == pytest.approx(1, abs=1e-9)
    there, here = (values(Similarity(images=100).evaluate(subject(device), 0), "CKA") for device in ("cuda", "cpu"))
    assert there == pytest.approx(here, abs=1e-3)


def test_fine_tuning_gives_the_same_bits_twice():
    made = FineTune(epochs=3, batch_size=32, costs=(0.1,), folds="none")
    first, second = (made.evaluate(subject("cuda"), 0) for _ in range(2))
    assert first.measurements == second.measurements
    assert values(first, "training accuracy")[0] > 20
    assert made.view == View(pooling="mean", grid=1)
