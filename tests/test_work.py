from __future__ import annotations

import doctest

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reprbench import work
from reprbench.work import Work


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def learn(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    loss = model(x).square().mean()
    loss.backward()
    return loss.detach()


def test_flops_are_those_of_torch_and_the_numbers_are_the_same() -> None:
    x = torch.rand(7, 3, 8, 8)
    plain, counted = network(), network()
    found = Work()
    with FlopCounterMode(display=False) as theirs:
        learn(plain, x)
    with found.step():
        learn(counted, x)
    assert found.flops == theirs.get_total_flops() > 0
    for one, other in zip(plain.parameters(), counted.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_a_step_of_each_kind_is_counted_once() -> None:
    found = Work()
    for size in (2, 3, 4):
        for kind in ("fixed", str(size)):
            with found.step(kind):
                torch.ones(size, 1) @ torch.ones(1, 1)
    assert (found.steps, found.flops) == (6, 2 * (3 * 2 + 2 + 3 + 4))


def test_a_step_that_fails_is_none() -> None:
    found = Work()
    with pytest.raises(ZeroDivisionError), found.step():
        raise ZeroDivisionError
    assert (found.steps, found.flops) == (0, 0)


def test_it_goes_on_from_its_state_and_adds_other_work() -> None:
    found, other = Work(), Work()
    with found.step():
        torch.ones(2, 3) @ torch.ones(3, 5)
    other.restore(found.state())
    other.add(found)
    assert (other.steps, other.flops) == (2, 120)


def test_the_example_does_what_it_shows() -> None:
    assert doctest.testmod(work).failed == 0
