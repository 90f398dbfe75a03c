"""CIFAR-10: the Python version, whose pickles are never unpickled, and the binary version."""

from __future__ import annotations

import hashlib
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from reprbench.cache import CacheFile
from reprbench.data.dataset import Dataset, assemble
from reprbench.data.decoded import decoded, write_array
from reprbench.data.digests import Digests, FileCheck
from reprbench.data.locate import DataFile, DataRequest, Layout, locate
from reprbench.data.room import check_memory
from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.images import Images, Labels
from reprbench.texts import reason

_SHAPE = (3, 32, 32)
_IMAGE_BYTES = 3 * 32 * 32

# The digests of torchvision.datasets.CIFAR10.
_PYTHON = Layout(
    folders=("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10"),
    files={
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    },
)

# The digests of Apache MXNet's gluon.data.vision.CIFAR10; the dataset's page states that of the archive only.
_BINARY = Layout(
    folders=("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10"),
    files={
        "data_batch_1.bin": "sha1:aadd24acce27caa71bf4b10992e9e7b2d74c2540",
        "data_batch_2.bin": "sha1:c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
        "data_batch_3.bin": "sha1:1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
        "data_batch_4.bin": "sha1:aab85764eb3584312d3c7f65fd2fd016e36a258e",
        "data_batch_5.bin": "sha1:26e2849e66a845b7f1e4614ae70f4889ae604628",
        "test_batch.bin": "sha1:67eb016db431130d61cd03c7ad570b013799c88c",
    },
)

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}


def cifar10_files(request: DataRequest) -> list[DataFile]:
    """Return the six batches of CIFAR-10, in whichever version is found."""
    return list(locate(request, _PYTHON, _BINARY).values())


def load_cifar10(request: DataRequest) -> Dataset:
    """CIFAR-10: 32×32 color, 10 classes, 50,000 + 10,000 images (Krizhevsky 2009).

    Both versions give the same pixels in the same order, and therefore the same digest.
    """
    digests = Digests(request.cache_dir)
    files = cifar10_files(request)
    for file in files:
        # Before it is digested, which takes long for a large file.
        check_memory(f"{file.path}: reading it takes", 3 * file.path.stat().st_size)
    checks = [digests.check(file) for file in files]
    train, train_labels, train_content = _load_split(checks[:-1], digests)
    test, test_labels, test_content = _load_split(checks[-1:], digests)
    return assemble(
        call=request.call,
        title="CIFAR-10",
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=_CLASSES,
        content={"train": train_content, "test": test_content},
        notes=[check.note for check in checks if not check.ok],
    )


def _load_split(checks: Sequence[FileCheck], digests: Digests) -> tuple[Images, Labels, str]:
    """Return images, labels and the digest of both; decode the batches unless the cache has them."""
    key = hashlib.sha256(" ".join(check.sha256 for check in checks).encode()).hexdigest()
    files = [CacheFile(digests.cache_dir, f"decoded/cifar10-{key[:16]}/{name}.npy") for name in ("pixels", "labels")]
    (pixels, pixels_digest), (labels, labels_digest) = (
        decoded(file, lambda: _decode([check.path for check in checks], *files), digests) for file in files
    )
    return Images(pixels), labels.astype(np.int64), f"{pixels_digest} {labels_digest}"


def _decode(paths: Sequence[Path], pixels_file: CacheFile, labels_file: CacheFile) -> None:
    batches = [_read_binary(path) if path.suffix == ".bin" else read_pickled(path) for path in paths]
    n_images = sum(len(labels) for _, labels in batches)
    write_array(pixels_file, (n_images, *_SHAPE), (pixels for pixels, _ in batches))
    write_array(labels_file, (n_images,), (labels for _, labels in batches))


def _read_binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read records of one byte label and 3072 bytes of pixels (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    values = np.fromfile(path, dtype=np.uint8)
    if len(values) == 0 or len(values) % (1 + _IMAGE_BYTES):
        raise UserError(
            f"{path}: has {len(values)} bytes; expected a multiple of {1 + _IMAGE_BYTES} (30730000 officially); "
            "fetch it again"
        )
    records = values.reshape(-1, 1 + _IMAGE_BYTES)
    return records[:, 1:], records[:, 0]


def read_pickled(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read pixels and labels from a pickled batch without unpickling it.

    Unpickling can run any code, so the opcodes are only listed (`pickletools.genops` executes nothing). A batch is a
    dict. Its pixels are by far the longest string of the file: a Python 2 ``str`` in the official files (BINSTRING,
    decoded as Latin-1 by pickletools), ``bytes`` or a Latin-1 encoded ``str`` in files written by Python 3.
    Its labels are the integers between the key ``labels`` and the next string. Where the pixels are an array rather
    than plain bytes, it must be one of bytes, of shape (N, 3072) and in C order.

    Returns
    -------
    pixels : uint8 array of shape (N, 3072), red then green then blue, each row by row
    labels : uint8 array of shape (N,)

    Raises
    ------
    UserError
        If the file is not a pickle, is truncated, or does not hold 3072 bytes per label.
    """
    try:
        with open_regular(path) as file:
            batch = _list_opcodes(file)
        data = batch.data.encode("latin-1") if isinstance(batch.data, str) else bytes(batch.data)
        labels = np.frombuffer(bytes(batch.labels), dtype=np.uint8)
    except OSError:
        raise
    except Exception as error:  # `pickletools` raises errors of many types on corrupt files
        raise UserError(f"{path}: not a pickled batch of CIFAR-10 ({reason(error)}); fetch it again") from None
    if len(labels) == 0 or len(data) != len(labels) * _IMAGE_BYTES:
        raise UserError(
            f"{path}: has {len(labels)} labels and {len(data)} bytes of pixels; "
            f"expected {_IMAGE_BYTES} bytes per label (10000 labels officially); fetch it again"
        )
    if batch.is_array and not batch.is_plain():
        raise UserError(
            f"{path}: its pixels are not an array of bytes of shape ({len(labels)}, {_IMAGE_BYTES}) in C order; "
            "save it with numpy.ascontiguousarray, or fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, _IMAGE_BYTES), labels


@dataclass
class _Batch:
    """What the opcodes of a pickled batch say."""

    data: str | bytes | bytearray = b""
    """The longest string."""
    labels: list[int] = field(default_factory=list)
    """The integers after the key ``labels``."""
    sizes: list[int] = field(default_factory=list)
    """The other integers."""
    texts: set[str] = field(default_factory=set)
    """The short strings that describe arrays: their type and, in newer pickles, their order."""
    is_array: bool = False
    """Whether NumPy is named."""
    flag: bool = False
    """The last truth value before `data`; before the bytes of an array it says whether they are in Fortran order."""

    def is_plain(self) -> bool:
        """Return whether the array has the type, shape and order of the official files."""
        shape = [len(self.labels), _IMAGE_BYTES]
        shaped = any(self.sizes[place : place + 2] == shape for place in range(len(self.sizes)))
        return shaped and "u1" in self.texts and "F" not in self.texts and not self.flag


def _list_opcodes(file: IO[bytes]) -> _Batch:
    """Return what the opcodes of a pickle say about a batch."""
    batch, among_labels, flag = _Batch(), False, False
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("NEWTRUE", "NEWFALSE") or isinstance(argument, bool):
            flag = bool(argument) or opcode.name == "NEWTRUE"
        elif isinstance(argument, str | bytes | bytearray):
            among_labels = argument in ("labels", b"labels")
            batch.is_array |= isinstance(argument, str) and argument.startswith("numpy")
            if len(argument) > len(batch.data):
                batch.data, batch.flag = argument, flag
            if len(argument) < 3:
                batch.texts.add(argument if isinstance(argument, str) else argument.decode("latin-1"))
        elif opcode.name in _INTEGERS and isinstance(argument, int):
            (batch.labels if among_labels else batch.sizes).append(argument)
    return batch
