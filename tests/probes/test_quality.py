"""MSE and PSNR against their definitions, SSIM against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from reprbench.probes.quality import Quality


def images(seed: int, side: int = 28, count: int = 6) -> torch.Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


def values(quality: Quality) -> dict[str, float]:
    return {m.metric: m.value for m in quality.measurements({})}


def test_mse_and_psnr_are_those_of_their_definitions_over_all_batches():
    x, y = images(0), images(1)
    quality = Quality(28)
    quality.add(x[:4], y[:4])
    quality.add(x[4:], y[4:])
    mse = float((x - y).square().mean())
    assert values(quality)["MSE"] == pytest.approx(mse, rel=1e-5)
    assert values(quality)["PSNR"] == pytest.approx(-10 * math.log10(mse), rel=1e-5)


def ssim(x: torch.Tensor, y: torch.Tensor, sigma: float) -> float:
    """Return the mean of scikit-image's SSIM, which leaves out windows that reach over the border by itself."""
    options = {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False, "data_range": 1.0}
    pairs = zip(x.double().numpy(), y.double().numpy(), strict=True)
    return float(np.mean([structural_similarity(a, b, channel_axis=0, **options) for a, b in pairs]))


@pytest.mark.parametrize(("side", "sigma"), [(28, 1.5), (16, 1.5), (15, 0.5), (8, 0.5), (5, 0.5)])
def test_ssim_is_that_of_scikit_image_over_windows_inside_the_image(side, sigma):
    x, y = images(0, side), (images(0, side) * 0.7 + images(1, side) * 0.3)
    quality = Quality(side)
    quality.add(y[:4], x[:4])
    quality.add(y[4:], x[4:])
    assert values(quality)["SSIM"] == pytest.approx(ssim(x, y, sigma), abs=2e-6)


def test_images_that_are_not_square_are_measured_by_their_windows_too():
    x, y = torch.rand((2, 1, 1, 20, 33), generator=torch.Generator().manual_seed(2))
    quality = Quality(20)
    quality.add(x, y)
    assert values(quality)["SSIM"] == pytest.approx(ssim(x, y, 1.5), abs=2e-6)


def test_images_smaller_than_the_window_have_no_ssim():
    quality = Quality(4)
    quality.add(images(0, 4), images(1, 4))
    assert set(values(quality)) == {"MSE", "PSNR"}


def test_equal_images_have_no_infinite_psnr():
    quality = Quality(28)
    quality.add(images(0), images(0))
    assert values(quality) == {"MSE": 0.0, "SSIM": pytest.approx(1.0, abs=1e-5)}


def test_channels_last_images_are_measured_alike():
    x, y = images(0), images(1)
    one, other = Quality(28), Quality(28)
    one.add(x, y)
    other.add(x.contiguous(memory_format=torch.channels_last), y)
    assert values(one) == values(other)
