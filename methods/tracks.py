"""Simulated fixations: square windows that drift and zoom smoothly over still images, and their frames.

They replace tracked videos, as there are none for the still images that learners are compared on; all numbers are our
choices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reprbench import Images, Indices, Run

from .patches import BLOCK, drawn_images, shrunk

DRIFT = 0.05
"""The largest movement of a window's center from frame to frame along each axis, as a share of its side."""
ZOOM, LARGEST_ZOOM = 0.03, 1.3
"""The largest change of a window's scale from frame to frame, and the largest scale; the smallest is 1."""
WAVES = 3
"""Velocities are sums of this many cosines, with zero, half and one period over all frames."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tracks:
    """Windows over still images, one image per track; images are read only when frames are requested.

    Coordinates are in pixels of the shrunk images, from the outer edges of the first pixel.

    Attributes
    ----------
    images : what the windows move over.
    downsample : images are first averaged over squares with a side of this many pixels.
    size : the side of a frame, in pixels.
    rows : the image of each track, ascending, shape (n,).
    tops, lefts : where the windows begin, shape (n, frames).
    scales : the width of a pixel of the frame in pixels of the image, at least 1, shape (n, frames).
    """

    images: Images
    downsample: int
    size: int
    rows: Indices
    tops: Floats
    lefts: Floats
    scales: Floats

    def parts(self, size: int, run: Run) -> Tracks:
        """Return the tracks of smaller windows inside these, each at a fixed random place, drawn by "parts".

        Parameters
        ----------
        size : the side of the smaller frames, whose pixels are as wide as those of the larger ones.
        run : provides the generator.
        """
        down, right = run.numpy_generator("parts").uniform(0, self.size - size, (2, len(self.rows), 1))
        tops, lefts = self.tops + self.scales * down, self.lefts + self.scales * right
        return replace(self, size=size, tops=tops, lefts=lefts)

    def blocks(self, device: torch.device) -> Iterator[Tensor]:
        """Yield the frames of all tracks in order, float32 in 0 … 255 of shape (block, frames, size·size·C)."""
        together = max(1, BLOCK // self.scales.shape[1])
        for start in range(0, len(self.rows), together):
            block = slice(start, start + together)
            needed, where = np.unique(self.rows[block], return_inverse=True)
            pixels = shrunk(torch.from_numpy(self.images.pixels(needed)).to(device).float(), self.downsample)
            grid = torch.from_numpy(self._grid(block, pixels.shape[2], pixels.shape[3])).to(device)
            yield resampled(pixels[torch.from_numpy(where).to(device)], grid)

    def frames(self, device: torch.device) -> Tensor:
        """Return the frames of all tracks, (n, frames, size·size·C)."""
        numbers = self.size * self.size * self.images.shape[0]
        frames, done = torch.empty(*self.scales.shape, numbers, device=device), 0
        for block in self.blocks(device):
            frames[done : done + len(block)] = block
            done += len(block)
        return frames

    def _grid(self, block: slice, height: int, width: int) -> NDArray[np.float32]:
        """Return the place (x, y) of every frame's pixels in the image, −1 … 1, (block, frames, size, size, 2)."""
        centers = (np.arange(self.size) + 0.5) * self.scales[block, :, None]
        y = (2 * (self.tops[block, :, None] + centers) / height - 1)[:, :, :, None]
        x = (2 * (self.lefts[block, :, None] + centers) / width - 1)[:, :, None, :]
        return np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float32)


def draw_tracks(images: Images, count: int, frames: int, size: int, downsample: int, run: Run) -> Tracks:
    """Return `count` random tracks of windows of `size` pixels over `images`; every window lies inside its image.

    Images and movements are drawn by the generator "tracks": the images with repetition, from no more than the run's
    budget allows, and all that will be read are counted as seen, once.
    """
    generator = run.numpy_generator("tracks")
    rows = drawn_images(images, count, generator, run)
    height, width = (side // downsample for side in images.shape[1:])
    largest = min(LARGEST_ZOOM, min(height, width) / size)
    scales = 1 + confined(ZOOM * smooth_paths(count, frames, generator), np.full(count, largest - 1), generator)
    # The center of the window keeps far enough from the edges for the largest window of its track.
    side = size * scales.max(1)
    tops, lefts = (
        confined(DRIFT * size * smooth_paths(count, frames, generator), length - side, generator)
        + (side[:, None] - size * scales) / 2
        for length in (height, width)
    )
    return Tracks(images, downsample, size, rows, tops, lefts, scales)


def smooth_paths(count: int, frames: int, generator: np.random.Generator) -> Floats:
    """Return random paths (count, frames) whose steps vary slowly and are at most 1; the fastest step is uniform."""
    times = (np.arange(frames) + 0.5) / frames
    waves = np.cos(np.pi * np.outer(np.arange(WAVES), times))
    velocities = generator.standard_normal((count, WAVES)) @ waves
    speeds = generator.uniform(size=(count, 1))
    return np.cumsum(velocities * (speeds / np.abs(velocities).max(1, keepdims=True)), axis=1)


def confined(paths: Floats, room: Floats, generator: np.random.Generator) -> Floats:
    """Return the `paths` (n, frames), shrunk if they are longer than `room` (n,), at random places in 0 … room."""
    from_lowest = paths - paths.min(1, keepdims=True)
    extents = from_lowest.max(1)
    # For a window as large as the image, rounding can make the room slightly negative.
    room = np.maximum(room, 0)
    shrink = np.minimum(1, room / np.maximum(extents, np.finfo(float).tiny))
    places = generator.uniform(size=len(paths)) * (room - shrink * extents)
    return from_lowest * shrink[:, None] + np.maximum(places, 0)[:, None]


def resampled(pixels: Tensor, grid: Tensor) -> Tensor:
    """Sample images (n, C, H, W) bilinearly at the points of `grid`, as rows of numbers (n, frames, size·size·C)."""
    frames, size = grid.shape[1:3]
    # One image per track, not per frame: the frames of a track are stacked vertically.
    sampled = functional.grid_sample(pixels, grid.flatten(1, 2), padding_mode="border", align_corners=False)
    return sampled.unflatten(2, (frames, size)).permute(0, 2, 3, 4, 1).flatten(2)
