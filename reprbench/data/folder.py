"""A folder of image files, one subfolder per class, decoded once into memory-mapped arrays."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reprbench.cache import CacheFile
from reprbench.data.dataset import SMALLEST_SIDE, Dataset, assemble
from reprbench.data.decoded import Decoded, decoded, write_array
from reprbench.data.digests import Digests
from reprbench.data.locate import DataFile, DataRequest, locate_path
from reprbench.data.room import check_disk
from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.images import Images, Labels
from reprbench.texts import reason

if TYPE_CHECKING:
    from PIL import Image

ImageSize = Annotated[int, Field(ge=SMALLEST_SIDE)]

_DECODER = 1
"""To be raised when decoding gives other pixels, so that arrays decoded before are not used."""
_BLOCK = 256
"""Images that a thread decodes at a time."""


def folder_files(
    request: DataRequest,
    *,
    path: Path = Path(),
    image_size: ImageSize = 32,
    title: str | None = None,
    gray: bool = False,
) -> list[DataFile]:
    """Return the folders of the splits."""
    root = _locate(request, path)
    return [DataFile(root / split) for split in ("train", "test", "unlabeled") if (root / split).is_dir()]


def load_folder(
    request: DataRequest,
    *,
    path: Path = Path(),
    image_size: ImageSize = 32,
    title: str | None = None,
    gray: bool = False,
) -> Dataset:
    """Your images: train/<class>/*, test/<class>/*, perhaps unlabeled/*; parameters path, image_size, gray, title.

    Deeper folders are included. Images may be of any size and mode that Pillow reads. They are rotated by their EXIF
    orientation, cropped to the central square, and resized to `image_size` if necessary. Transparency is dropped, as in
    torchvision's ``ImageFolder``. Classes and images are in the order of their names; hidden files are ignored.

    Parameters
    ----------
    path : absolute, or relative to a data folder
    image_size : pixels, the side of the decoded images
    title : for display; by default the call
    gray : decode one channel of luminance instead of RGB

    Raises
    ------
    UserError
        If a folder is missing or empty, train and test have different classes, or an image cannot be read.
    """
    root = _locate(request, path)
    classes = _classes(root)
    train = [_image_files(root / "train" / name) for name in classes]
    test = [_image_files(root / "test" / name) for name in classes]
    splits = {"train": _joined(train), "test": _joined(test)}
    if (root / "unlabeled").is_dir():
        splits["unlabeled"] = _image_files(root / "unlabeled")
    digests = Digests(request.cache_dir)
    arrays = _decoded_splits(root, splits, image_size, gray, digests)
    labels = {"train": _labels(train), "test": _labels(test)}
    return assemble(
        call=request.call,
        title=title or str(request.call),
        unlabeled=Images(arrays["unlabeled"][0]) if "unlabeled" in arrays else None,
        train=Images(arrays["train"][0]),
        train_labels=labels["train"],
        test=Images(arrays["test"][0]),
        test_labels=labels["test"],
        classes=classes,
        content={split: digest for split, (_, digest) in arrays.items()}
        | {
            f"{split} labels": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
            for split, rows in labels.items()
        },
    )


def _locate(request: DataRequest, path: Path) -> Path:
    expected = "a folder with train/<class>/* and test/<class>/*"
    root = locate_path(request, path, expected)
    for split in ("train", "test"):
        if not (root / split).is_dir():
            raise UserError(f"dataset {request.name!r}: {root} has no folder {split!r}; expected {expected}")
    return root


def _classes(root: Path) -> list[str]:
    train, test = (
        {entry.name for entry in (root / split).iterdir() if entry.is_dir() and not entry.name.startswith(".")}
        for split in ("train", "test")
    )
    if train != test:
        only = [f"{split} alone has {', '.join(sorted(names))}" for split, names in _differences(train, test) if names]
        raise UserError(f"{root}: the class folders of train and test differ: {'; '.join(only)}; expected the same")
    if unreadable := [name for name in sorted(train) if os.fsencode(name) != name.encode(errors="replace")]:
        raise UserError(f"{root}: the name of the class folder {unreadable[0]!a} is not UTF-8; rename it")
    return sorted(train)


def _differences(train: set[str], test: set[str]) -> list[tuple[str, set[str]]]:
    return [("train", train - test), ("test", test - train)]


def _image_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    if not found:
        raise UserError(f"{folder}: no images; expected at least one, or no such folder")
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise error  # by default os.walk skips folders that it cannot list


def _joined(files: Sequence[list[Path]]) -> list[Path]:
    return [path for of_class in files for path in of_class]


def _labels(files: Sequence[list[Path]]) -> Labels:
    return np.repeat(np.arange(len(files), dtype=np.int64), [len(of_class) for of_class in files])


def _decoded_splits(
    root: Path, splits: dict[str, list[Path]], image_size: int, gray: bool, digests: Digests
) -> dict[str, Decoded]:
    """Return the arrays of the splits; decode those that the cache does not have."""
    content = digests.tree(root, _joined(list(splits.values())))
    key = hashlib.sha256(f"{content} {image_size} {gray} {_DECODER}".encode()).hexdigest()
    arrays = {}
    for split, files in splits.items():
        target = CacheFile(digests.cache_dir, f"decoded/folder-{key[:16]}/{split}.npy")
        arrays[split] = decoded(target, partial(_decode_all, files, target, image_size, gray), digests)
    return arrays


def _decode_all(files: Sequence[Path], target: CacheFile, image_size: int, gray: bool) -> None:
    shape = (len(files), 1 if gray else 3, image_size, image_size)
    check_disk(f"image_size={image_size}: {len(files)} decoded images take", math.prod(shape), target.root)

    def decode_block(start: int) -> NDArray[np.uint8]:
        return np.stack([decode(path, image_size, gray) for path in files[start : start + _BLOCK]])

    # Pillow's decoders and resampling release the GIL.
    with _quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        write_array(target, shape, pool.map(decode_block, range(0, len(files), _BLOCK)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings about odd files, which are read or refused all the same, off the terminal."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # Entered before and left after the threads, which share the filters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(path: Path, image_size: int, gray: bool) -> NDArray[np.uint8]:
    """Decode an image file as a uint8 array of shape (C, image_size, image_size); see `load_folder`.

    Raises
    ------
    UserError
        If Pillow cannot read the file, or its pixels have no fixed range.
    """
    from PIL import Image, ImageOps

    try:
        with open_regular(path), Image.open(path) as opened:
            image = _crop_and_resize(_eight_bits(ImageOps.exif_transpose(opened), gray), image_size)
    except Exception as error:  # Pillow's plugins raise whatever they like
        raise UserError(f"{path}: not readable as an image ({reason(error)}); expected one that Pillow reads") from None
    pixels = np.asarray(image)
    return pixels[np.newaxis] if gray else pixels.transpose(2, 0, 1)


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
