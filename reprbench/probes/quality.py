"""Similarity of images to their originals: MSE, PSNR and SSIM, computed by torchmetrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio

from reprbench.measurement import Measurement

SMALL_SIDE = 16
"""Pixels; the window of SSIM, 11 × 11 with σ = 1.5 (Wang et al. 2004), is 5 × 5 with σ = 0.5 for smaller images."""


class Quality:
    """Running means over images (N, C, H, W) in [0, 1].

    MSE is the mean squared error of a pixel's channel; PSNR, in dB, is −10·log₁₀ of that mean over all images; SSIM is
    a mean over images.

    SSIM is that of Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Trans. Image Processing 13 (2004): K₁ = 0.01, K₂ = 0.03, Gaussian weights (see
    `SMALL_SIDE`), the mean over all windows that lie inside the image, for each channel. Versions of torchmetrics
    differ in whether windows that reach over the border count; here, as in that paper and in scikit-image, they do not.

    Parameters
    ----------
    side : the shorter side of the images, in pixels.
    device : where the images are.
    """

    def __init__(self, side: int, device: str = "cpu") -> None:
        self._mse = MeanSquaredError().to(device)
        self._psnr = PeakSignalNoiseRatio(data_range=1.0).to(device)
        self._sigma, self._border = (0.5, 2) if side < SMALL_SIDE else (1.5, 5)
        self._has_window = side > 2 * self._border
        self._similarities: list[Tensor] = []

    def add(self, images: Tensor, originals: Tensor) -> None:
        """Add a batch."""
        images = images.float().contiguous()
        originals = originals.float().contiguous()
        self._mse.update(images, originals)
        self._psnr.update(images, originals)
        if self._has_window:
            self._similarities.append(self._similarity(images, originals))

    def _similarity(self, images: Tensor, originals: Tensor) -> Tensor:
        """Return the SSIM of each image, shape (N,)."""
        _, windows = structural_similarity_index_measure(
            images, originals, data_range=1.0, sigma=self._sigma, reduction="none", return_full_image=True
        )
        inside = slice(self._border, -self._border)
        return torch.as_tensor(windows)[..., inside, inside].flatten(1).mean(1)

    @property
    def mse(self) -> float:
        """The mean squared error so far."""
        return float(self._mse.compute())

    def measurements(self, at: Mapping[str, Any]) -> list[Measurement]:
        """Return MSE, PSNR and SSIM.

        PSNR is left out if images equal their originals, as it is infinite, and SSIM if its window does not fit into
        them.
        """
        place = dict(at)
        found = [Measurement("MSE", self.mse, "", "lower", place)]
        if self.mse > 0:
            found.append(Measurement("PSNR", float(self._psnr.compute()), "dB", "higher", place))
        if self._similarities:
            similarity = float(torch.cat(self._similarities).mean())
            found.append(Measurement("SSIM", similarity, "", "higher", place))
        return found
