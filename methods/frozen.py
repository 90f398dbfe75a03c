"""What frozen networks of libraries share: their weights, their input, and a learner that only encodes."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import ClassVar
from urllib.parse import urlparse

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from pydantic import BeforeValidator, PositiveInt, ValidationInfo
from pydantic_core import PydanticCustomError
from safetensors.torch import load_file
from torch import Tensor, nn

from reprbench import FeatureMaps, Images, ImageShape, Learner, Run, UserError, measure_batch_norm

POOLED = "pooled"
"""The last layer: what the classifier of a model is given."""

NEARLY_CLOSED = 0.01
"""Scales of blocks below this are taken for those of LayerScale, which begin at 1e-6 to 1e-4."""


@dataclass(frozen=True)
class ModelInput:
    """The images that a network was made for, and how others are made like them.

    Attributes
    ----------
    shape : (C, H, W).
    mean, std : of its channels.
    interpolation : "bilinear" or "bicubic".
    """

    shape: ImageShape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def of_size(self, side: int | None) -> ModelInput:
        """Return the same for images of `side` × `side`; for the size as it is if that is None."""
        return self if side is None else replace(self, shape=(self.shape[0], side, side))

    def check(self, shape: ImageShape) -> None:
        """Raise a `UserError` if images of `shape` cannot be made like these."""
        if shape[0] not in (1, self.shape[0]):
            raise UserError(f"the model takes images of {self.shape[0]} channels; those of {shape[0]} cannot be used")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise UserError(f"the model's interpolation is {self.interpolation!r}; expected 'bilinear' or 'bicubic'")

    def resized(self, x: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [0, 1] repeated to the network's channels and resized on their device."""
        x = x.expand(-1, self.shape[0], -1, -1)
        if tuple(x.shape[2:]) == self.shape[1:]:
            return x
        # Bicubic interpolation overshoots; in images of 8 bits, which the model's own evaluation resizes, it cannot.
        return F.interpolate(x, self.shape[1:], mode=self.interpolation, antialias=True).clamp(0, 1)

    def notes(self, shape: ImageShape) -> list[str]:
        """Return what is done to images of `shape`, for the reader of a row."""
        found = [] if shape[0] == self.shape[0] else [f"gray images repeated to {self.shape[0]} channels"]
        if shape[1:] != self.shape[1:]:
            sizes = f"from {shape[1]}×{shape[2]} to {self.shape[1]}×{self.shape[2]}"
            found.append(f"images resized {sizes} ({self.interpolation}, antialiased), without a crop")
        return found


class FrozenNetwork(Learner):
    """A network of a library that only encodes.

    Parameters
    ----------
    image_size : the side of the images that it is given; by default the one in the model's own configuration.
    """

    kind = "pretrained"
    version: ClassVar[int] = 1

    image_size: PositiveInt | None = None

    network: nn.Module

    def build(self, shape: ImageShape) -> None:
        """Make the network."""
        self.network, own = self.make_network()
        self._input = own.of_size(self.image_size)
        self._input.check(shape)
        self._notes = self._input.notes(shape)
        self._mean, self._std = (torch.tensor(one)[:, None, None] for one in (self._input.mean, self._input.std))
        self.network.requires_grad_(False).eval()

    @abstractmethod
    def make_network(self) -> tuple[nn.Module, ModelInput]:
        """Return the network, with its weights, and its input."""

    @abstractmethod
    def layers(self, x: Tensor) -> FeatureMaps:
        """Return the layers of images that are prepared."""

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the network's layers of resized and normalized images."""
        return self.layers(self.prepared(x))

    def prepared(self, x: Tensor) -> Tensor:
        """Return images in [0, 1] as the network takes them: with its channels, in its size, and normalized."""
        return (self._input.resized(x) - self._mean.to(x.device)) / self._std.to(x.device)

    @property
    def encode_batch_size(self) -> int:
        """Fewer images than by default: resized ones, and their maps, are large."""
        return 64

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Say what is done to the images."""
        return self._notes


class RandomNetwork(FrozenNetwork):
    """The same with random weights, drawn from the trial's seed: the contribution of the architecture alone.

    Residual blocks that the library scales with 0, or nearly so, until they are trained are scaled with 1: otherwise
    the control would lack most of its layers.

    Parameters
    ----------
    calibration_images : the most images on which the statistics of batch normalizations are measured.
    """

    kind = "control"

    calibration_images: PositiveInt = 1000

    def build(self, shape: ImageShape) -> None:
        """Make the network, in which every block adds what it computes."""
        super().build(shape)
        open_blocks(self.network)

    def fit(self, images: Images, run: Run) -> None:
        """Measure the statistics of the batch normalizations, without which they would do nothing."""
        self.network.to(run.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        run.images_seen += measure_batch_norm(self, images, run, self.calibration_images)
        self.network.eval()


def open_blocks(network: nn.Module) -> None:
    """Set scales that all begin at 0, of normalizations, or near 0, as those of LayerScale do, to 1, in place."""
    for module in network.modules():
        normalizes = isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm))
        for name, weight in module.named_parameters(recurse=False):
            if weight.is_meta or not weight.numel() or sum(side > 1 for side in weight.shape) > 1:
                continue
            value = float(weight.detach().flatten()[0])
            closed = 0 < abs(value) < NEARLY_CLOSED or (value == 0 and normalizes and name == "weight")
            if closed and bool((weight == value).all()):
                nn.init.ones_(weight)


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return ``; it has …`` with the known names most like `name`, or an empty text if none is."""
    near = get_close_matches(name, known)
    return f"; it has {', '.join(near)}" if near else ""


def checkpoint(url: str) -> Path:
    """Return where torch keeps the file that it has from `url`, whether or not it is there."""
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlparse(url).path).name)


def found_by(find: Callable[[str], Path]) -> BeforeValidator:
    """Return the validator of weights that, where no file is given, are those that `find` finds for `model`."""

    def weights(given: object, info: ValidationInfo) -> object:
        if given is not None or "model" not in info.data:
            return given
        try:
            return find(info.data["model"])
        except UserError as error:
            raise PydanticCustomError("missing", "{why}", {"why": str(error)}) from None

    return BeforeValidator(weights)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of one that torch wrote; nothing in it is run.

    Those of a checkpoint are below "state_dict" or "model".

    Raises
    ------
    UserError
        If it is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):
            found = found.get(key, found)
        return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
    except Exception:  # whatever the libraries raise on a file of another kind, some of it mere numbers
        raise UserError(
            f"weights {path}: neither safetensors nor weights that torch saved, which hold nothing but tensors by "
            f"name: it {_other_kind(path)}"
        ) from None


def _other_kind(path: Path) -> str:
    """Return what a file without weights is, or how it begins, by which that can be told."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK"):
        return "is an archive of something else"
    return f"begins with {head!r}" if head else "is empty"


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], classifiers: Sequence[str], path: Path) -> None:
    """Put weights into a network without a classifier.

    Parameters
    ----------
    classifiers : the names of the modules that the network lacks; their weights are left out.

    Raises
    ------
    UserError
        If they are those of another network.
    """
    kept = {name: tensor for name, tensor in weights.items() if name.rpartition(".")[0] not in classifiers}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")  # while a run is planned
            network.load_state_dict(kept)
    except RuntimeError as error:
        raise UserError(f"weights {path}: not those of this model: {shorten(str(error), 300)}") from None
