from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy, ortho_group

from reprbench.features import View
from reprbench.images import Images
from reprbench.protocols import code_stats
from reprbench.protocols.base import Subject, make_protocols
from reprbench.protocols.code_stats import CodeStats, effective_rank, layer_stats
from reprbench.spec import parse_call


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
    monkeypatch.setattr(code_stats, "MOST_UNITS", 10)
    codes = centered_orthogonal(80, 30)
    stats = layer_stats(codes)
    assert (stats.units, stats.ranked) == (30, 10)
    assert stats.effective_rank == pytest.approx(10, rel=1e-4)


class TwoLayers:
    """A map of three channels, the second of which is dead, then the mean of all pixels and its square."""

    encode_batch_size = 4

    def encode(self, x):
        mean = x.mean((1, 2, 3))
        return {"maps": torch.cat([x, torch.ones_like(x), -x], 1), "code": torch.stack([mean, mean**2], 1)}


class Data:
    name = "toy"
    test = Images(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    folds = (np.array([2, 5]), np.array([1, 3]))


def evaluated(supervised):
    (protocol,) = make_protocols([parse_call("code-stats")])
    asked, learners = [], []

    def features(wanted):
        asked.append(wanted)
        return wanted.view.matrix(TwoLayers().encode(Data.test.batch(wanted.rows))).numpy()

    def learner(trained):
        learners.append(trained)
        return TwoLayers()

    return protocol.evaluate(Subject(Data(), supervised, learner, features), 0), asked, learners


@pytest.mark.parametrize("supervised", [False, True])
def test_what_is_read_is_what_is_asked_for(supervised):
    _, asked, learners = evaluated(supervised)
    (named,) = CodeStats().reads(Data(), supervised)
    (used,) = asked
    assert (used.split, used.view) == (named.split, named.view) == ("test", View(layers="all", pooling="mean", grid=1))
    assert used.rows.tolist() == named.rows.tolist() == list(range(20))
    expected = [2, 5] if supervised else None
    for trained in (used.trained, named.trained, *learners):
        assert (None if trained is None else trained.tolist()) == expected


def test_every_layer_is_measured_at_its_name_and_depth_and_the_last_is_the_headline():
    outcome, _, _ = evaluated(False)
    found = {(m.metric, m.at["layer"], m.at["depth"]): m.value for m in outcome.measurements}
    assert found["units", "maps", 1] == 3
    assert found["units", "code", 2] == 2
    assert found["dead units", "maps", 1] == pytest.approx(100 / 3)
    assert found["dead units", "code", 2] == 0
    # The two live channels are one another's negative.
    assert found["effective rank", "maps", 1] == pytest.approx(1, abs=1e-3)
    assert outcome.headlines[0].at == {"layer": "code"}
    assert {curve.metric for curve in outcome.curves} == {
        "effective rank",
        "dead units",
        "lifetime sparsity",
        "population sparsity",
    }
    assert list(outcome.figures) == ["layers"]
    assert not outcome.warnings
