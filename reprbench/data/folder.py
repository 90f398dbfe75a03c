"""A folder of image files, one subfolder per class, decoded once into memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reprbench.cache import CacheFile
from reprbench.data.dataset import SMALLEST_SIDE, Dataset, assemble
from reprbench.data.decoded import Decoded, decoded, write_array
from reprbench.data.digests import Digests
from reprbench.data.folds import named_generator, stratified_rows
from reprbench.data.image_files import Color, decode, quiet, unreadable
from reprbench.data.locate import DataFile, DataRequest, locate_path
from reprbench.data.room import check_disk
from reprbench.errors import UserError
from reprbench.images import Images, Labels

ImageSize = Annotated[int, Field(ge=SMALLEST_SIDE)]
Share = Annotated[float, Field(gt=0, lt=1)]
OnError = Literal["raise", "skip"]

_DECODER = 1
"""To be raised when decoding gives other pixels, so that arrays decoded before are not used."""
_BLOCK = 256
"""Images that a thread decodes at a time."""
_MOST_NAMES = 20
"""Of skipped files that a note names."""

Files = dict[str, list[list[Path]]]
"""The files of the splits, a list for each class; of unlabeled images one list."""


def folder_files(
    request: DataRequest, *, path: Path = Path(), split: Share | None = None, **_: object
) -> list[DataFile]:
    """Return the folders of the splits, or the one of the classes."""
    root = _locate(request, path, split)
    found = [DataFile(root / one) for one in ("train", "test", "unlabeled") if (root / one).is_dir()]
    return found if (root / "train").is_dir() else [DataFile(root)]


def load_folder(
    request: DataRequest,
    *,
    path: Path = Path(),
    image_size: ImageSize = 32,
    title: str | None = None,
    gray: bool = False,
    split: Share | None = None,
    on_error: OnError = "raise",
    background: Color | None = None,
) -> Dataset:
    """Your images: train/<class>/*, test/<class>/* or split=0.8, perhaps unlabeled/*, in the folder path=….

    Deeper folders are included. Images may be of any size and mode that Pillow reads. They are rotated by their EXIF
    orientation, cropped to the central square, and resized to `image_size` if necessary. Classes and images are in the
    order of their names; hidden files are ignored.

    Parameters
    ----------
    path : absolute, or relative to a data folder
    image_size : pixels, the side of the decoded images
    title : for display; by default the call
    gray : decode one channel of luminance instead of RGB
    split : where there is no test folder, the share of the labeled images that are for training, like 0.8; they are
        drawn so that classes keep their shares, the same for everybody. Then the classes may lie in the folder itself
    on_error : "skip" leaves out files that are not readable as images; a note names them
    background : a color that transparent images are put on, like white; by default transparency is dropped, as in
        torchvision's ``ImageFolder``

    Raises
    ------
    UserError
        If a folder is missing or empty, train and test have different classes, or an image cannot be read.
    """
    root = _locate(request, path, split)
    classes = _classes(root) if split is None else _class_folders(_labeled(root))
    files = _found(root, classes, split)
    digests = Digests(request.cache_dir)
    files, skipped = _without_unreadable(root, files, digests) if on_error == "skip" else (files, [])
    if split is not None:
        files = _drawn(str(request.call), files, split)
    arrays = _decoded_splits(root, files, (image_size, gray, background), digests)
    labels = {name: _labels(files[name]) for name in ("train", "test")}
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
        notes=_skipped_note(root, skipped),
    )


def _locate(request: DataRequest, path: Path, split: float | None) -> Path:
    expected = "a folder with train/<class>/* and test/<class>/*"
    root = locate_path(request, path, expected)
    if split is not None:
        if (root / "test").is_dir():
            raise UserError(f"dataset {request.name!r}: {root} has a folder 'test'; leave out split={split:g}")
        return root
    for name in ("train", "test"):
        if not (root / name).is_dir():
            raise UserError(
                f"dataset {request.name!r}: {root} has no folder {name!r}; expected {expected}; "
                "split=0.8 draws a test split from the classes' folders"
            )
    return root


def _labeled(root: Path) -> Path:
    """Return the folder with those of the classes, where there is no test split."""
    return root / "train" if (root / "train").is_dir() else root


def _found(root: Path, classes: Sequence[str], split: float | None) -> Files:
    """Return all files; where the test split is to be drawn, those of both labeled splits are in ``train``."""
    places = {"train": root / "train", "test": root / "test"} if split is None else {"train": _labeled(root)}
    files = {name: [_image_files(place / one) for one in classes] for name, place in places.items()}
    return {**files, "unlabeled": [_image_files(root / "unlabeled")]} if (root / "unlabeled").is_dir() else files


def _without_unreadable(root: Path, files: Files, digests: Digests) -> tuple[Files, list[Path]]:
    """Return the files without those that are no images, and these; which these are is remembered."""
    every = [path for lists in files.values() for path in _joined(lists)]
    cached = CacheFile(digests.cache_dir, f"decoded/skipped-{digests.tree(root, every)[:16]}-{_DECODER}.json")

    def make() -> None:
        with cached.write() as writer:
            writer.write(json.dumps([every.index(path) for path in unreadable(every)]).encode())

    wrong = {every[number] for number in cached.get(lambda content: json.loads(bytes(content)), make)}
    kept = {name: [[path for path in one if path not in wrong] for one in lists] for name, lists in files.items()}
    for name, lists in kept.items():
        for one, before in zip(lists, files[name], strict=True):
            if not one:
                raise UserError(f"{before[0].parent}: none of its {len(before)} files is readable as an image")
    return kept, sorted(wrong)


def _skipped_note(root: Path, skipped: Sequence[Path]) -> list[str]:
    if not skipped:
        return []
    names = [os.fsencode(path.relative_to(root)).decode(errors="backslashreplace") for path in skipped[:_MOST_NAMES]]
    more = f" and {len(skipped) - _MOST_NAMES} more" if len(skipped) > _MOST_NAMES else ""
    return [f"{len(skipped)} files skipped that are not readable as images: {', '.join(names)}{more}"]


def _drawn(call: str, files: Files, split: float) -> Files:
    """Return the files with a test split drawn from those for training; the rest stay there."""
    labels = _labels(files["train"])
    count = round((1 - split) * len(labels))
    test: set[int] = set()
    if count >= len(files["train"]):
        test = set(stratified_rows(labels, count, named_generator("folder test")).tolist())
    numbers = iter(range(len(labels)))
    rows = [[(next(numbers) in test, path) for path in one] for one in files["train"]]
    parts = {
        name: [[path for drawn, path in one if drawn == (name == "test")] for one in rows] for name in ("train", "test")
    }
    if not all(map(all, parts.values())):
        raise UserError(
            f"dataset {call!r}: split={split:g} of {len(labels)} images leaves a class without images for training or "
            "test; choose another share"
        )
    return {**files, **parts}


def _class_folders(folder: Path) -> list[str]:
    found = [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return _readable_names(folder, sorted(name for name in found if folder.name == "train" or name != "unlabeled"))


def _classes(root: Path) -> list[str]:
    train, test = (set(_class_folders(root / split)) for split in ("train", "test"))
    if train != test:
        only = [f"{split} alone has {', '.join(sorted(names))}" for split, names in _differences(train, test) if names]
        raise UserError(f"{root}: the class folders of train and test differ: {'; '.join(only)}; expected the same")
    return sorted(train)


def _readable_names(root: Path, names: list[str]) -> list[str]:
    if wrong := [name for name in names if os.fsencode(name) != name.encode(errors="replace")]:
        raise UserError(f"{root}: the name of the class folder {wrong[0]!a} is not UTF-8; rename it")
    return names


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


Looks = tuple[int, bool, str | None]
"""Size of the images, whether they are gray, and the background of transparent ones."""


def _decoded_splits(root: Path, files: Files, looks: Looks, digests: Digests) -> dict[str, Decoded]:
    """Return the arrays of the splits; decode those that the cache does not have."""
    splits = {name: _joined(lists) for name, lists in files.items()}
    image_size, gray, background = looks
    content = digests.tree(root, _joined(list(splits.values())))
    # The same files in the same order may be split elsewhere.
    counts = [len(paths) for paths in splits.values()]
    key = hashlib.sha256(f"{content} {image_size} {gray} {background} {counts} {_DECODER}".encode()).hexdigest()
    arrays = {}
    for split, paths in splits.items():
        target = CacheFile(digests.cache_dir, f"decoded/folder-{key[:16]}/{split}.npy")
        arrays[split] = decoded(target, partial(_decode_all, paths, target, looks), digests)
    return arrays


def _decode_all(files: Sequence[Path], target: CacheFile, looks: Looks) -> None:
    image_size, gray, background = looks
    shape = (len(files), 1 if gray else 3, image_size, image_size)
    check_disk(f"image_size={image_size}: {len(files)} decoded images take", math.prod(shape), target.root)

    def decode_block(start: int) -> NDArray[np.uint8]:
        return np.stack([decode(path, image_size, gray, background) for path in files[start : start + _BLOCK]])

    # Pillow's decoders and resampling release the GIL.
    with quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        write_array(target, shape, pool.map(decode_block, range(0, len(files), _BLOCK)))
