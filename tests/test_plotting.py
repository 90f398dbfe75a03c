"""What all figures promise: the same bytes again, a size that can be committed, every image where it belongs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reprbench import plotting as figures
from reprbench.plotting import image_grid, line, new_axes, new_figure, save_png


def noise(count: int, channels: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, channels, side, side), dtype=np.float32)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        save_png(image_grid([noise(3, 1, 8)], ["a row"], title="A title"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.png", "two.png"], "nothing is left behind"


def test_a_figure_of_pure_noise_still_is_small_enough_to_commit(tmp_path):
    rows = [noise(8, 3, 96) for _ in range(12)]
    save_png(image_grid(rows, [f"layer{n}" for n in range(12)]), tmp_path / "large.png")
    size = (tmp_path / "large.png").stat().st_size
    assert size <= figures.LARGEST_BYTES
    with Image.open(tmp_path / "large.png") as image:
        assert image.width > 200, "and can still be made out"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_shown_with_their_own_values_and_in_their_place(channels, tmp_path):
    black, white = np.zeros((1, channels, 8, 8)), np.ones((1, channels, 8, 8))
    save_png(image_grid([np.concatenate([black, white])], ["ends"]), tmp_path / "ends.png")
    with Image.open(tmp_path / "ends.png") as image:
        gray = np.asarray(image.convert("L"))
    dark = np.argwhere(gray < 5)
    height, width = gray.shape
    # The label's letters are dark too, but thin: the median lies in the black image, left of the white one.
    assert 0.2 * width < np.median(dark[:, 1]) < 0.65 * width
    assert (gray[height // 2, int(0.75 * width) :] > 250).all()


def test_rows_may_be_of_different_length():
    figure = image_grid([noise(4, 1, 8), noise(2, 1, 8)], ["four", "two"], ["a", "b", "c", "d"])
    assert sum(bool(axes.images) for axes in figure.axes) == 6


def test_lines_have_colors_and_markers_of_their_own():
    figure = new_figure(3, 2)
    axes = new_axes(figure)[0, 0]
    for number in range(len(figures.COLORS)):
        line(axes, [0, 1], [number, number], str(number), number, spread=[1, 1])
    looks = {(drawn.get_color(), drawn.get_marker()) for drawn in axes.lines}
    assert len(looks) == len(figures.COLORS) == len(axes.collections)


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        save_png(new_figure(1, 1), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
