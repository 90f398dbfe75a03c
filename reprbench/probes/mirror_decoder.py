"""Mirror decoders: networks that learn to reconstruct images from a layer's frozen features, with equal budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reprbench.batch_norm import average
from reprbench.errors import Diverged
from reprbench.outputs import CheckedBatches
from reprbench.run_context import derive_seed, seeded
from reprbench.state import evaluating

if TYPE_CHECKING:
    from reprbench.images import Images, Indices
    from reprbench.learner import FeatureMaps, ImageShape, Learner

CALIBRATION_BATCHES = 8
"""The number of first batches whose features give the mean and scale by which each channel is standardized, and on
which the averages of the batch normalizations of trained decoders are measured."""
SMALLEST_SCALE = 0.01
"""Share of the root of the mean variance of a layer's channels, so that nearly constant ones are not scaled up."""
LARGEST_LINEAR = 2**25
"""Most weights of the layer that turns a vector into a map; if there would be more, the map starts smaller."""


@dataclass(frozen=True)
class DecoderBudget:
    """The training budget of every decoder of every learner.

    Attributes
    ----------
    steps : of Adam.
    batch_size : images of a step.
    width : channels of all maps inside the decoder.
    lr : Adam's.
    """

    steps: int
    batch_size: int
    width: int
    lr: float


class MirrorDecoder(nn.Module):
    """From features (N, C, H, W) or (N, D) to images in [0, 1]; our choice of architecture, the same for all layers.

    A 1×1 convolution brings the channels of a map to `width`; a linear layer turns a vector into a map of `width`
    channels and ⌈1/8⌉ of the image's sides. Then, until the map is as large as the image: upsampling by 2 (nearest
    neighbor, at most to the image's size), 3×3 convolution, batch normalization, ReLU. Finally a 3×3 convolution and a
    sigmoid. Maps larger than the image are first averaged down to its size.

    Parameters
    ----------
    features : the shape of one image's features.
    image : (channels, height, width).
    width : channels of the maps.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Sequence[int], image: ImageShape, width: int) -> None:
        super().__init__()
        channels, *full = image
        self._vector = len(features) == 1
        if self._vector:
            size = _start(features[0], full, width)
            self._shape = (width, *size)
            self.first: nn.Module = nn.Linear(features[0], int(np.prod(self._shape)))
        else:
            size = [min(side, most) for side, most in zip(features[1:], full, strict=True)]
            self._shape = (features[0], *size)
            self.first = nn.Conv2d(features[0], width, 1)
        blocks: list[nn.Module] = []
        while size != full:
            size = [min(2 * side, most) for side, most in zip(size, full, strict=True)]
            # Nearest neighbor: the gradient of bilinear interpolation is not reproducible on CUDA.
            blocks += [
                nn.Upsample(size=tuple(size), mode="nearest"),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, channels, 3, padding=1), nn.Sigmoid())
        self.register_buffer("mean", torch.zeros(features[0]))
        self.register_buffer("scale", torch.ones(features[0]))

    def standardize_by(self, mean: Tensor, variance: Tensor) -> None:
        """Set the mean and the variance by which each channel is standardized."""
        floor = SMALLEST_SCALE * variance.mean().sqrt()
        scale = torch.maximum(variance.sqrt(), floor)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 0, scale, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return the images of `features`, float32 (N, C, H, W)."""
        places = (1, -1, *[1] * (features.ndim - 2))
        standard = (features.float() - self.mean.view(places)) / self.scale.view(places)
        if self._vector:
            start: Tensor = self.first(standard).unflatten(1, self._shape)
        else:
            if tuple(standard.shape[2:]) != self._shape[1:]:
                standard = functional.adaptive_avg_pool2d(standard, (self._shape[1], self._shape[2]))
            start = self.first(standard)
        images: Tensor = self.blocks(start)
        return images


def encoded(learner: Learner, x: Tensor) -> FeatureMaps:
    """Return the features of `x`, in evaluation mode, without gradients, in batches of the learner's size."""
    checks = CheckedBatches()
    with evaluating(learner):
        parts = [checks.add(learner.encode(part), len(part)) for part in torch.split(x, learner.encode_batch_size)]
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def train_decoders(
    learner: Learner,
    images: Images,
    layers: Sequence[str],
    budget: DecoderBudget,
    seed: int,
    device: str,
    advance: Callable[[float], None] = lambda share: None,
) -> dict[str, MirrorDecoder]:
    """Return one decoder per layer, in evaluation mode, each trained on the features of `images` with the budget.

    A step encodes one batch, once, and updates every decoder by its own mean squared error. A decoder's initial weights
    depend on the seed and the layer's name, and the batches on the seed: training other layers along with it changes
    nothing. In the end the running averages of its batch normalizations are measured anew: those that so few steps
    leave belong to other weights.

    Raises
    ------
    Diverged
        If a decoder's last error is not finite.
    """
    maps = encoded(learner, images.batch(slice(0, 1), device))
    decoders = {name: _made(maps[name].shape[1:], images.shape, budget.width, seed, name).to(device) for name in layers}
    _calibrate(decoders, learner, images, budget, seed, device)
    optimizers = {name: torch.optim.Adam(decoder.parameters(), lr=budget.lr) for name, decoder in decoders.items()}
    losses: dict[str, Tensor] = {}
    for step, rows in enumerate(_batches(len(images), budget, seed)):
        x = images.batch(rows, device)
        maps = encoded(learner, x)
        losses = {name: _step(decoders[name], optimizers[name], maps[name], x) for name in decoders}
        advance((step + 1) / budget.steps)
    _measure_averages(decoders, learner, images, budget, seed, device)
    return {name: _trained(name, decoder, losses[name]) for name, decoder in decoders.items()}


def _trained(layer: str, decoder: MirrorDecoder, loss: Tensor) -> MirrorDecoder:
    """Return the decoder of a layer in evaluation mode; raise `Diverged` if its last error is not finite."""
    if not bool(torch.isfinite(loss)):
        raise Diverged(f"the mirror decoder of layer {layer!r} ended with an error of {float(loss)}")
    return decoder.eval()


def _step(decoder: MirrorDecoder, optimizer: torch.optim.Optimizer, features: Tensor, x: Tensor) -> Tensor:
    """Update a decoder by its mean squared error on `x` (N, C, H, W), and return that."""
    optimizer.zero_grad(set_to_none=True)
    loss = functional.mse_loss(decoder(features), x)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def _start(features: int, full: Sequence[int], width: int) -> list[int]:
    """Return the size of the map that a vector of `features` numbers is turned into."""
    size = [-(-side // 8) for side in full]
    while features * width * size[0] * size[1] > LARGEST_LINEAR and max(size) > 1:
        size = [-(-side // 2) for side in size]
    return size


def _made(shape: Sequence[int], image: ImageShape, width: int, seed: int, layer: str) -> MirrorDecoder:
    with seeded(seed, f"reconstruction/{layer}"):
        decoder = MirrorDecoder(shape, image, width)
    decoder.to(memory_format=torch.channels_last)
    return decoder


def _batches(length: int, budget: DecoderBudget, seed: int) -> Iterator[Indices]:
    """Yield the rows of every step: all images in a new order for each epoch, full batches only."""
    generator = np.random.default_rng(derive_seed(seed, "reconstruction/batches"))
    size = min(budget.batch_size, length)
    order, start = generator.permutation(length), 0
    for _ in range(budget.steps):
        if start + size > length:
            order, start = generator.permutation(length), 0
        yield np.sort(order[start : start + size]).astype(np.int64)
        start += size


def _first_batches(images: Images, budget: DecoderBudget, seed: int, device: str) -> Iterator[Tensor]:
    """Yield the images of the first steps, by which statistics are measured."""
    for rows in islice(_batches(len(images), budget, seed), CALIBRATION_BATCHES):
        yield images.batch(rows, device)


def _measure_averages(
    decoders: Mapping[str, MirrorDecoder],
    learner: Learner,
    images: Images,
    budget: DecoderBudget,
    seed: int,
    device: str,
) -> None:
    """Measure the averages of all batch normalizations over the first batches."""

    def decode(x: Tensor) -> None:
        maps = encoded(learner, x)
        for name, decoder in decoders.items():
            decoder(maps[name])

    units = [unit for decoder in decoders.values() for unit in decoder.modules() if isinstance(unit, nn.BatchNorm2d)]
    with torch.no_grad():
        average(units, decode, _first_batches(images, budget, seed, device))


def _calibrate(
    decoders: Mapping[str, MirrorDecoder],
    learner: Learner,
    images: Images,
    budget: DecoderBudget,
    seed: int,
    device: str,
) -> None:
    """Measure mean and variance of every channel over the first batches."""
    sums = {name: torch.zeros(3, len(decoder.mean), dtype=torch.float64) for name, decoder in decoders.items()}
    for batch in _first_batches(images, budget, seed, device):
        maps = encoded(learner, batch)
        for name in decoders:
            values = maps[name].double().transpose(0, 1).flatten(1)
            count = torch.full_like(values[:, 0], values.shape[1])
            sums[name] += torch.stack([count, values.sum(1), values.square().sum(1)]).cpu()
    for name, (count, total, squares) in sums.items():
        mean = total / count
        decoders[name].standardize_by(mean, (squares / count - mean.square()).clamp(min=0))
