"""What the figures of all protocols have in common: their look, grids of images, lines, and small PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from reprbench.files import replacing

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6BB1")
"""Distinct for colorblind readers too: M. Okabe and K. Ito, "Color universal design" (2008); the last is ours."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DOTS_PER_INCH = 150
LARGEST_BYTES = 300_000
"""Stores are committed to git; a larger figure is written with fewer colors, then with fewer dots."""

MOST_NUMBERS = 16
"""The rows of a map up to which its numbers can be read."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "image.interpolation": "nearest",
    "figure.constrained_layout.use": True,
}


class ShownFigure(Figure):
    """A figure that notebooks show, although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        return as_png(self)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` × `height` inches in the style of all figures; 3.5 × 2.6 fits a column."""
    with rc_context(STYLE):
        figure = ShownFigure(figsize=(width, height), dpi=DOTS_PER_INCH)
        FigureCanvasAgg(figure)
    return figure


def new_axes(figure: Figure, rows: int = 1, columns: int = 1, **options: Any) -> NDArray[Any]:
    """Return axes in the style of all figures, as an array of shape (rows, columns)."""
    with rc_context(STYLE):
        axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False, **options)
    return axes


def line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    label: str,
    number: int = 0,
    spread: Sequence[float] | None = None,
    **options: Any,
) -> None:
    """Draw one line with its own color and marker, by `number`; `spread` shades y ± spread."""
    color = options.pop("color", COLORS[number % len(COLORS)])
    marker = options.pop("marker", MARKERS[number % len(MARKERS)])
    axes.plot(x, y, label=label, color=color, marker=marker, **options)
    if spread is not None:
        low, high = np.subtract(y, spread), np.add(y, spread)
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def show_image(axes: Axes, image: NDArray[np.floating[Any]]) -> None:
    """Show one image (C, H, W) in [0, 1], gray or in color, without ticks or frame."""
    pixels = np.clip(np.asarray(image, dtype=np.float32), 0, 1).transpose(1, 2, 0)
    gray = pixels.shape[2] == 1
    axes.imshow(pixels[:, :, 0] if gray else pixels, cmap="gray" if gray else None, vmin=0, vmax=1)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def image_grid(
    rows: Sequence[NDArray[np.floating[Any]]],
    row_labels: Sequence[str],
    column_labels: Sequence[str] = (),
    title: str = "",
    cell: float = 0.62,
) -> Figure:
    """Return a figure of rows of images.

    Parameters
    ----------
    rows : one array (N, C, H, W) in [0, 1] for each row, all with the same N.
    row_labels : shown left of the rows.
    column_labels : shown above the columns; none by default.
    cell : height and width of an image, in inches.
    """
    columns = max(len(row) for row in rows)
    # A letter of a label of 8 points takes about 0.065 inches.
    margin = 0.2 + 0.07 * max((len(label) for label in row_labels), default=0)
    height = cell * len(rows) + (0.3 if title else 0.05) + (0.25 if column_labels else 0)
    figure = new_figure(margin + cell * columns, height)
    axes = new_axes(figure, len(rows), columns)
    for images, label, row_axes in zip(rows, row_labels, axes, strict=True):
        _image_row(row_axes, images, label)
    for label, top in zip(column_labels, axes[0], strict=False):
        top.set_title(label, fontsize=8, pad=3)
    # A little room on all sides keeps the labels off the figure's edge.
    sides = (0.012, 0.006, 0.976, 0.988)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02, rect=sides))
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def _image_row(row: Sequence[Axes], images: NDArray[np.floating[Any]], label: str) -> None:
    for axes, image in zip_longest(row, images):
        if image is None:
            axes.set_axis_off()
        else:
            show_image(axes, image)
    row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure to `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(as_png(figure))


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG: the same figure gives the same bytes, at most about 300 kB."""
    content = _png(figure, DOTS_PER_INCH)
    dots = DOTS_PER_INCH
    while len(content) > LARGEST_BYTES and dots >= 50:
        content = _quantized(content)
        if len(content) > LARGEST_BYTES:
            dots = int(dots * 0.8)
            content = _png(figure, dots)
    return content


def _png(figure: Figure, dots: int) -> bytes:
    buffer = BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dots, metadata={"Software": None})
    return buffer.getvalue()


def _quantized(content: bytes) -> bytes:
    """Return a PNG with a palette of 256 colors."""
    from PIL import Image

    buffer = BytesIO()
    Image.open(BytesIO(content)).convert("RGB").quantize(256).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def similarity_map(names: Sequence[str], values: NDArray[np.float64]) -> Figure:
    """Return a figure of a symmetric matrix of similarities in [0, 1], first row on top; small ones with numbers.

    Parameters
    ----------
    names : of the rows, which are those of the columns.
    """
    count, margin = len(names), 0.3 + 0.065 * max(map(len, names))
    # A row with a number takes 0.36 inches; the room for the bar is beside.
    side = min(9.0, count * (0.36 if count <= MOST_NUMBERS else 0.16))
    figure = new_figure(margin + side + 1.0, margin + side + 0.4)
    axes = new_axes(figure)[0, 0]
    shown = axes.imshow(values, vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(count), names, rotation=90)
    axes.set_yticks(range(count), names)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if count <= MOST_NUMBERS:
        for row, column in np.ndindex(count, count):
            value = values[row, column]
            text = f"{value:.2f}".replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="w" if value < 0.6 else "k")
    bar = figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("linear CKA", fontsize=9)
    return figure
