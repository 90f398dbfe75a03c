"""Adaptive deconvolutional networks: layers of sparse maps, each reconstructing the image through switches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from reprbench import FeatureMaps, ImageShape, Run, UserError, register

from .deconvolution import ReconstructionOperator, Switches, fitted_filters, infer, normalized
from .layerwise import LayerwiseLearner

VARIANCE_FLOOR = 1e-4
"""Added to an image's variance, so that one of a single color becomes zeros instead of noise."""
ENCODED_AT_ONCE = 64


@register("deconvnet")
class DeconvNet(LayerwiseLearner):
    """Deconvolutional network: maps z_l that nearly minimize (λ_l/2)‖R_l z_l − y‖² + ‖z_l‖₁, for l = 1, 2, … in turn.

    Source: M. Zeiler, G. Taylor, R. Fergus, "Adaptive deconvolutional networks for mid and high level feature learning"
    (2011). R_l = F₁U₁F₂U₂…F_l reconstructs the image y, not the layer below: F sums over maps convolved with filters,
    and U puts each value where a switch points, the place of the largest magnitude in a window of 2 adjacent maps × 3 ×
    3 of the layer below. Inference is ISTA with steps set by power iteration; the filters of a layer, all of whose
    planes have unit norm, are found by conjugate gradients before the next layer starts. The defaults of `maps`,
    `lambdas`, `kernel`, `pool` and `ista_steps` are the paper's as we remember them: none was checked against its text.

    Our choices: every map is connected to all maps below; the image's mean and standard deviation (of all pixels and
    channels together) replace local contrast normalization, so that only these two numbers have to be restored in a
    reconstruction; inference starts from 0 for every batch, in training as in encoding; the switches of a layer are set
    once, after its last ISTA step; filters change after every batch, and each layer gets an equal share of the budget;
    the numbers of steps not named above, and the batch size. Norm 1 is that of each plane of a filter: with norm 1 for
    all planes of a filter together, these λ left layers 3 and 4 without an active entry on crops of two photographs,
    64 × 64.

    Nothing runs in bfloat16: exact line searches and thresholds need full precision.

    Parameters
    ----------
    maps : the number of maps of each layer.
    lambdas : λ of each layer, the weight of the reconstruction against sparsity. The paper's are for images of about
        150 × 150; on small images, which excite fewer filters, the upper layers may stay empty (a warning reports it)
        and need larger ones.
    kernel : height and width of the filters. A layer's maps are larger by ``kernel - 1`` than what they reconstruct,
        so that images may have any size.
    pool : height and width of the windows; those at the far edges are cut off.
    ista_steps : of the inference of each layer.
    filter_steps : conjugate gradient steps after each batch.

    Notes
    -----
    Entries have signs; `encode` returns their magnitudes, as the switches use, because pooling would cancel or overlook
    negative ones. The history has, for the layer being trained (``layer``, from 1), ``objective``, the cost per image;
    ``reconstruction``, the mean squared error of the normalized image, which is about the unexplained share of its
    variance; and ``sparsity``, ‖z‖₁ per image.
    """

    version: ClassVar[int] = 1

    batch_size: PositiveInt = 64
    maps: tuple[PositiveInt, ...] = (15, 50, 100, 150)
    lambdas: tuple[PositiveFloat, ...] = (2.0, 0.1, 0.005, 0.001)
    kernel: PositiveInt = 7
    pool: PositiveInt = 3
    ista_steps: PositiveInt = 10
    filter_steps: PositiveInt = 2

    filters: nn.ParameterList
    """For each layer, (maps below after pooling, maps, kernel, kernel)."""

    def build(self, shape: ImageShape) -> None:
        """Draw the filters, and the initial image of power iterations, which is the same for all seeds."""
        if not self.maps or len(self.maps) != len(self.lambdas):
            counts = f"{len(self.maps)} and {len(self.lambdas)} numbers"
            raise UserError(f"maps and lambdas need one number per layer, not {counts}: make them equally long")
        below = [shape[0], *(-(-count // 2) for count in self.maps)]
        self.filters = nn.ParameterList(
            nn.Parameter(normalized(torch.randn(down, up, self.kernel, self.kernel)), requires_grad=False)
            for down, up in zip(below, self.maps, strict=False)
        )
        self._probe = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))

    @property
    def encode_batch_size(self) -> int:
        """Fewer images than usual: the first layer has many maps, each larger than the image."""
        return ENCODED_AT_ONCE

    def optimizers(self) -> dict[str, Optimizer]:
        """Return none: filters are fitted by least squares."""
        return {}

    @torch.no_grad()
    def step(self, x: Tensor, optimizers: Mapping[str, Optimizer], run: Run) -> Mapping[str, Tensor]:
        """Infer the maps of a batch up to the layer whose turn it is, and improve that layer's filters."""
        layer = self.turn(run, len(self.maps))
        y, _, _ = contrast_normalized(x)
        *_, (z, reconstruction) = self._inferred(y, layer + 1)
        errors = (reconstruction.images(z) - y).square()
        filters = fitted_filters(reconstruction, z, y, self.filter_steps)
        self.filters[layer].copy_(normalized(filters))
        sparsity = z.abs().sum() / len(x)
        return {
            "layer": torch.full((), layer + 1.0),
            "objective": self.lambdas[layer] / 2 * errors.sum() / len(x) + sparsity,
            "reconstruction": errors.mean(),
            "sparsity": sparsity,
        }

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return |z| of every layer, "layer1" first."""
        y, _, _ = contrast_normalized(x)
        inferred = self._inferred(y, len(self.maps))
        return {f"layer{number}": z.abs() for number, (z, _) in enumerate(inferred, start=1)}

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return R_l z_l of a layer, by default the last, with the image's own mean and contrast, clipped to [0, 1].

        Raises
        ------
        UserError
            If there is no such layer.
        """
        names = [f"layer{number}" for number in range(1, len(self.maps) + 1)]
        if layer is not None and layer not in names:
            raise UserError(f"{self.method_name} reconstructs from {', '.join(names)}, not from {layer!r}")
        y, mean, contrast = contrast_normalized(x)
        *_, (z, reconstruction) = self._inferred(y, len(names) if layer is None else names.index(layer) + 1)
        return (reconstruction.images(z) * contrast + mean).clamp(0, 1)

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning for each layer whose maps were all zero for an epoch."""
        empty = sorted({int(row["layer"]) for row in history if row.get("sparsity") == 0})
        return [f"no entry of layer {layer}'s maps was active in training; raise its lambda" for layer in empty]

    def _inferred(self, y: Tensor, depth: int) -> Iterator[tuple[Tensor, ReconstructionOperator]]:
        """Yield the maps and R of the first `depth` layers; each layer uses the fixed switches of those below."""
        switches: list[Switches] = []
        filters = list(self.filters)[:depth]
        probe = self._probe.to(y)
        for layer, fidelity in enumerate(self.lambdas[:depth]):
            reconstruction = ReconstructionOperator(filters[: layer + 1], tuple(switches))
            z = infer(reconstruction, y, fidelity, probe, self.ista_steps)
            yield z, reconstruction
            if layer + 1 < depth:
                switches.append(Switches.of(z, self.pool))


def contrast_normalized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return images of mean 0 and variance 1, and the mean and contrast (N, 1, 1, 1) that restore `x`."""
    mean = x.mean((1, 2, 3), keepdim=True)
    contrast = (x.var((1, 2, 3), correction=0, keepdim=True) + VARIANCE_FLOOR).sqrt()
    return (x - mean) / contrast, mean, contrast
