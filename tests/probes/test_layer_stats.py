"""Statistics of codes in closed form, against their definitions, and what must change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, ortho_group

from reprbench.probes import layer_stats as probe
from reprbench.probes.layer_stats import effective_rank, layer_stats


def noise(images=60, units=12, seed=0):
    return np.random.default_rng(seed).normal(size=(images, units)).astype(np.float32)


def centered_orthogonal(images, units):
    """Columns that are orthogonal, of norm 1 and of mean 0."""
    basis = np.linalg.qr(np.column_stack([np.ones(images), noise(images, units)]))[0][:, 1:]
    return basis.astype(np.float32)


def test_orthogonal_columns_of_equal_norm_have_as_many_effective_dimensions():
    assert layer_stats(centered_orthogonal(40, 7) + 3).effective_rank == pytest.approx(7, rel=1e-4)


def test_a_matrix_of_rank_one_has_one_effective_dimension():
    codes = np.outer(noise(50, 1), noise(1, 9)).astype(np.float64)
    assert effective_rank(codes, np.arange(9)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("images", "units"), [(60, 12), (12, 60), (300, 40)])
def test_the_effective_rank_is_that_of_the_singular_values(images, units):
    codes = noise(images, units) * np.linspace(0.01, 5, units, dtype=np.float32) + 2
    singular = np.linalg.svd(codes - codes.mean(axis=0, dtype=np.float64), compute_uv=False)
    expected = np.exp(entropy(singular))
    assert layer_stats(codes).effective_rank == pytest.approx(expected, rel=1e-4)
    assert not np.isclose(np.exp(entropy(singular**2)), expected, rtol=0.02)


def test_a_rotation_of_the_units_keeps_the_effective_rank():
    codes = noise(80, 10) * np.arange(1, 11, dtype=np.float32)
    rotated = codes @ ortho_group.rvs(10, random_state=0).astype(np.float32)
    assert layer_stats(rotated).effective_rank == pytest.approx(layer_stats(codes).effective_rank, rel=1e-5)


def test_one_hot_codes_are_as_sparse_as_can_be():
    stats = layer_stats(np.eye(30, dtype=np.float32))
    assert stats.lifetime_sparsity == pytest.approx(1)
    assert stats.population_sparsity == pytest.approx(1)


def test_magnitudes_that_never_differ_are_not_sparse():
    signs = np.where(noise(40, 8) > 0, 1, -1).astype(np.float32)
    stats = layer_stats(signs)
    assert stats.dead == 0
    assert stats.lifetime_sparsity == pytest.approx(0, abs=1e-12)
    assert stats.population_sparsity == pytest.approx(0, abs=1e-12)


def test_sparsities_are_their_definition():
    codes = np.maximum(noise(25, 6), 0)

    def sparsity(a):
        return (1 - np.abs(a).mean() ** 2 / (a**2).mean()) / (1 - 1 / len(a))

    stats = layer_stats(codes)
    assert stats.lifetime_sparsity == pytest.approx(np.mean([sparsity(column) for column in codes.T]))
    assert stats.population_sparsity == pytest.approx(np.mean([sparsity(row) for row in codes if row.any()]))


def test_images_without_any_activity_are_left_out_of_population_sparsity():
    codes = np.maximum(noise(25, 6), 0.01)
    silent = np.concatenate([codes, np.zeros((5, 6), np.float32)])
    assert layer_stats(silent).population_sparsity == pytest.approx(layer_stats(codes).population_sparsity)


def test_dead_units_are_counted_and_change_nothing_else():
    codes = noise()
    dead = np.array([0, 1e-9, 5, -1e6], dtype=np.float32)
    with_dead = np.concatenate([codes, np.tile(dead, (len(codes), 1))], axis=1)
    # Means over equal positions may differ in their last bits.
    with_dead[::2, 14] = np.nextafter(np.float32(5), np.float32(6))
    one, other = layer_stats(codes), layer_stats(with_dead)
    assert (one.dead, other.dead, other.units) == (0, 4, 16)
    assert other.effective_rank == pytest.approx(one.effective_rank)
    assert other.lifetime_sparsity == pytest.approx(one.lifetime_sparsity)
    assert other.population_sparsity == pytest.approx(one.population_sparsity)


def test_a_unit_that_is_active_for_a_single_image_lives():
    codes = np.zeros((50, 2), dtype=np.float32)
    codes[7, 0] = 1e-12
    assert layer_stats(codes).dead == 1


def test_codes_that_are_all_constant_have_no_rank_and_no_sparsity():
    stats = layer_stats(np.full((20, 3), 2, dtype=np.float32))
    assert (stats.dead, stats.effective_rank) == (3, 0)
    assert stats.lifetime_sparsity is None
    assert stats.population_sparsity is None


@pytest.mark.parametrize(
    "change",
    [lambda x: x * np.float32(2.0**30), lambda x: x * np.float32(1e-12), lambda x: x[:, ::-1], lambda x: x[::-1]],
)
def test_scaled_or_permuted_codes_have_the_same_statistics(change):
    codes = np.maximum(noise(60, 12), 0) * np.linspace(0, 1, 12, dtype=np.float32)
    expected, found = layer_stats(codes), layer_stats(change(codes))
    assert (found.dead, found.units) == (expected.dead, expected.units) == (1, 12)
    for name in ("effective_rank", "lifetime_sparsity", "population_sparsity"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


def test_blocks_change_nothing(monkeypatch):
    codes = noise(50, 8)
    whole = layer_stats(codes)
    monkeypatch.setattr("reprbench.probes.standardize._BLOCK", 24)
    pieces = layer_stats(codes)
    assert pieces.effective_rank == pytest.approx(whole.effective_rank, rel=1e-9)
    assert pieces.population_sparsity == pytest.approx(whole.population_sparsity, rel=1e-9)


def test_of_a_very_wide_layer_some_random_units_are_ranked_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(probe, "MOST_UNITS", 10)
    codes = centered_orthogonal(80, 30)
    stats = layer_stats(codes)
    assert (stats.units, stats.ranked) == (30, 10)
    assert stats.effective_rank == pytest.approx(10, rel=1e-4)
