from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from reprbench import TorchLearner
from reprbench.learner import Learner, SupervisedLearner
from reprbench.testing import CHECKS, SHAPES, check_learner


class Good(Learner):
    def fit(self, images, run):
        rows = run.numpy_generator("rows").permutation(len(images))[:16]
        self.mean = images.batch(np.sort(rows)).mean(0)
        run.images_seen = 16

    def encode(self, x):
        return {"code": (x - self.mean).flatten(1)}


class GlobalRandomness(Good):
    def fit(self, images, run):
        self.mean = torch.from_numpy(np.random.rand(*images.shape)).float()  # noqa: NPY002


class BatchDependent(Good):
    def encode(self, x):
        return {"code": (x - x.mean(0)).flatten(1)}


class TrainingMode(Good):
    def build(self, shape):
        self.body = nn.Sequential(nn.Flatten(), nn.Dropout(0.5))

    def encode(self, x):
        self.body.train()
        return {"code": self.body(x)}


class ForgetsState(Good):
    def fit(self, images, run):
        super().fit(images, run)
        self._scale = 2.0

    def encode(self, x):
        return {"code": getattr(self, "_scale", 1.0) * super().encode(x)["code"]}


class WritesIntoInput(Good):
    def encode(self, x):
        return {"code": x.sub_(self.mean).flatten(1)}


class Overdraws(Good):
    def fit(self, images, run):
        super().fit(images, run)
        run.images_seen = 10**6


class NotFinite(Good):
    def encode(self, x):
        return {"code": x.flatten(1) / 0}


class LearnsNothing(Good):
    def fit(self, images, run):
        self.mean = torch.zeros(images.shape)


class LooksAround(Good):
    def fit(self, images, run):
        super().fit(images, run)
        self.mean = torch.from_numpy(images._pixels.mean(0) / 255).float()


class TakesLabels(Good):
    def fit_labeled(self, images, labels, run):
        raise NotImplementedError


class LearnsWithoutLabels(SupervisedLearner, Good):
    def fit(self, images, run):
        Good.fit(self, images, run)

    def fit_labeled(self, images, labels, run):
        Good.fit(self, images, run)


class InfiniteGradient(TorchLearner):
    def build(self, shape):
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 2))

    def optimizers(self):
        return {}

    def step(self, x, optimizers, run):
        torch.autograd.backward((0 * self.body(x).sum()).sqrt())  # the root of 0 has no slope
        return {}

    def encode(self, x):
        return {"code": self.body(x)}


class NotFiniteState(Good):
    def fit(self, images, run):
        super().fit(images, run)
        self.unused = torch.tensor([math.inf])


class HandMade(Learner):
    kind = "pretrained"

    def fit(self, images, run): ...

    def encode(self, x):
        return {"edges": x.diff(dim=2)}


class FrozenNetwork(HandMade):
    def build(self, shape):
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 4), nn.BatchNorm1d(4))

    def encode(self, x):
        return {"code": self.backbone(x)}


class Raises(Good):
    def fit(self, images, run):
        raise RuntimeError("no luck")


def broken(cls: type[Learner]) -> set[str]:
    return {finding.check for finding in check_learner(cls) if finding.problem}


def test_a_good_learner_passes_everything():
    findings = check_learner(Good)
    assert len(findings) == len(CHECKS) * len(SHAPES)
    assert not [finding for finding in findings if finding.problem]


@pytest.mark.parametrize(("cls", "stale"), [(HandMade, set()), (FrozenNetwork, {"encodes as it was trained"})])
def test_a_pretrained_learner_may_leave_its_state_as_it_is_and_have_none(cls, stale):
    assert broken(cls) == set()
    unmarked = type("Unmarked", (cls,), {"kind": "unsupervised"})
    assert broken(unmarked) == {"learns from what it sees"} | stale


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (GlobalRandomness, "is deterministic"),
        (BatchDependent, "ignores batch composition"),
        (TrainingMode, "encodes the same twice"),
        (ForgetsState, "state round trip"),
        (WritesIntoInput, "leaves images alone"),
        (Overdraws, "honors the budget"),
        (NotFinite, "fits and encodes"),
        (LearnsNothing, "learns from what it sees"),
        (LooksAround, "sees only its images"),
        (TakesLabels, "labels reach supervised learners alone"),
        (LearnsWithoutLabels, "labels reach supervised learners alone"),
        (InfiniteGradient, "gradients are finite"),
        (NotFiniteState, "gradients are finite"),
    ],
)
def test_every_broken_promise_is_found(cls, check):
    assert check in broken(cls)


def test_what_a_learner_raises_is_reported_with_its_traceback():
    (first, *_) = check_learner(Raises)
    assert first.problem == "RuntimeError: no luck"
    assert "Traceback" in first.traceback
