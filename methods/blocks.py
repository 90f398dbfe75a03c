"""The building blocks of AME-AE: the normalized convolution, P-Res that halves a map, and U-Res that doubles it.

Source: X. Gao, H. Xiong, "Unsupervised representation learning with prior-free and adversarial mechanism embedded
autoencoders". The paper names the parts of the blocks; what it does not specify (the place of batch normalization,
kernel sizes of the projections, no biases before a normalization) are our choices.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprbench import UserError

Size = tuple[int, int]
"""(height, width) of a feature map."""

Statistics = Literal["batch", "unrecorded", "previous"]
"""The statistics by which a normalization in training mode normalizes.

"batch": the statistics of the batch, which are recorded in the running averages for evaluation; "unrecorded": the
same, without updating the running averages; "previous": the statistics of the batch before, with gradients that reach
the weights through that batch too (virtual batch normalization: T. Salimans et al., "Improved techniques for training
GANs", 2016), for which `remember` must be set.
"""


EPSILON = 1e-5
"""Added to a variance before a division."""


class NormalizationWithStatistics(torch.autograd.Function):
    """Batch normalization that also returns the statistics of the batch, with their gradients.

    torch's own returns them as constants.
    """

    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        scale: Tensor,
        offset: Tensor,
        running_mean: Tensor | None,
        running_variance: Tensor | None,
        momentum: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalized `y`, and the means and s = (variance + ε)^(-1/2) of its channels."""
        normalized, mean, inverse_deviation = torch.native_batch_norm(
            y, scale, offset, running_mean, running_variance, True, momentum, EPSILON
        )
        ctx.save_for_backward(y, scale, mean, inverse_deviation)
        ctx.set_materialize_grads(False)
        return normalized, mean, inverse_deviation

    @staticmethod
    def backward(
        ctx: Any, by_normalized: Tensor, by_mean: Tensor | None, by_inverse: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        """Return the gradients of `y`, scale and offset: ∂mean/∂y = 1/n and ∂s/∂y = -s³ (y - mean)/n add to torch's."""
        y, scale, mean, inverse_deviation = ctx.saved_tensors
        by_y, by_scale, by_offset = torch.ops.aten.native_batch_norm_backward(
            by_normalized, y, scale, None, None, mean, inverse_deviation, True, EPSILON, [True, True, True]
        )
        if by_mean is not None and by_inverse is not None:
            count = y.numel() // y.shape[1]
            slope = -by_inverse * inverse_deviation**3 / count
            constant = by_mean / count - slope * mean
            by_y.addcmul_(y, slope.view(1, -1, 1, 1).to(y.dtype)).add_(constant.view(1, -1, 1, 1).to(y.dtype))
        return by_y, by_scale, by_offset, None, None, None


class NormalizedConv(nn.Module):
    """Convolution without bias → batch normalization.

    If the statistics are known beforehand (in evaluation, and with those of the previous batch) they are folded into
    the convolution, which saves a pass over the feature map.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: Size = (1, 1),
        stride: int = 1,
        padding: Size = (0, 0),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        self.scale = nn.Parameter(torch.ones(channels_out))
        self.offset = nn.Parameter(torch.zeros(channels_out))
        self.register_buffer("running_mean", torch.zeros(channels_out))
        self.register_buffer("running_var", torch.ones(channels_out))
        self.momentum = 0.1
        self.statistics: Statistics = "batch"
        self.remember = False
        """Whether the statistics of a batch are kept, with their graph, for "previous"."""
        self._previous: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized convolution of `x`."""
        if not self.training:
            return self._folded(x, self.running_mean, (self.running_var + EPSILON).rsqrt())
        if self.statistics == "previous":
            if self._previous is None:
                raise RuntimeError("there is no previous batch to normalize by")
            return self._folded(x, *self._previous)
        return self._normalized(self.conv(x))

    def _normalized(self, y: Tensor) -> Tensor:
        if y.numel() == y.shape[1]:
            raise UserError("batch normalization needs at least two images per batch; give more images")
        recorded = self.statistics == "batch"
        mean, variance = (self.running_mean, self.running_var) if recorded else (None, None)
        if not self.remember:
            return functional.batch_norm(y, mean, variance, self.scale, self.offset, True, self.momentum, EPSILON)
        normalized: Tensor
        normalized, *statistics = NormalizationWithStatistics.apply(
            y, self.scale, self.offset, mean, variance, self.momentum
        )
        self._previous = (statistics[0], statistics[1])
        return normalized

    def _folded(self, x: Tensor, mean: Tensor, inverse_deviation: Tensor) -> Tensor:
        scale = self.scale * inverse_deviation
        weight, bias = self.conv.weight * scale.view(-1, 1, 1, 1), self.offset - mean * scale
        # The padding is a pair of numbers here; the layer's declared type also allows a name.
        padding: Size = self.conv.padding  # type: ignore[assignment]
        return functional.conv2d(x, weight, bias, self.conv.stride, padding, groups=self.conv.groups)


class ConvUnit(NormalizedConv):
    """Convolution → batch normalization → ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified, normalized convolution of `x`."""
        return super().forward(x).relu_()


class PRes(nn.Module):
    """Projection residual block: (N, c, H, W) → (N, c', ⌈H/2⌉, ⌈W/2⌉).

    The residual is 1×1, 3×3 with stride 2, and 1×1 convolutions; the shortcut is the group projection: average pooling,
    then a normalized 1×1 group convolution with c groups (where c divides c').

    Parameters
    ----------
    channels_in, channels_inner, channels_out : c, the width of the first two convolutions, and c'.
    """

    def __init__(self, channels_in: int, channels_inner: int, channels_out: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels_in, channels_inner)
        self.stride = ConvUnit(channels_inner, channels_inner, (3, 3), stride=2, padding=(1, 1))
        self.expand = NormalizedConv(channels_inner, channels_out)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.project = NormalizedConv(channels_in, channels_out, groups=math.gcd(channels_in, channels_out))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the feature maps of the three convolutions; the last is the output of the block."""
        reduced = self.reduce(x)
        strided = self.stride(reduced)
        return reduced, strided, self.expand(strided).add_(self.project(self.pool(x))).relu_()


class URes(nn.Module):
    """Up-sampling residual block: (N, c, H, W) → (N, c', H', W') with H' = 2H or 2H - 1, and W' likewise.

    The shortcut, a 2×2 group transposed convolution with stride 2, draws a rough image; the residual, a 4×4 transposed
    convolution with stride 2 and a 3×3 convolution, refines it.

    Parameters
    ----------
    channels_in, channels_out : c and c'.
    size : (H', W'); the output of up-sampling is cropped to it.
    """

    def __init__(self, channels_in: int, channels_out: int, size: Size) -> None:
        super().__init__()
        self.size = size
        self.enlarge = nn.Sequential(
            nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )
        self.refine = NormalizedConv(channels_out, channels_out, (3, 3), padding=(1, 1))
        groups = math.gcd(channels_in, channels_out)
        self.draw = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged feature map."""
        height, width = self.size
        rough: Tensor = self.draw(x)[:, :, :height, :width]
        fine: Tensor = self.refine(self.enlarge(x)[:, :, :height, :width])
        return fine.add_(rough).relu_()
