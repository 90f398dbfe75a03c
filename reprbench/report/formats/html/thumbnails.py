"""Figures as data URIs that together stay within a budget; what does not fit is scaled down."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from reprbench.files import open_regular

BUDGET = 2_800_000
"""Bytes that all figures of a page may take, as base64."""
SMALLEST_SHARE = 9_000
"""Bytes below which a figure cannot be read any more; fewer figures are shown rather than smaller ones."""
SIZES = ((960, 80), (720, 80), (540, 80), (400, 75), (300, 60), (220, 40))
"""What is tried for a thumbnail: width in pixels, and WebP quality."""
MOST_PIXELS = 40_000_000
"""A larger picture was not made by reprbench, and is not shown."""


def embedded(paths: Sequence[Path], budget: int = BUDGET) -> list[str]:
    """Return a data URI for each figure, in order; empty where a file cannot be shown, or the budget is used up.

    Each figure has the same share of the budget. One that fits its share is embedded unchanged; a larger one is
    scaled down. If there are too many figures, the first ones are shown.
    """
    shown = paths[: budget // SMALLEST_SHARE]
    sizes = [_size(path) for path in shown]
    share = fair_share(sizes, budget)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda path: _embedded(path, share), shown))
    return made + [""] * (len(paths) - len(shown))


def fair_share(sizes: Sequence[int], budget: int) -> int:
    """Return the largest size that each may have so that all stay within the budget; small ones stay whole."""
    left = budget
    for rest, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * rest > left:
            return left // rest
        left -= size
    return budget


def _size(path: Path) -> int:
    """Return the size of a file as base64; 0 where it is not there."""
    try:
        return _encoded_size(path.stat().st_size)
    except OSError:
        return 0


def _embedded(path: Path, share: int) -> str:
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError:
        return ""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ""
    if _encoded_size(len(content)) + 32 <= share:
        return data_uri("png", content)
    return _thumbnail(content, share)


def _thumbnail(content: bytes, share: int) -> str:
    """Return the widest WebP that fits into the share, or nothing if none does."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return ""
            picture = image.convert("RGB")
    except Exception:
        # Pillow raises what it likes for a damaged file: SyntaxError, struct.error, zlib.error, …
        return ""
    for width, quality in SIZES:
        smaller = picture.copy()
        smaller.thumbnail((width, width * 4))
        buffer = BytesIO()
        smaller.save(buffer, format="WEBP", quality=quality, method=2)
        if _encoded_size(len(buffer.getvalue())) + 32 <= share:
            return data_uri("webp", buffer.getvalue())
    return ""


def _encoded_size(size: int) -> int:
    return (size + 2) // 3 * 4


def data_uri(kind: str, content: bytes) -> str:
    """Return an image of that kind ("png") as a URI that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
