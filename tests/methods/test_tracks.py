from __future__ import annotations

import numpy as np
import pytest
import torch
from common import noise
from fits import blobs
from numpy.lib.stride_tricks import sliding_window_view
from reprbench.methods.tracks import Tracks, draw_tracks, smooth_paths

from reprbench import Budget, Images, Run

CPU = torch.device("cpu")


def new_run(seed: int = 0, **budget) -> Run:
    return Run(seed, Budget(**(budget or {"epochs": 1})))


def still(images: Images, size: int, rows, tops, lefts, frames: int = 1, downsample: int = 1) -> Tracks:
    """Windows at whole pixels that neither drift nor zoom."""
    tops, lefts = (np.repeat(np.array(place, float)[:, None], frames, axis=1) for place in (tops, lefts))
    return Tracks(images, downsample, size, np.array(rows), tops, lefts, np.ones_like(tops))


SHAPES = [(1, 8, 8), (3, 9, 11), (1, 20, 7), (3, 32, 32)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [3, 6, 7])
def test_windows_stay_inside_their_images(shape, size):
    tracks = draw_tracks(blobs(5, shape), 300, 20, size, 1, new_run())
    for begin, length in ((tracks.tops, shape[1]), (tracks.lefts, shape[2])):
        assert begin.min() > -1e-9
        assert (begin + size * tracks.scales).max() < length + 1e-9
    assert tracks.scales.min() >= 1 and tracks.scales.max() <= min(1.3, min(shape[1:]) / size) + 1e-12


def test_windows_go_everywhere_and_use_the_whole_zoom():
    tracks = draw_tracks(blobs(5, (1, 12, 15)), 2000, 20, 5, 1, new_run())
    assert tracks.tops.min() < 0.2 and (tracks.tops + 5 * tracks.scales).max() > 11.8
    assert tracks.lefts.min() < 0.2 and (tracks.lefts + 5 * tracks.scales).max() > 14.8
    assert tracks.scales.min() < 1.01 and tracks.scales.max() > 1.29


def test_from_frame_to_frame_a_window_moves_little_and_hardly_turns():
    size = 6
    tracks = draw_tracks(blobs(5, (1, 32, 32)), 500, 20, size, 1, new_run())
    assert np.abs(np.diff(tracks.scales)).max() <= 0.03
    for begin in (tracks.tops, tracks.lefts):
        centers = begin + size * tracks.scales / 2
        steps = np.diff(centers)
        assert np.abs(steps).max() <= 0.05 * size + 1e-9
        # It does move, and less unevenly than a random walk, whose steps differ by √2 of their size.
        assert np.abs(steps).mean() > 0.1 * 0.05 * size
        assert np.square(np.diff(steps)).mean() < 0.1 * np.square(steps).mean()


def test_paths_have_steps_of_at_most_one():
    steps = np.diff(smooth_paths(1000, 20, np.random.default_rng(0)))
    assert 0.9 < np.abs(steps).max() <= 1
    assert abs(steps.mean()) < 0.05


def test_without_drift_and_zoom_a_frame_is_the_patch():
    images = noise(5, shape=(3, 9, 11))
    rows, tops, lefts = [0, 2, 2, 4], [0, 5, 3, 2], [7, 0, 4, 6]
    frames = still(images, 4, rows, tops, lefts, frames=3).frames(CPU)
    windows = sliding_window_view(images.pixels(slice(None)), (4, 4), axis=(2, 3))[rows, :, tops, lefts]
    patches = torch.from_numpy(windows.transpose(0, 2, 3, 1).reshape(4, 1, -1).astype(np.float32))
    torch.testing.assert_close(frames, patches.expand(4, 3, -1), atol=1e-3, rtol=0)


def test_tracks_go_over_the_averages_of_squares_of_pixels():
    images = noise(5, shape=(1, 9, 13))
    frame = still(images, 2, [1], [1], [2], downsample=3).frames(CPU).reshape(2, 2)
    # Of the 13 columns the last fills no square.
    squares = images.pixels(slice(1, 2))[0, 0, 3:9, 6:12].astype(np.float32).reshape(2, 3, 2, 3).mean((1, 3))
    torch.testing.assert_close(frame, torch.from_numpy(squares), atol=1e-3, rtol=0)
    tracks = draw_tracks(images, 100, 5, 2, 3, new_run())
    assert (tracks.tops + 2 * tracks.scales).max() <= 3 + 1e-9 and (tracks.lefts + 2 * tracks.scales).max() <= 4 + 1e-9


@pytest.mark.parametrize("size", [4, 7])
def test_resampling_is_exact_on_ramps(size):
    rows, columns = np.arange(9)[:, None], np.arange(11)
    images = Images(np.stack([20 * rows + 0 * columns, 3 * rows + 7 * columns])[None].astype(np.uint8))
    tracks = draw_tracks(images, 50, 6, size, 1, new_run())
    frames = tracks.frames(CPU).unflatten(2, (size, size, 2)).double().numpy()
    # The value of a pixel is that of its middle.
    inner = np.arange(size) + 0.5
    y = tracks.tops[:, :, None, None] + inner[:, None] * tracks.scales[:, :, None, None] - 0.5
    x = tracks.lefts[:, :, None, None] + inner * tracks.scales[:, :, None, None] - 0.5
    np.testing.assert_allclose(frames[..., 0], np.broadcast_to(20 * y, frames.shape[:-1]), atol=1e-3)
    np.testing.assert_allclose(frames[..., 1], 3 * y + 7 * x, atol=1e-3)


def test_parts_are_windows_inside_the_windows_that_move_with_them():
    tracks = draw_tracks(noise(5, shape=(1, 20, 20)), 400, 8, 7, 1, new_run())
    parts = tracks.parts(3, new_run())
    assert parts.size == 3 and np.array_equal(parts.scales, tracks.scales) and np.array_equal(parts.rows, tracks.rows)
    for part, whole in ((parts.tops, tracks.tops), (parts.lefts, tracks.lefts)):
        offsets = (part - whole) / tracks.scales
        assert np.ptp(offsets, axis=1).max() < 1e-9
        assert 0 <= offsets.min() < 0.1 and 3.9 < offsets.max() <= 4
    assert not np.allclose(parts.tops - tracks.tops, parts.lefts - tracks.lefts)
    # At whole pixels of the larger frames the smaller ones are pieces of them.
    moved = Tracks(
        tracks.images, 1, 3, tracks.rows, tracks.tops + 2 * tracks.scales, tracks.lefts + tracks.scales, tracks.scales
    )
    pieces = tracks.frames(CPU).unflatten(2, (7, 7))[:, :, 2:5, 1:4].flatten(2)
    torch.testing.assert_close(moved.frames(CPU), pieces, atol=2e-2, rtol=0)


def test_blocks_of_any_size_give_the_same_frames(monkeypatch):
    tracks = draw_tracks(noise(5, shape=(3, 9, 11)), 25, 4, 5, 1, new_run())
    whole = tracks.frames(CPU)
    monkeypatch.setattr("reprbench.methods.tracks.BLOCK", 12)
    assert [len(block) for block in tracks.blocks(CPU)] == [3] * 8 + [1]
    torch.testing.assert_close(tracks.frames(CPU), whole, atol=1e-3, rtol=0)
    assert whole.shape == (25, 4, 75) and whole.dtype == torch.float32
    assert whole.min() >= 0 and whole.max() <= 255


def test_it_counts_and_reads_no_more_images_than_the_budget_allows():
    images = blobs(40)
    run = new_run(images=7)
    tracks = draw_tracks(images, 500, 3, 4, 1, run)
    assert run.images_seen == len(np.unique(tracks.rows)) == 7
    few = new_run()
    assert len(np.unique(draw_tracks(images, 10, 3, 4, 1, few).rows)) == few.images_seen <= 10


def test_equal_seeds_draw_equal_tracks_and_others_do_not():
    images = noise(5, shape=(3, 9, 11))
    one, again, other = (draw_tracks(images, 9, 4, 5, 1, new_run(seed)).frames(CPU) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_window_as_large_as_the_image_does_not_move():
    tracks = draw_tracks(noise(5, shape=(1, 7, 7)), 5, 4, 7, 1, new_run())
    assert np.all(tracks.tops == 0) and np.all(tracks.lefts == 0) and np.all(tracks.scales == 1)
