"""Steps and loops hardly ever wait for a device: on the CPU it is counted what would wait on CUDA."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fits import TRAINED, blobs, fit, small
from reprbench.methods.autoencoders import AE
from reprbench.methods.rbm import RBM
from reprbench.methods.simclr import SimCLR
from reprbench.methods.supervised import Supervised
from reprbench.methods.vicreg import VICReg
from torch.utils._python_dispatch import TorchDispatchMode

from reprbench.batch_norm import normalizations
from reprbench.errors import Diverged
from reprbench.features import View, extract
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded

READING = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2"}
"""Operations whose result the host reads."""


MASKING = {SimCLR, VICReg}
"""Methods whose losses of lightly pick what is off the diagonal by a mask, twice a step or a view."""


class Reads(TorchDispatchMode):
    """Counts what would wait, except in optimizers: these keep their counts of steps on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(one is not None and one.dtype == torch.bool for one in args[1])
        if (name in READING or by_mask) and not _in_optimizer():
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def _in_optimizer() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        if "torch/optim" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


@contextmanager
def reads(monkeypatch) -> Iterator[Counter[str]]:
    with monkeypatch.context() as patched, Reads() as mode:
        for name in ("tolist", "cpu", "numpy"):
            original = getattr(torch.Tensor, name)

            def counted(tensor, *args, name=name, original=original):
                mode.counts[name] += 1
                return original(tensor, *args)

            patched.setattr(torch.Tensor, name, counted)
        yield mode.counts


def clock(monkeypatch, step: float = 0.0) -> None:
    """Let each look at the training loop's clock take `step` seconds."""
    looks = iter(range(10**9))
    monkeypatch.setattr("reprbench.training.time", SimpleNamespace(monotonic=lambda: next(looks) * step))


def made(cls):
    # Of several learning rates, what each reached has to be read.
    one_rate = {"lr": 1e-3} if cls is Supervised else {}
    with seeded(0, "weights"):
        return make(cls, small(cls, **one_rate), (3, 32, 32))


@pytest.mark.parametrize("cls", TRAINED, ids=lambda cls: cls.__name__)
def test_a_fit_reads_the_device_once_if_it_takes_no_time(cls, monkeypatch):
    clock(monkeypatch)
    learner, run = made(cls), Run(0, Budget(epochs=3))
    with reads(monkeypatch) as counts:
        fit(learner, blobs(16, (3, 32, 32)), run)
    if cls in MASKING:
        assert counts.pop("index") == 2 * run.work.steps
    # The second compares features by batch and running statistics.
    assert counts == {"tolist": 2 if normalizations(learner) else 1}
    assert [row["epoch"] for row in run.history] == [1, 2, 3]


def test_it_reads_the_device_twice_a_second(monkeypatch):
    clock(monkeypatch, 0.1)
    learner, run = made(RBM), Run(0, Budget(epochs=60))
    with reads(monkeypatch) as counts:
        fit(learner, blobs(8, (3, 32, 32)), run)
    # 60 steps of 0.1 s, of which each sixth is past half a second.
    assert 8 <= counts["tolist"] <= 13
    assert counts.total() == counts["tolist"]


def test_the_history_is_the_same_however_often_it_is_read(monkeypatch):
    histories = []
    for seconds in (0.0, 1.0):
        clock(monkeypatch, seconds)
        learner, run = made(RBM), Run(0, Budget(epochs=5))
        fit(learner, blobs(20, (3, 32, 32)), run)
        histories.append([{name: value for name, value in row.items() if name != "seconds"} for row in run.history])
        times = [row["seconds"] for row in run.history]
        assert times == sorted(times)
    assert histories[0] == histories[1]
    assert [row["step"] for row in histories[0]] == [2, 4, 6, 8, 10]


class Breaking(RBM):
    """Its second step logs nan, and its fourth fails."""

    def step(self, x, optimizers, run):
        self._steps = getattr(self, "_steps", 0) + 1
        if self._steps == 4:
            raise ValueError("nan everywhere")
        return {"loss": torch.tensor(float("nan") if self._steps == 2 else 1.0)}


def test_a_failure_after_a_value_that_is_not_finite_is_a_divergence(monkeypatch):
    clock(monkeypatch)
    run = Run(0, Budget(epochs=5))
    with pytest.raises(Diverged, match="at step 2: loss = nan"):
        fit(make(Breaking, small(RBM), (3, 32, 32)), blobs(8, (3, 32, 32)), run)
    assert [row["loss"] for row in run.history] == [1.0]


def test_features_wait_for_each_batch_once(monkeypatch):
    learner, images = made(AE), blobs(6, (3, 32, 32))
    monkeypatch.setattr(AE, "encode_batch_size", 2)
    order = []
    with reads(monkeypatch) as counts:
        original = torch.Tensor.cpu
        monkeypatch.setattr(torch.Tensor, "cpu", lambda one: order.append(dict(counts)) or original(one))
        found = list(extract(learner, images, [View(), View(layers="all")]))
    assert len(found) == 3
    # In each batch what is finite is read after the copies, when the device has nothing left to do.
    assert [one.get("is_nonzero", 0) for one in order] == [0, 0, 2, 2, 4, 4]


def test_features_that_are_not_finite_still_end_the_extraction(monkeypatch):
    learner = made(AE)
    monkeypatch.setattr(AE, "encode", lambda self, x: {"code": torch.full((len(x), 3), np.nan)})
    with pytest.raises(Diverged, match="code"):
        list(extract(learner, blobs(4, (3, 32, 32)), [View()]))
