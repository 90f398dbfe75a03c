from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reprbench.capabilities import Reconstructs, Resumes
from reprbench.learner import Learner
from reprbench.registry import discover
from reprbench.signatures import class_problem
from reprbench.torch_learner import TorchLearner


class Good(Learner):
    def fit(self, images, run, **more): ...

    @torch.no_grad()
    def encode(self, x, scale=1): ...

    def build(self, *shapes): ...

    def helper(self): ...


class Derived(Good):
    def helper(self, more): ...

    @staticmethod
    def encode(x): ...

    @classmethod
    def build(cls, shape): ...


def test_every_class_that_can_be_called_is_good():
    assert class_problem(Good) == class_problem(Derived) == ""


@pytest.mark.parametrize("kind", ["methods", "protocols"])
def test_ours_are(kind):
    for entry in getattr(discover(folder=Path("none")), kind).values():
        cls = entry.load()
        own = tuple(one for one in (Reconstructs, Resumes) if kind == "methods" and issubclass(cls, one))
        assert class_problem(cls, own) == "", entry


def test_what_is_abstract_or_called_otherwise_is_named():
    class Abstract(Learner):
        def encode(self, x): ...

    class Old(TorchLearner):
        def optimizers(self): ...

        def encode(self, x): ...

        def step(self, x, run): ...

    class Static(Good):
        @staticmethod
        def encode(self, x): ...

    assert class_problem(Abstract) == "Abstract does not define fit"
    assert class_problem(Old) == "Old.step takes (x, run), but is called with (x, optimizers, run)"
    assert class_problem(Static) == "Static.encode takes (self, x), but is called with (x)"
