from __future__ import annotations

import pytest
import torch
from reprbench.methods.blocks import NormalizationWithStatistics, NormalizedConv, PRes, URes
from torch import nn

from reprbench import UserError


def reference_of(unit: NormalizedConv) -> nn.Sequential:
    """Return PyTorch's own convolution and normalization with the same weights."""
    conv, norm = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
    conv.load_state_dict(unit.conv.state_dict())
    norm.load_state_dict({"weight": unit.scale, "bias": unit.offset}, strict=False)
    return nn.Sequential(conv, norm).double()


@pytest.fixture
def unit() -> NormalizedConv:
    torch.manual_seed(0)
    unit = NormalizedConv(4, 6, (3, 3), padding=(1, 1)).double()
    nn.init.uniform_(unit.scale, -1, 1)
    nn.init.normal_(unit.offset)
    return unit


def test_a_normalized_convolution_is_pytorchs_with_its_gradients_and_running_averages(unit):
    reference = reference_of(unit)
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64)
    for _ in range(2):
        ours, theirs = unit(x), reference(x)
        torch.testing.assert_close(ours, theirs)
        gradient = torch.randn_like(ours)
        for one, other in zip(
            torch.autograd.grad(ours, [unit.conv.weight, unit.scale, unit.offset], gradient),
            torch.autograd.grad(theirs, list(reference.parameters()), gradient),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    torch.testing.assert_close(unit.running_mean, reference[1].running_mean)
    torch.testing.assert_close(unit.running_var, reference[1].running_var)
    torch.testing.assert_close(unit.eval()(x), reference.eval()(x))


def test_the_previous_statistics_are_the_same_for_every_image_and_stay(unit):
    unit.remember = True
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64)
    y = unit(x)
    running = unit.running_mean.clone()
    unit.statistics = "previous"
    torch.testing.assert_close(unit(x), y)
    # An image is normalized the same whatever other images are with it.
    torch.testing.assert_close(unit(torch.cat([x[:1], 9 * x])), torch.cat([y[:1], unit(9 * x)]))
    assert torch.equal(unit.running_mean, running)


def test_the_gradients_of_a_normalization_with_statistics_are_exact():
    y = torch.randn(3, 4, 5, 7, dtype=torch.float64, requires_grad=True)
    scale, offset = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weights = torch.randn(2, 4, dtype=torch.float64)
    by_normalized = torch.randn_like(y)

    def plain(y, scale, offset):
        mean, inverse = y.mean((0, 2, 3)), (y.var((0, 2, 3), unbiased=False) + 1e-5).rsqrt()
        mean_, inverse_, scale_, offset_ = (v.view(1, -1, 1, 1) for v in (mean, inverse, scale, offset))
        return (y - mean_) * inverse_ * scale_ + offset_, mean, inverse

    def gradients(normalized, mean, inverse):
        total = (by_normalized * normalized).sum() + (weights[0] * mean + weights[1] * inverse).sum()
        return torch.autograd.grad(total, [y, scale, offset])

    with_statistics = NormalizationWithStatistics.apply(y, scale, offset, None, None, 0.1)
    torch.testing.assert_close(list(with_statistics), list(plain(y, scale, offset)))
    torch.testing.assert_close(gradients(*with_statistics), gradients(*plain(y, scale, offset)))


def test_unrecorded_statistics_are_the_batchs_and_leave_the_running_averages(unit):
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64)
    unit.statistics = "unrecorded"
    torch.testing.assert_close(unit(x), reference_of(unit)(x))
    assert not unit.running_mean.any()


def test_previous_statistics_need_a_previous_batch(unit):
    unit.statistics = "previous"
    with pytest.raises(RuntimeError, match="no previous batch"):
        unit(torch.randn(2, 4, 5, 5, dtype=torch.float64))


def test_one_number_per_channel_cannot_be_normalized():
    with pytest.raises(UserError, match="at least two images"):
        NormalizedConv(4, 6)(torch.randn(1, 4, 1, 1))


@pytest.mark.parametrize(("size", "half"), [((8, 8), (4, 4)), ((7, 9), (4, 5)), ((2, 3), (1, 2))])
def test_blocks_halve_upwards_and_double_back(size, half):
    maps = PRes(4, 3, 16)(torch.randn(2, 4, *size))
    assert [tuple(m.shape) for m in maps] == [(2, 3, *size), (2, 3, *half), (2, 16, *half)]
    assert URes(16, 8, size)(maps[-1]).shape == (2, 8, *size)


def test_the_shortcut_of_p_res_projects_each_channel_apart():
    torch.manual_seed(0)
    block = PRes(4, 3, 16).eval()
    for weight in block.expand.parameters():
        nn.init.zeros_(weight)
    x = torch.rand(1, 4, 6, 6)
    pooled = nn.functional.avg_pool2d(x, 2).repeat_interleave(4, 1) * block.project.conv.weight.view(1, 16, 1, 1)
    torch.testing.assert_close(block(x)[-1], (pooled / (1 + 1e-5) ** 0.5).relu())


def test_u_res_adds_its_rough_image_to_the_residual():
    block = URes(8, 4, (6, 6)).eval()
    for weight in block.refine.parameters():
        nn.init.zeros_(weight)
    x = torch.randn(2, 8, 3, 3)
    # With c' groups, output channel o at (2i + a, 2j + b) sees the inputs 2o and 2o + 1 at (i, j) alone.
    weight = block.draw.weight.view(4, 2, 2, 2)
    expected = torch.einsum("nokij,okab->noiajb", x.view(2, 4, 2, 3, 3), weight).reshape(2, 4, 6, 6)
    torch.testing.assert_close(block(x), expected.relu())
