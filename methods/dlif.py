"""DLIF: two layers of pooled linear filters whose responses change slowly while a window drifts over an image."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import product
from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from reprbench import FeatureMaps, Images, ImageShape, Learner, Run, UserError, register

from .iterations import Stages, minimize
from .patches import BLOCK, Whitening, every_patch, normalize_contrast, second_moments, shrunk
from .single_layer import ENCODED_NUMBERS, size_text
from .tracks import Tracks, draw_tracks

SOFTENING = 1e-6
"""Added to the sum of a pair's squared responses under the root, which has no gradient at 0."""
LEAST_VARIANCE = 1e-5
"""Share of the largest variance: components below it are left out, as whitening would amplify rounding errors."""
SIMULATED = "trained on simulated fixation tracks from stills, not on video"


@register("dlif")
class DLIF(Learner):
    """Deep learning of invariant features: filters in pairs that reconstruct, and whose energy changes slowly.

    Source: W. Zou, S. Zhu, K. Yu, A. Ng, "Deep learning of invariant features via simulated fixations in video" (2012).
    With x_t the frames of a track, and z = √(H(Wx)²) where H adds the squares of the filters of a pair,

        λ Σ_t ‖z_t − z_{t+1}‖₁ + Σ_t ‖x_t − WᵀWx_t‖²

    is minimized over W: in layer 1 on whitened patches; in layer 2 on the features z of layer 1 at 2×2 positions of a
    larger window, reduced by PCA. The paper tracks objects in videos, which are not public. Here the tracks are
    simulated on still images (see `tracks`), and every table says so.

    From the paper, from memory: the objective, and the two layers with PCA in between. Our choices, as we had none of
    the paper's numbers: all parameters; that both terms are divided by the number of frames, which does not affect λ;
    contrast and whitening as in `SingleLayer`; components scaled to unit variance; random normal initial filters;
    L-BFGS; layer 1 learned from parts of the same windows as layer 2; and 1e-6 under the root.

    Parameters
    ----------
    receptive_field : side of the windows of layer 1, in pixels.
    shift : pixels between the 2×2 windows of layer 1 in a window of layer 2, a multiple of `stride`; by default
        `receptive_field`, which makes the latter twice as wide, or the next smaller multiple.
    stride : pixels between the positions at which an image is encoded.
    downsample : images are first averaged over squares with a side of this many pixels.
    n_features : units of each layer; each is a pair of filters.
    n_components : how many principal components layer 2 learns from; fewer if layer 1 has fewer dimensions.
    n_tracks, frames : how many tracks are drawn, and how long they are.
    slowness : λ. At 0, the control, any W with WᵀW = 1 is optimal if there are as many filters as dimensions: random
        filters.
    iterations : of L-BFGS in each layer; fewer if the objective no longer falls.
    contrast : added to the variance of a patch, in squared gray levels (0–255).
    whitening : ε, added to the eigenvalues of the covariance of the patches.

    Notes
    -----
    The history has, every ten iterations, ``objective``, its value before them, and ``stage``, the layer.
    """

    version: ClassVar[int] = 1

    receptive_field: PositiveInt = 6
    shift: PositiveInt | None = None
    stride: PositiveInt = 1
    downsample: PositiveInt = 1
    n_features: tuple[PositiveInt, PositiveInt] = (400, 400)
    n_components: PositiveInt = 300
    n_tracks: PositiveInt = 5000
    frames: Annotated[int, Field(ge=2)] = 20
    slowness: NonNegativeFloat = 1.0
    iterations: PositiveInt = 200
    contrast: NonNegativeFloat = 10.0
    whitening: NonNegativeFloat = 0.1

    mean: Tensor
    matrix: Tensor
    first: Tensor
    """(2·n_features[0], d), on whitened patches."""
    center: Tensor
    components: Tensor
    """(k, 4·n_features[0]), divided by the standard deviations."""
    second: Tensor
    """(2·n_features[1], k), on components."""

    def build(self, shape: ImageShape) -> None:
        """Find the windows of layer 2, and count the positions of both layers in an image.

        Raises
        ------
        UserError
            If a window of layer 2 has no room to move in an image, or `shift` is not a multiple of `stride`.
        """
        height, width = (side // self.downsample for side in shape[1:])
        self._shift = self.shift or max(self.stride, self.receptive_field // self.stride * self.stride)
        if self._shift % self.stride:
            raise UserError(
                f"shift={self._shift} is not a multiple of stride={self.stride}; set it to one, or leave it out"
            )
        self._window = self.receptive_field + self._shift
        if self._window >= min(height, width):
            raise UserError(
                f"windows of {self._window}×{self._window} (receptive_field + shift) have no room to move in images of "
                f"{size_text(height, width, self.downsample)}; set receptive_field and shift to at most "
                f"{min(height, width) - 1} together"
            )
        positions = [
            ((height - window) // self.stride + 1) * ((width - window) // self.stride + 1)
            for window in (self.receptive_field, self._window)
        ]
        self._responses = sum(2 * n * units for n, units in zip(positions, self.n_features, strict=True))

    @property
    def encode_batch_size(self) -> int:
        """As many images as have `ENCODED_NUMBERS` filter responses, at most 256."""
        return max(1, min(256, ENCODED_NUMBERS // self._responses))

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return the note that the tracks are simulated."""
        return [SIMULATED]

    def fit(self, images: Images, run: Run) -> None:
        """Draw tracks, and learn layer 1, the components of its features, and layer 2 from them."""
        tracks = draw_tracks(images, self.n_tracks, self.frames, self._window, self.downsample, run)
        stages = Stages(run, 2)
        self._learn_first(tracks.parts(self.receptive_field, run), run, stages)
        self._learn_second(tracks, run, stages)

    def _learn_first(self, tracks: Tracks, run: Run, stages: Stages) -> None:
        frames = tracks.frames(run.device)
        patches = normalize_contrast(frames.flatten(0, 1), self.contrast)
        whitening = Whitening.zca(patches, self.whitening)
        self.mean, self.matrix = whitening.mean, whitening.matrix
        self.first = self._learn(whitening.apply_(patches).view_as(frames), 0, run, stages)

    def _learn_second(self, tracks: Tracks, run: Run, stages: Stages) -> None:
        # The features of all frames may not fit into memory; the windows are cut out again instead.
        found = (self._four(block, tracks.size).flatten(0, 1) for block in tracks.blocks(run.device))
        self.center, self.components = principal_components(found, self.n_components)
        reduced = torch.cat(
            [(self._four(block, tracks.size) - self.center) @ self.components.T for block in tracks.blocks(run.device)]
        )
        self.second = self._learn(reduced, 1, run, stages)

    def _learn(self, tracks: Tensor, layer: int, run: Run, stages: Stages) -> Tensor:
        """Return the filters (2·n_features[layer], d) for whitened `tracks` (n, frames, d)."""
        shape = 2 * self.n_features[layer], tracks.shape[2]
        # WᵀW is close to 1 or, with fewer filters than dimensions, to a projection.
        start = torch.randn(shape, generator=run.generator(f"layer{layer + 1}"), device=run.device) / max(shape) ** 0.5
        moments = second_moments(tracks.flatten(0, 1))
        objective = partial(slow_reconstruction, tracks=tracks, moments=moments, slowness=self.slowness)
        return minimize(objective, start, self.iterations, run, stages)

    def _four(self, frames: Tensor, size: int) -> Tensor:
        """Return the features of layer 1 in the 2×2 parts of `frames` (n, T, size·size·C), (n, T, 4·n_features[0])."""
        windows = frames.flatten(0, 1).unflatten(1, (size, size, -1)).permute(0, 3, 1, 2)
        return self._layer1(windows, self._shift).flatten(1).unflatten(0, frames.shape[:2])

    def _layer1(self, x: Tensor, stride: int) -> Tensor:
        """Return the features of images (N, C, H, W) in 0 … 255, shape (N, H', W', n_features[0])."""
        patches = every_patch(x, self.receptive_field, stride)
        filters, biases = Whitening(self.mean, self.matrix).folded_into(self.first)
        responses = functional.linear(normalize_contrast(patches.flatten(0, 2), self.contrast), filters, biases)
        return pooled(responses).unflatten(0, patches.shape[:3])

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the features of both layers at all positions, channels last in memory."""
        first = self._layer1(shrunk(255 * x, self.downsample), self.stride)
        step = self._shift // self.stride
        height, width = (side - step for side in first.shape[1:3])
        # First the few components, then the many filters: the product of the two matrices would be larger.
        reduced = -(self.components @ self.center)
        corners = product((0, step), (0, step))
        for (top, left), part in zip(corners, self.components.split(first.shape[3], dim=1), strict=True):
            reduced = reduced + functional.linear(first[:, top : top + height, left : left + width], part)
        second = pooled(functional.linear(reduced, self.second))
        return {"layer1": first.permute(0, 3, 1, 2), "layer2": second.permute(0, 3, 1, 2)}


def slow_reconstruction(weights: Tensor, tracks: Tensor, moments: Tensor, slowness: float) -> Tensor:
    """Return the objective per frame and leave its gradient in ``weights.grad``.

    With M = 1 − WᵀW and C the second moments of the frames, their mean reconstruction cost is tr(M C M); the frames
    themselves are needed only for the slowness. The absolute value has the slope 0 at 0.

    Parameters
    ----------
    weights : filters W (2K, d), pairs one after another, a leaf that requires a gradient.
    tracks : frames (n, T, d); worked through in chunks of whole tracks, with sums in float64.
    moments : float64 of shape (d, d), what `second_moments` returns for the frames.
    slowness : λ.
    """
    filters = weights.double()
    unexplained = torch.eye(filters.shape[1], dtype=filters.dtype, device=filters.device) - filters.T @ filters
    reconstruction = ((unexplained @ moments) * unexplained).sum()
    total, slope = filters.new_zeros(()), torch.zeros_like(filters)
    fixed = weights.detach().to(tracks.dtype)
    # Without slowness the frames are not needed.
    for chunk in tracks.split(max(1, BLOCK // tracks.shape[1])) if slowness else ():
        responses = chunk @ fixed.T
        features = pooled(responses)
        changes = features.diff(dim=1)
        total += changes.abs().sum(dtype=torch.float64)
        slopes = torch.zeros_like(features)
        slopes[:, 1:] += changes.sign_()
        slopes[:, :-1] -= changes
        responses.unflatten(2, (-1, 2)).mul_(slopes.div_(features)[..., None])
        slope += responses.flatten(0, 1).T @ chunk.flatten(0, 1)
    weight = slowness / (tracks.shape[0] * tracks.shape[1])
    # Linear in the filters, with the gradient of the slowness.
    (reconstruction + weight * (slope * filters).sum()).backward()  # type: ignore[no-untyped-call]
    return reconstruction.detach() + weight * total


def pooled(responses: Tensor) -> Tensor:
    """Return √(r₁² + r₂² + 1e-6) of every pair of neighbors along the last axis, (…, K) of (…, 2K)."""
    one, other = responses[..., ::2], responses[..., 1::2]
    return torch.addcmul(one.square(), other, other).add_(SOFTENING).sqrt_()


def principal_components(blocks: Iterable[Tensor], most: int) -> tuple[Tensor, Tensor]:
    """Return the mean (d,) of the rows of all `blocks` (n, d), and the matrix to components of unit variance (k, d).

    At most `most` components, and none with less than `LEAST_VARIANCE` of the largest variance; sums in float64.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for block in blocks:
        rows = block.double()
        count, total, squares = count + len(rows), total.to(rows) + rows.sum(0), squares.to(rows) + rows.T @ rows
    mean = total / count
    values, vectors = torch.linalg.eigh(squares / count - torch.outer(mean, mean))
    values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
    kept = values > LEAST_VARIANCE * values[0]
    return mean.float(), (vectors[:, kept] / values[kept].sqrt()).T.float().contiguous()
