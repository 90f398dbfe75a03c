"""MNIST and Fashion-MNIST: IDX files, gzipped or not.

IDX: two zero bytes, a type byte (8: uint8), the number of dimensions, each size as a big-endian uint32, then the values
in C order (http://yann.lecun.com/exdb/mnist).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reprbench.cache import content_size
from reprbench.data.dataset import Dataset, assemble, match_labels
from reprbench.data.digests import Digests, open_content
from reprbench.data.locate import DataFile, DataRequest, Layout, locate
from reprbench.errors import UserError
from reprbench.images import Images, Labels

_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

_MNIST = Layout(
    folders=("mnist", "MNIST/raw", "MNIST", "."),
    files={
        _TRAIN_IMAGES: "md5:6bbc9ace898e44ae57da46a324031adb",
        _TRAIN_LABELS: "md5:a25bea736e30d166cdddb491f175f624",
        _TEST_IMAGES: "md5:2646ac647ad5339dbf082846283269ea",
        _TEST_LABELS: "md5:27ae3e4e09519cfbb04c329615203637",
    },
    zipped=True,
)

# torchvision only has the digests of the gzip files. These, of the unzipped files, are from Debian's package
# dataset-fashion-mnist 0.0~git20200523 and agree with those that MMPretrain lists with the official gzip digests.
_FASHION_MNIST = Layout(
    folders=("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "."),
    files={
        _TRAIN_IMAGES: "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
        _TRAIN_LABELS: "md5:9018921c3c673c538a1fc5bad174d6f9",
        _TEST_IMAGES: "md5:8181f5470baa50b63fa0f6fddb340f0a",
        _TEST_LABELS: "md5:15d484375f8d13e6eb1aabb0c3f46965",
    },
    zipped=True,
)

_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def mnist_files(request: DataRequest) -> list[DataFile]:
    """Return the four files of MNIST."""
    return list(locate(request, _MNIST).values())


def fashion_mnist_files(request: DataRequest) -> list[DataFile]:
    """Return the four files of Fashion-MNIST."""
    return list(locate(request, _FASHION_MNIST).values())


def load_mnist(request: DataRequest) -> Dataset:
    """MNIST: 28×28 gray, 10 classes, 60,000 + 10,000 images (LeCun et al. 1998)."""
    return _load(request, _MNIST, "MNIST", tuple("0123456789"))


def load_fashion_mnist(request: DataRequest) -> Dataset:
    """Fashion-MNIST: 28×28 gray, 10 classes, 60,000 + 10,000 images (Xiao, Rasul, Vollgraf 2017)."""
    return _load(request, _FASHION_MNIST, "Fashion-MNIST", _FASHION_CLASSES)


def _load(request: DataRequest, layout: Layout, title: str, classes: tuple[str, ...]) -> Dataset:
    located = locate(request, layout)
    files = {name: replace(file, size=_expected_size(name, file.path)) for name, file in located.items()}
    digests = Digests(request.cache_dir)
    content = {name: digests.unzipped(file) for name, file in files.items()}
    checks = {name: digests.check(file) for name, file in files.items()}
    train, test = _read_images(content[_TRAIN_IMAGES]), _read_images(content[_TEST_IMAGES])
    return assemble(
        call=request.call,
        title=title,
        train=train,
        train_labels=_read_labels(content[_TRAIN_LABELS], train),
        test=test,
        test_labels=_read_labels(content[_TEST_LABELS], test),
        classes=classes,
        content={name: check.sha256 for name, check in checks.items()},
        notes=[check.note for check in checks.values() if not check.ok],
    )


def _read_images(path: Path) -> Images:
    pixels = read_idx(path, n_dimensions=3)
    return Images(pixels[:, np.newaxis])


def _read_labels(path: Path, images: Images) -> Labels:
    return match_labels(read_idx(path, n_dimensions=1).astype(np.int64), images, path)


def read_idx(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Map the uint8 array of an unzipped IDX file.

    Raises
    ------
    UserError
        If the file does not start like a uint8 array of `n_dimensions`, or its size does not match its header.
    """
    shape = _read_shape(path, n_dimensions)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=_header_size(n_dimensions), shape=shape)


def _expected_size(name: str, path: Path) -> int:
    """Return the bytes that a file has, unzipped, by its header; a small gzip file can hold any number of them."""
    n_dimensions = 1 if name in (_TRAIN_LABELS, _TEST_LABELS) else 3
    return _header_size(n_dimensions) + math.prod(_read_shape(path, n_dimensions))


def _header_size(n_dimensions: int) -> int:
    return 4 + 4 * n_dimensions


def _read_shape(path: Path, n_dimensions: int) -> tuple[int, ...]:
    """Check the header of an IDX file, and its size unless it is zipped; return the shape that the header says."""
    header_size = _header_size(n_dimensions)
    with open_content(path) as stream:
        header = stream.read(header_size)
    magic = bytes([0, 0, 8, n_dimensions])
    if header[:4] != magic:
        raise UserError(
            f"{path}: starts with {header[:4].hex() or 'nothing'}; "
            f"expected {magic.hex()}, an IDX file of bytes in {n_dimensions} dimensions; fetch it again"
        )
    complete = len(header) == header_size
    shape = tuple(int(n) for n in np.frombuffer(header[4:], ">u4")) if complete else ()
    expected = header_size + math.prod(shape) if complete else header_size
    size = len(header) if not complete else expected if path.suffix == ".gz" else content_size(path)
    if size != expected:
        raise UserError(f"{path}: has {size} bytes; expected {expected}, as its header says; fetch it again")
    if 0 in shape:
        raise UserError(f"{path}: its header says shape {shape}; expected at least one image; fetch it again")
    return shape
