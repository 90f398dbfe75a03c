"""MSE, PSNR and SSIM against closed forms, and against the definition of SSIM."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

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
    """SSIM of one channel from its definition; beyond the border the image is mirrored."""
    radius = int(3.5 * sigma + 0.5)
    a, b = x.double().numpy(), y.double().numpy()
    mean = lambda z: gaussian_filter(z, sigma, truncate=radius / sigma, mode="mirror")  # noqa: E731
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    index = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    return float(index.mean())


@pytest.mark.parametrize(("side", "sigma"), [(28, 1.5), (16, 1.5), (15, 0.5), (8, 0.5)])
def test_ssim_is_that_of_its_definition(side, sigma):
    x, y = images(0, side), (images(0, side) * 0.7 + images(1, side) * 0.3)
    quality = Quality(side)
    quality.add(x, y)
    expected = sum(ssim(a, b, sigma) for x_, y_ in zip(x, y, strict=True) for a, b in zip(x_, y_, strict=True))
    assert values(quality)["SSIM"] == pytest.approx(expected / (3 * len(x)), abs=2e-4)


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
