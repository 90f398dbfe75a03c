from __future__ import annotations

import pytest
import torch
from fits import weight_shapes
from reprbench.methods.ali import ALI, dropout, geometry
from torch import nn

from reprbench.learner import make
from reprbench.run_context import Budget, Run


def test_alis_networks_at_32_are_the_published_ones():
    with torch.device("meta"):
        learner = make(ALI, {}, (3, 32, 32))
    assert [(c.size, c.result) for c in geometry((3, 32, 32), 32)] == [
        ((32, 32), (28, 28)),
        ((28, 28), (13, 13)),
        ((13, 13), (10, 10)),
        ((10, 10), (4, 4)),
        ((4, 4), (1, 1)),
    ]
    stack = [(32, 3, 5, 5), (64, 32, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4)]
    assert weight_shapes(learner.encoder) == [*stack, (512, 512, 1, 1), (128, 512, 1, 1)]
    mirror = [(64, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 32, 4, 4), (32, 32, 5, 5)]
    assert weight_shapes(learner.generator) == [*mirror, (32, 32, 1, 1), (3, 32, 1, 1)]
    joint = [(1024, 1024), (1024, 1024), (1, 1024)]
    assert weight_shapes(learner.discriminator) == [*stack, (512, 64), (512, 512), *joint]
    strides = [m.stride for m in learner.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert strides == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
    assert (learner.lr, learner.batch_size, learner.updates) == (1e-4, 100, "simultaneous")


@pytest.mark.parametrize(("width", "deviation"), [(32, 0.01), (8, 0.02)])
def test_ali_starts_with_signals_of_one_size_at_any_width(width, deviation):
    learner = make(ALI, {"width": width}, (3, 8, 8))
    for network in (learner.encoder, learner.generator, learner.discriminator):
        drawn = torch.cat([weight.detach().flatten() for weight in network.parameters() if weight.dim() > 1])
        assert drawn.std().item() == pytest.approx(deviation, rel=0.02)
    assert not any(weight.any() for name, weight in learner.discriminator.named_parameters() if "bias" in name)


@pytest.mark.parametrize("other", [1, 7, 32, 50])
def test_any_size_ends_at_one_position_with_kernels_no_larger_than_the_papers(other):
    for side in range(1, 200):
        stack = geometry((3, side, other), 4)
        assert stack[-1].result == (1, 1)
        assert all(max(convolution.kernel) <= 5 for convolution in stack)
        assert len(stack) == 5 or max(side, other) > 32
        # The first map that the published convolutions see.
        assert max(stack[-5].size) <= 32 and (len(stack) == 5 or max(stack[-5].size) > 16 - 1)


@pytest.mark.parametrize("side", [*range(1, 36), 64, 65, 66, 67, 96, 99, 131, 132])
def test_a_transposed_convolution_goes_back_to_the_very_size(side):
    for convolution in geometry((1, side, 2 * side // 3 + 1), 1):
        x = torch.zeros(1, convolution.before, *convolution.size)
        down = convolution.down()(x)
        assert down.shape[2:] == convolution.result
        assert convolution.up(convolution.after, 2)(down).shape == (1, 2, *convolution.size)


def test_alis_code_is_the_mean_and_its_training_code_a_sample():
    learner = make(ALI, {"width": 4, "code_size": 3}, (1, 8, 8))
    learner.encoder.eval()
    nn.init.normal_(learner.encoder.last.weight)
    with torch.no_grad():
        learner.encoder.last.bias.copy_(torch.tensor([1.0, 2.0, 3.0, -1.0, 0.0, 1.0]))
        x = torch.rand(1, 1, 8, 8).expand(4000, -1, -1, -1)
        mean, log_deviation = learner.encoder.gaussian(x[:1])
        *_, code = learner.encode(x[:1]).values()
        sampled = learner.infer(x, Run(0, Budget(epochs=1)))
    assert torch.equal(code, mean)
    for found, expected in ((sampled.mean(0), mean[0]), (sampled.std(0), log_deviation[0].exp())):
        assert ((found - expected).abs() < 0.05 * log_deviation[0].exp()).all()


def test_the_gradient_of_a_sample_reaches_mean_and_deviation():
    learner = make(ALI, {"width": 4, "code_size": 3}, (1, 8, 8))
    learner.infer(torch.rand(4, 1, 8, 8), Run(0, Budget(epochs=1))).square().sum().backward()
    assert (learner.encoder.last.bias.grad != 0).all()


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    h = torch.full((300, 400), 2.0)
    one, again = (dropout(h, share, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, again)
    assert (one == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(one[one != 0], torch.full_like(one[one != 0], 2 / (1 - share)))


def test_alis_discriminator_drops_anew_in_every_pass():
    learner = make(ALI, {"width": 8}, (1, 8, 8))
    for weight in learner.discriminator.parameters():
        nn.init.normal_(weight, std=0.3)
    run, inputs = Run(0, Budget(epochs=1)), (torch.rand(4, 1, 8, 8), torch.randn(4, 64))
    first, second = learner.judge(inputs, run), learner.judge(inputs, run)
    assert not torch.allclose(first, second)
    assert torch.equal(first, learner.judge(inputs, Run(0, Budget(epochs=1))))
