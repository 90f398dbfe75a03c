"""RankMe, α-ReQ and LiDAR in closed form, against their definitions, and what must change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import entropy, ortho_group

from reprbench.errors import Diverged
from reprbench.probes import spectra
from reprbench.probes.spectra import lidar, power_law, rank_me, representatives, spectrum


def noise(images: int = 60, units: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(images, units)).astype(np.float32)


def moments(codes: np.ndarray) -> np.ndarray:
    return spectrum(codes, np.arange(codes.shape[1]), centered=False)


def covariance(codes: np.ndarray) -> np.ndarray:
    return spectrum(codes, np.arange(codes.shape[1]), centered=True)


# -- eigenvalues ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (30, 30)])
@pytest.mark.parametrize("block", [24, 2**20])
def test_eigenvalues_are_those_of_numpy(monkeypatch, shape, block):
    monkeypatch.setattr("reprbench.probes.standardize._BLOCK", block)
    codes = noise(*shape) * np.linspace(0.1, 5, shape[1], dtype=np.float32) + 2
    double = codes.astype(np.float64)
    for found, matrix in ((moments(codes), double), (covariance(codes), double - double.mean(0))):
        expected = np.linalg.svd(matrix, compute_uv=False) ** 2 / len(codes)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert len(found) == min(shape)


def test_eigenvalues_of_some_columns_are_those_of_the_matrix_of_these():
    codes, columns = noise(50, 9), np.array([7, 2, 3])
    assert spectrum(codes, columns, centered=True) == pytest.approx(covariance(codes[:, columns]))


def test_eigenvalues_that_are_0_but_for_rounding_are_0():
    codes = np.outer(noise(50, 1), noise(1, 9))
    assert (moments(codes) > 0).sum() == 1


def test_codes_that_are_not_finite_are_reported():
    codes = noise()
    codes[3, 1] = np.nan
    with pytest.raises(Diverged, match="NaN or infinite"):
        moments(codes)


def test_a_wide_layer_is_represented_by_random_units_that_are_always_the_same(monkeypatch):
    monkeypatch.setattr(spectra, "MOST_UNITS", 10)
    assert representatives(10, "a").tolist() == list(range(10))
    drawn = representatives(30, "a")
    assert len(set(drawn.tolist())) == 10 and drawn.max() < 30
    assert np.array_equal(drawn, representatives(30, "a")) and not np.array_equal(drawn, representatives(30, "b"))


# -- RankMe -----------------------------------------------------------------------------------------------------------


def test_orthogonal_columns_of_equal_norm_have_as_many_ranks():
    assert rank_me(moments(np.linalg.qr(noise(40, 7))[0])) == pytest.approx(7, rel=1e-4)


def test_an_isotropic_gaussian_has_nearly_full_rank_and_its_mean_takes_rank_away():
    codes = noise(20_000, 10)
    assert rank_me(moments(codes)) == pytest.approx(10, rel=1e-3)
    # With singular values 1 (nine times) and √(1 + 10·100²): shares 9·(1/s) and the rest.
    large = np.sqrt(1 + 10 * 100.0**2)
    assert rank_me(moments(codes + 100)) == pytest.approx(np.exp(entropy([1.0] * 9 + [large])), rel=2e-3)


def test_features_of_rank_one_have_rank_one():
    # Eight shares of ε = 1e-7 add 8·ε·log(1/ε).
    codes = np.outer(noise(50, 1), noise(1, 9))
    assert rank_me(moments(codes)) == pytest.approx(np.exp(8e-7 * np.log(1e7)), abs=1e-6)


@pytest.mark.parametrize(("images", "units"), [(60, 12), (12, 60)])
def test_rank_me_is_its_definition(images, units):
    codes = noise(images, units) * np.geomspace(1e-3, 5, units).astype(np.float32) + 1
    singular = np.linalg.svd(codes.astype(np.float64), compute_uv=False)
    shares = singular / singular.sum() + 1e-7
    assert rank_me(moments(codes)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    assert not np.isclose(np.exp(entropy(singular**2)), rank_me(moments(codes)), rtol=0.02)


def test_codes_that_are_0_have_no_rank():
    assert rank_me(moments(np.zeros((20, 3), np.float32))) == 0


# -- α-ReQ ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("count", [40, 100, 500])
def test_the_exponent_of_a_power_law_is_found_exactly(alpha, count):
    law = power_law(7 * np.arange(1, count + 1) ** -alpha)
    assert law.alpha == pytest.approx(alpha, rel=1e-9)
    assert np.exp(law.intercept) == pytest.approx(7, rel=1e-9)
    assert law.last == min(count, 100)


def test_only_the_ranks_from_11_to_100_count():
    values = np.arange(1, 301) ** -1.0
    values[:10] = 5
    values[100:] = 1e-5
    assert power_law(values).alpha == pytest.approx(1, rel=1e-9)


def test_ranks_are_weighted_as_in_the_code_of_stringer():
    values = np.sort(np.random.default_rng(0).uniform(0.1, 1, 120))[::-1]
    ranks = np.arange(11, 101)
    x, weights = np.column_stack([-np.log(ranks), np.ones(90)]), 1 / ranks
    expected = np.linalg.solve((x.T * weights) @ x, (x.T * weights) @ np.log(values[10:100]))
    law = power_law(values)
    assert (law.alpha, law.intercept) == pytest.approx(tuple(expected))


def test_gaussian_codes_with_a_power_law_have_about_its_exponent():
    codes = (np.random.default_rng(0).normal(size=(20_000, 120)) * np.arange(1, 121) ** -0.6).astype(np.float32)
    rotated = codes @ ortho_group.rvs(120, random_state=0).astype(np.float32)
    assert power_law(covariance(rotated + 3)).alpha == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("positive", [12, 13])
def test_too_few_eigenvalues_have_no_exponent(positive):
    values = np.zeros(20)
    values[:positive] = np.arange(1, positive + 1) ** -1.0
    assert (power_law(values) is None) == (positive == 12)


# -- LiDAR ------------------------------------------------------------------------------------------------------------


def views(images: int = 40, count: int = 5, units: int = 6, spread: float = 0.5, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(images, 1, units)) * np.linspace(0.2, 2, units)
    return (means + spread * generator.normal(size=(images, count, units)) + 3).astype(np.float32)


def test_lidar_is_its_definition():
    codes = views().astype(np.float64)
    means = codes.mean(1)
    centered = means - means.mean(0)
    within = (codes - means[:, None]).reshape(-1, 6)
    outer, inner = centered.T @ centered / 40, within.T @ within / 200
    variance = codes.reshape(-1, 6).var(0).mean()
    root = np.linalg.inv(sqrtm(inner / variance + 1e-4 * np.eye(6)))
    values = np.linalg.eigvalsh(root @ (outer / variance) @ root)
    shares = values / values.sum() + 1e-7
    assert lidar(views()) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_means_and_views_that_are_isotropic_have_full_rank():
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(5000, 1, 8)) + 0.3 * generator.normal(size=(5000, 4, 8))
    assert lidar(codes.astype(np.float32)) == pytest.approx(8, rel=5e-3)


def test_images_that_differ_in_one_direction_have_rank_one():
    generator = np.random.default_rng(0)
    # Views without any difference: Σ_w is δ·I alone.
    codes = np.repeat(generator.normal(size=(50, 1, 1)) * generator.normal(size=(1, 1, 7)), 3, axis=1)
    assert lidar(codes.astype(np.float32)) == pytest.approx(1, abs=1e-3)


def test_directions_in_which_only_views_differ_do_not_count():
    codes = views(400, 10, 6, spread=0.01)
    noisy = codes.copy()
    noisy[:, :, :3] = np.random.default_rng(1).normal(size=(400, 10, 3))
    assert lidar(codes) == pytest.approx(rank_me(np.square(spectrum_of_lidar(codes))), rel=1e-3)
    assert lidar(noisy) < 3.1


def spectrum_of_lidar(codes: np.ndarray) -> np.ndarray:
    """Return LiDAR's eigenvalues by another way: those of (Σ_w + δI)⁻¹ Σ_b."""
    codes = codes.astype(np.float64) / np.sqrt(codes.reshape(-1, codes.shape[2]).astype(np.float64).var(0).mean())
    within = np.mean([np.cov(one.T, ddof=0) for one in codes], axis=0) + 1e-4 * np.eye(codes.shape[2])
    return np.sort(np.linalg.eigvals(np.linalg.solve(within, np.cov(codes.mean(1).T, ddof=0))).real)[::-1]


def test_one_code_for_all_has_no_lidar():
    assert lidar(np.ones((10, 3, 4), np.float32)) == 0


CHANGES = {
    "scaled up": lambda x: x * np.float32(2.0**20),
    "scaled down": lambda x: x * np.float32(2.0**-20),
    "permuted": lambda x: x[..., ::-1].copy(),
    "rotated": lambda x: x @ ortho_group.rvs(x.shape[-1], random_state=1).astype(np.float32),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_scaled_permuted_or_rotated_codes_have_the_same_numbers(change):
    codes = noise(200, 30) * np.geomspace(0.1, 1, 30).astype(np.float32) + 1
    assert rank_me(moments(change(codes))) == pytest.approx(rank_me(moments(codes)), rel=1e-5)
    assert power_law(covariance(change(codes))).alpha == pytest.approx(power_law(covariance(codes)).alpha, rel=1e-4)
    assert lidar(change(views())) == pytest.approx(lidar(views()), rel=1e-4)
