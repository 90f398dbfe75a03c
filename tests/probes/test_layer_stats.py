"""Statistics of codes in closed form, against their definitions, and what must change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from reprbench.probes import spectra
from reprbench.probes.layer_stats import layer_stats
from reprbench.probes.spectra import rank_me, spectrum


def noise(images=60, units=12, seed=0):
    return np.random.default_rng(seed).normal(size=(images, units)).astype(np.float32)


def test_rank_me_of_a_layer_is_that_of_its_codes():
    codes = noise(50, 9) + 1
    assert layer_stats(codes).rank_me == rank_me(spectrum(codes, np.arange(9), centered=False))


def test_a_rotation_of_the_units_keeps_rank_me():
    codes = noise(80, 10) * np.arange(1, 11, dtype=np.float32)
    rotated = codes @ ortho_group.rvs(10, random_state=0).astype(np.float32)
    assert layer_stats(rotated).rank_me == pytest.approx(layer_stats(codes).rank_me, rel=1e-5)


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


def test_dead_units_are_counted_and_change_no_sparsity():
    codes = noise()
    dead = np.array([0, 1e-9, 5, -1e6], dtype=np.float32)
    with_dead = np.concatenate([codes, np.tile(dead, (len(codes), 1))], axis=1)
    # Means over equal positions may differ in their last bits.
    with_dead[::2, 14] = np.nextafter(np.float32(5), np.float32(6))
    one, other = layer_stats(codes), layer_stats(with_dead)
    assert (one.dead, other.dead, other.units) == (0, 4, 16)
    assert other.lifetime_sparsity == pytest.approx(one.lifetime_sparsity)
    assert other.population_sparsity == pytest.approx(one.population_sparsity)


def test_a_unit_that_is_active_for_a_single_image_lives():
    codes = np.zeros((50, 2), dtype=np.float32)
    codes[7, 0] = 1e-12
    assert layer_stats(codes).dead == 1


def test_codes_that_are_all_constant_have_no_rank_and_no_sparsity():
    stats = layer_stats(np.full((20, 3), 2, dtype=np.float32))
    assert stats.dead == 3
    assert stats.rank_me == pytest.approx(1, abs=1e-4)
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
    for name in ("rank_me", "lifetime_sparsity", "population_sparsity"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


def test_blocks_change_nothing(monkeypatch):
    codes = noise(50, 8)
    whole = layer_stats(codes)
    monkeypatch.setattr("reprbench.probes.standardize._BLOCK", 24)
    pieces = layer_stats(codes)
    assert pieces.rank_me == pytest.approx(whole.rank_me, rel=1e-9)
    assert pieces.population_sparsity == pytest.approx(whole.population_sparsity, rel=1e-9)


def test_of_a_very_wide_layer_some_random_units_are_ranked_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(spectra, "MOST_UNITS", 10)
    codes = np.linalg.qr(noise(80, 30))[0]
    stats = layer_stats(codes)
    assert (stats.units, stats.ranked) == (30, 10)
    assert stats.rank_me == pytest.approx(10, rel=1e-4)
