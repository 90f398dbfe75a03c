"""How near images are to their originals: MSE, PSNR and SSIM, computed by torchmetrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from reprbench.trial import Measurement

SMALL_SIDE = 16
"""Pixels; the window of SSIM, 11 × 11 with σ = 1.5 (Wang et al. 2004), is 5 × 5 with σ = 0.5 for smaller images."""


class Quality:
    """Running means over images (N, C, H, W) in [0, 1].

    MSE is the mean squared error of a pixel's channel; PSNR, in dB, is −10·log₁₀ of that mean over all images; SSIM
    (Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment", 2004) is a mean over images.
    """

    def __init__(self, side: int, device: str = "cpu") -> None:
        self._mse = MeanSquaredError().to(device)
        self._psnr = PeakSignalNoiseRatio(data_range=1.0).to(device)
        sigma = 0.5 if side < SMALL_SIDE else 1.5
        self._ssim = StructuralSimilarityIndexMeasure(data_range=1.0, sigma=sigma).to(device)

    def add(self, images: Tensor, originals: Tensor) -> None:
        """Count a batch in."""
        images = images.float().contiguous()
        originals = originals.float().contiguous()
        for metric in (self._mse, self._psnr, self._ssim):
            metric.update(images, originals)

    @property
    def mse(self) -> float:
        """The mean squared error so far."""
        return float(self._mse.compute())

    def measurements(self, at: Mapping[str, Any], prefix: str = "") -> list[Measurement]:
        """Return the three measurements; PSNR is left out where images equal their originals and it is infinite."""
        place = dict(at)
        found = [
            Measurement(f"{prefix}MSE", self.mse, "", "lower", place),
            Measurement(f"{prefix}SSIM", float(torch.as_tensor(self._ssim.compute())), "", "higher", place),
        ]
        if self.mse > 0:
            found.insert(1, Measurement(f"{prefix}PSNR", float(self._psnr.compute()), "dB", "higher", place))
        return found
