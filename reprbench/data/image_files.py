"""Decodes image files of any size and mode as square 8-bit arrays."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.texts import reason

if TYPE_CHECKING:
    from PIL import Image


def _checked_color(color: str) -> str:
    from PIL import ImageColor

    try:
        has_alpha = len(ImageColor.getrgb(color)) > 3
    except ValueError:
        has_alpha = True
    if has_alpha:
        raise ValueError("expected a color like white or #f0f0f0")
    return color


Color = Annotated[str, AfterValidator(_checked_color)]
"""The name of a color that Pillow knows, or its hexadecimal digits."""


def unreadable(files: Sequence[Path]) -> list[Path]:
    """Return the files that `decode` cannot read."""

    def is_unreadable(path: Path) -> bool:
        try:
            decode(path, 1, gray=True)
        except UserError:
            return True
        return False

    with quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return [path for path, wrong in zip(files, pool.map(is_unreadable, files), strict=True) if wrong]


_SILENT = logging.NullHandler()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings about odd files, which are read or refused all the same, off the terminal."""
    logging.getLogger("PIL").addHandler(_SILENT)
    # Entered before and left after the threads, which share the filters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(path: Path, image_size: int, gray: bool, background: str | None = None) -> NDArray[np.uint8]:
    """Decode an image file as a uint8 array of shape (C, image_size, image_size); see `load_folder`.

    Raises
    ------
    UserError
        If Pillow cannot read the file, or its pixels have no fixed range.
    """
    from PIL import Image, ImageOps

    try:
        with open_regular(path), Image.open(path) as opened:
            turned = ImageOps.exif_transpose(opened)
            opaque = turned if background is None else _composed(turned, background)
            image = _crop_and_resize(_eight_bits(opaque, gray), image_size)
    except Exception as error:  # Pillow's plugins raise whatever they like
        raise UserError(f"{path}: not readable as an image ({reason(error)}); expected one that Pillow reads") from None
    pixels = np.asarray(image)
    return pixels[np.newaxis] if gray else pixels.transpose(2, 0, 1)


def _composed(image: Image.Image, background: str) -> Image.Image:
    """Return the image on a background, if it has transparency."""
    from PIL import Image

    if not (image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info):
        return image
    on_top = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), on_top).convert("RGB")


def _eight_bits(image: Image.Image, gray: bool) -> Image.Image:
    """Convert to L or RGB. Pillow itself would clip 16-bit pixels, in mode I;16 or, in old versions, I."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"pixels from {values.min()} to {values.max()}, not of 8 or 16 bits")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("float pixels, not of 8 or 16 bits")
    return image.convert("L" if gray else "RGB")


def _crop_and_resize(image: Image.Image, image_size: int) -> Image.Image:
    from PIL import Image

    side = min(image.size)
    if image.size != (side, side):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if side == image_size:
        return image
    # Pillow widens the kernel for downsampling (antialiasing); the bicubic one rings less at edges than Lanczos.
    return image.resize((image_size, image_size), Image.Resampling.BICUBIC)
