"""Hand-made features, the references of the time before learned ones: gradients' orientations, and colors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from reprbench import FeatureMaps, Images, ImageShape, Learner, Run, UserError, register


@register("hog")
class HOG(Learner):
    """Histograms of oriented gradients, as scikit-image computes them: nothing is learned.

    N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005. The defaults are theirs,
    except for cells of an eighth of the shorter side of the image, at least 4 pixels; they use 8 pixels for 64×128.

    Parameters
    ----------
    orientations : bins of unsigned directions.
    cell : the side of a cell, in pixels.
    block : cells along each side of a block, in which they are normalized together (L2-Hys).
    """

    kind = "pretrained"
    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "hand-made"

    orientations: PositiveInt = 9
    cell: PositiveInt | None = None
    block: PositiveInt = 2

    def build(self, shape: ImageShape) -> None:
        """Choose the size of a cell."""
        side = min(shape[1:])
        self._cell = self.cell or max(4, side // 8)
        if self.cell is None and self._cell * self.block > side:
            self._cell = side // self.block
        if not 0 < self._cell * self.block <= side:
            raise UserError(
                f"a block of {self.block}×{self.block} cells of {self._cell} pixels does not fit into images of "
                f"{shape[1]}×{shape[2]}; set cell or block lower"
            )

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the blocks as a map (N, block²·orientations, H', W'), which protocols may pool."""
        from skimage.feature import hog

        found = [
            hog(
                image,
                self.orientations,
                (self._cell, self._cell),
                (self.block, self.block),
                feature_vector=False,
                channel_axis=0,
            )
            for image in np.ascontiguousarray(x.double().cpu().numpy())
        ]
        blocks = torch.from_numpy(np.stack(found)).float().flatten(3).permute(0, 3, 1, 2)
        return {"blocks": blocks.contiguous().to(x.device)}


@register("color-histogram")
class ColorHistogram(Learner):
    """The share of an image's pixels in each cell of a grid of colors: nothing is learned, and all shape is ignored.

    M. Swain, D. Ballard, "Color indexing", IJCV 7, 1991, who divide their color axes into 8, 16 and 16; in RGB here.

    Parameters
    ----------
    bins : along each axis: bins³ numbers for color images, `bins` for gray ones.
    """

    kind = "pretrained"
    version: ClassVar[int] = 1

    bins: PositiveInt = 8

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the histograms (N, bins^C), which sum to 1."""
        channels = x.shape[1]
        steps = (x * self.bins).long().clamp(0, self.bins - 1)
        places = sum(steps[:, channel] * self.bins ** (channels - 1 - channel) for channel in range(channels))
        flat = torch.as_tensor(places).flatten(1)
        found = torch.zeros(len(x), self.bins**channels, device=x.device)
        found.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32))
        return {"histogram": found / flat.shape[1]}
