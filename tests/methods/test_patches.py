from __future__ import annotations

import numpy as np
import pytest
import torch
from common import noise
from reprbench.methods import patches as module
from reprbench.methods.patches import (
    Whitening,
    draw_patches,
    every_patch,
    normalize_contrast,
    second_moments,
    shrunk,
)
from torch.nn import functional

from reprbench import Images
from reprbench.run_context import Budget, Run

SHAPES = [(12, 12), (7, 9), (11, 5)]


def new_run(seed: int = 0, **budget) -> Run:
    return Run(seed, Budget(**(budget or {"epochs": 1})))


def coordinates(count: int, height: int, width: int) -> Images:
    """Images whose three channels are a pixel's row, its column and the image's number."""
    pixels = np.empty((count, 3, height, width), dtype=np.uint8)
    pixels[:, 0], pixels[:, 1] = np.arange(height)[:, None], np.arange(width)
    pixels[:, 2] = np.arange(count)[:, None, None]
    return Images(pixels)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_drawn_patches_are_cut_from_the_images_in_the_order_row_column_channel(height, width):
    drawn = draw_patches(coordinates(20, height, width), 300, 4, 1, new_run())
    assert drawn.shape == (300, 48) and drawn.dtype == torch.float32
    squares = drawn.reshape(300, 4, 4, 3)
    tops, lefts, numbers = squares[:, 0, 0].T
    steps = torch.arange(4)
    assert torch.equal(squares[..., 0], (tops[:, None] + steps)[:, :, None].expand(-1, 4, 4))
    assert torch.equal(squares[..., 1], (lefts[:, None] + steps)[:, None, :].expand(-1, 4, 4))
    assert torch.equal(squares[..., 2], numbers[:, None, None].expand(-1, 4, 4))
    # Every place and every image gets its turn.
    assert set(tops.tolist()) == set(range(height - 3)) and set(lefts.tolist()) == set(range(width - 3))
    assert set(numbers.tolist()) == set(range(20))


def test_a_patch_of_gray_levels_keeps_their_scale():
    drawn = draw_patches(Images(np.full((3, 1, 8, 8), 255, dtype=np.uint8)), 3, 8, 1, new_run())
    assert torch.equal(drawn, torch.full((3, 64), 255.0))


def test_the_draw_depends_on_the_seed_alone_and_not_on_blocks(monkeypatch):
    images = noise(15, shape=(3, 9, 11))
    whole = draw_patches(images, 100, 5, 1, new_run())
    assert torch.equal(whole, draw_patches(images, 100, 5, 1, new_run()))
    assert not torch.equal(whole, draw_patches(images, 100, 5, 1, new_run(seed=1)))
    monkeypatch.setattr(module, "BLOCK", 7)
    assert torch.equal(whole, draw_patches(images, 100, 5, 1, new_run()))


@pytest.mark.parametrize(("allowed", "read"), [(1, 1), (6, 6), (500, 20)])
def test_no_more_images_are_read_than_the_budget_allows(allowed, read):
    run = new_run(images=allowed)
    drawn = draw_patches(coordinates(20, 8, 8), 400, 3, 1, run)
    assert len(drawn[:, 2].unique()) == run.images_seen == read


def test_images_that_are_mapped_from_a_file_give_the_same_patches(tmp_path):
    pixels = noise(12, shape=(3, 9, 11)).pixels(slice(None))
    path = tmp_path / "images.npy"
    np.save(path, pixels)
    mapped = Images(np.load(path, mmap_mode="r"))
    expected = draw_patches(Images(pixels), 60, 4, 2, new_run())
    assert torch.equal(draw_patches(mapped, 60, 4, 2, new_run()), expected)


def test_rows_of_a_larger_set_are_drawn_through_its_subset():
    drawn = draw_patches(coordinates(20, 8, 8).take(np.array([3, 17])), 100, 3, 1, new_run())
    assert set(drawn[:, 2].tolist()) == {3, 17}


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_images_are_averaged_over_whole_squares(factor):
    pixels = noise(4, shape=(3, 11, 9)).pixels(slice(None))
    expected = np.empty((4, 3, 11 // factor, 9 // factor))
    for row, column in np.ndindex(expected.shape[2:]):
        square = pixels[:, :, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        expected[:, :, row, column] = square.astype(float).mean((2, 3))
    small = shrunk(torch.from_numpy(pixels), factor)
    np.testing.assert_allclose(small.numpy(), expected, rtol=1e-6)


def test_patches_drawn_from_small_images_are_those_of_the_averages():
    images = noise(1, shape=(2, 11, 9))
    drawn = draw_patches(images, 50, 3, 2, new_run())
    small = shrunk(torch.from_numpy(images.pixels(slice(None))), 2)
    everywhere = every_patch(small, 3, 1).reshape(-1, 18)
    assert torch.cdist(drawn.double(), everywhere.double()).min(1).values.max() < 1e-4


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_patch_is_a_loop_over_the_positions(height, width, stride, layout):
    x = torch.rand(2, 3, height, width).contiguous(memory_format=layout)
    patches = every_patch(x, 4, stride)
    tops, lefts = range(0, height - 3, stride), range(0, width - 3, stride)
    assert patches.shape == (2, len(tops), len(lefts), 48)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            square = x[:, :, top : top + 4, left : left + 4]
            assert torch.equal(patches[:, i, j], square.permute(0, 2, 3, 1).flatten(1))
    # PyTorch's order is (channel, row, column).
    unfolded = functional.unfold(x, 4, stride=stride).unflatten(1, (3, 4, 4)).permute(0, 4, 2, 3, 1).flatten(2)
    assert torch.equal(patches.flatten(1, 2), unfolded)


@pytest.mark.parametrize("variance", [10.0, 0.1, 0.0])
def test_contrast_is_normalized_by_the_formula_in_place(variance):
    drawn = draw_patches(noise(10, shape=(3, 8, 8)), 40, 3, 1, new_run())
    p = drawn.double().numpy().copy()
    expected = (p - p.mean(1, keepdims=True)) / np.sqrt(p.var(1, ddof=1, keepdims=True) + variance)
    normalized = normalize_contrast(drawn, variance)
    assert normalized is drawn
    np.testing.assert_allclose(normalized.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_patch_without_contrast_becomes_zero():
    assert not normalize_contrast(torch.full((3, 9), 77.0), 10.0).any()


def correlated(count: int = 400, size: int = 6, rank: int | None = None) -> torch.Tensor:
    generator = np.random.default_rng(2)
    mixing = generator.normal(size=(rank or size, size)) * np.geomspace(3, 0.2, rank or size)[:, None]
    return torch.from_numpy(generator.normal(size=(count, rank or size)) @ mixing + 5).float()


@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.1, 10.0])
def test_whitened_patches_have_the_covariance_that_zca_gives_them(epsilon, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    patches = correlated()
    values, vectors = np.linalg.eigh(np.cov(patches.double().numpy().T))
    expected = vectors @ np.diag(values / (values + epsilon)) @ vectors.T
    whitening = Whitening.zca(patches, epsilon)
    whitened = whitening.apply_(patches.clone()).double().numpy()
    np.testing.assert_allclose(np.cov(whitened.T), expected, atol=2e-4)
    np.testing.assert_allclose(whitened.mean(0), 0, atol=1e-4)
    torch.testing.assert_close(whitening.matrix, whitening.matrix.T)
    if epsilon <= 1e-6:
        np.testing.assert_allclose(np.cov(whitened.T), np.eye(6), atol=5e-4)


def test_whitening_turns_nothing_around():
    # The symmetric root, and no other, is the positive definite one.
    assert torch.linalg.eigvalsh(Whitening.zca(correlated(), 0.1).matrix).min() > 0


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_patches_without_variance_in_some_directions_stay_finite(epsilon):
    for patches in (correlated(rank=2), correlated(count=3), torch.full((9, 4), 2.0)):
        whitened = Whitening.zca(patches, epsilon).apply_(patches.clone())
        assert whitened.isfinite().all()
    # What contrast normalization takes away, the mean of each patch, comes back in no whitened patch.
    normalized = normalize_contrast(correlated(), 10.0)
    whitened = Whitening.zca(normalized, 0.1).apply_(normalized.clone())
    assert whitened.sum(1).abs().max() < 1e-4


def test_whitening_is_applied_in_place(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    patches = correlated()
    whitening = Whitening.zca(patches, 0.1)
    expected = (patches.double() - whitening.mean.double()) @ whitening.matrix.double()
    assert whitening.apply_(patches) is patches
    torch.testing.assert_close(patches.double(), expected, rtol=1e-4, atol=1e-5)


def test_folded_filters_respond_as_filters_to_whitened_patches():
    patches = correlated().double()
    whitening = Whitening.zca(patches.float(), 0.1)
    whitening = Whitening(whitening.mean.double(), whitening.matrix.double())
    filters = torch.randn(5, 6, dtype=torch.float64)
    folded, biases = whitening.folded_into(filters)
    torch.testing.assert_close(patches @ folded.T + biases, whitening.apply_(patches.clone()) @ filters.T)


def test_no_more_patches_are_drawn_than_there_are_places():
    images = noise(3, shape=(1, 8, 9))
    assert draw_patches(images, 10_000, 4, 1, new_run()).shape == (3 * 5 * 6, 16)
    assert draw_patches(images, 10_000, 4, 2, new_run()).shape == (3, 16)


@pytest.mark.parametrize("count", [1, 7, 20])
def test_second_moments_are_the_mean_products_of_all_patches(count, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    patches = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    found = second_moments(torch.from_numpy(patches))
    assert found.dtype == torch.float64
    expected = np.mean([np.outer(patch, patch) for patch in patches.astype(np.float64)], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
