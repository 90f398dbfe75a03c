"""Capabilities: what a learner may be able to do besides encoding, and protocols may need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from reprbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.images import Indices


@runtime_checkable
class Reconstructs(Protocol):
    """Can reconstruct images from a layer. A learner that has the method has the capability.

    Examples
    --------
    >>> from reprbench import Learner, Reconstructs
    >>> class Pixels(Learner):
    ...     def fit(self, images, run): ...
    ...
    ...     def encode(self, x):
    ...         return {"pixels": x}
    ...
    ...     def reconstruct(self, x, layer=None):
    ...         return self.encode(x)["pixels"]
    >>> isinstance(Pixels(), Reconstructs)
    True
    """

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return reconstructions x̂ of the images `x` (N, C, H, W), in [0, 1], from `layer` (by default the last).

        Raises
        ------
        UserError
            If the learner cannot reconstruct from `layer`.
        """
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can decode its codes into images. A learner that has the method has the capability.

    Examples
    --------
    >>> from reprbench import Decodes, Learner
    >>> class Inverted(Learner):
    ...     def fit(self, images, run): ...
    ...
    ...     def encode(self, x):
    ...         return {"inverted": 1 - x}
    ...
    ...     def decode(self, h):
    ...         return 1 - h
    >>> isinstance(Inverted(), Decodes)
    True
    """

    def decode(self, h: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [0, 1] for the codes `h` of the last layer, in the shape `encode` returns."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """Can classify images, as a supervised learner can. A learner that has the method has the capability.

    Examples
    --------
    >>> import torch
    >>> from reprbench import Classifies, SupervisedLearner
    >>> class Prototypes(SupervisedLearner):
    ...     def fit_labeled(self, images, labels, run):
    ...         pixels, labels = images.batch(slice(None)).flatten(1), torch.from_numpy(labels)
    ...         self.means = torch.stack([pixels[labels == label].mean(0) for label in labels.unique()])
    ...
    ...     def encode(self, x):
    ...         return {"pixels": x}
    ...
    ...     def classify(self, x):
    ...         return -torch.cdist(x.flatten(1), self.means)
    >>> isinstance(Prototypes(), Classifies)
    True
    """

    def classify(self, x: Tensor) -> Tensor:
        """Return a score for each class, (N, K), of the images `x` (N, C, H, W); the highest is the answer."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """Can save everything its training depends on and resume from there, bit for bit.

    `TorchLearner` can. The shared loop, `train`, keeps the state in its checkpoints, with the run's generators.

    Examples
    --------
    >>> import torch
    >>> from reprbench import Learner, Resumes
    >>> class Mean(Learner):
    ...     def build(self, shape):
    ...         self.mean, self._batches = torch.zeros(shape), 0
    ...
    ...     def fit(self, images, run): ...
    ...
    ...     def encode(self, x):
    ...         return {"centered": x - self.mean}
    ...
    ...     def training_state(self):
    ...         return {"mean": self.mean, "batches": self._batches}
    ...
    ...     def load_training_state(self, state):
    ...         self.mean, self._batches = state["mean"], state["batches"]
    >>> isinstance(Mean(), Resumes)
    True
    """

    def training_state(self) -> dict[str, Any]:
        """Return nested dicts and lists of tensors and plain values."""
        ...

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore the learner to where `training_state` was called."""
        ...


@runtime_checkable
class Precomputed(Protocol):
    """Has features that were computed elsewhere, of the images of one dataset, and finds them by the images' rows.

    Its `encode` raises a `UserError`. Protocols get its features of the images of its dataset. One that asks for the
    learner, to encode other images, leaves the row empty and says why; `geometry` leaves out what needs such images.

    Examples
    --------
    >>> import torch
    >>> from reprbench import Learner, Precomputed, UserError
    >>> class Numbers(Learner):
    ...     kind = "pretrained"
    ...
    ...     def fit(self, images, run): ...
    ...
    ...     def encode(self, x):
    ...         raise UserError("there are only the features of 10 images")
    ...
    ...     def counts(self):
    ...         return {"train": 5, "test": 5}
    ...
    ...     def features_of(self, split, rows):
    ...         return {"features": torch.from_numpy(rows)[:, None]}
    >>> isinstance(Numbers(), Precomputed)
    True
    """

    def counts(self) -> Mapping[str, int]:
        """Return of how many images of each split, "train" and "test", there are features."""
        ...

    def features_of(self, split: Literal["train", "test"], rows: Indices) -> Mapping[str, Tensor]:
        """Return the feature maps of the images at `rows` of a split, as `Learner.encode` returns them."""
        ...


class CannotEncode(UserError):
    """A learner was asked for that has the features of a dataset's images and encodes no others."""


def check_that_it_encodes(cls: type) -> None:
    """Raise `CannotEncode` if learners of this class are `Precomputed`."""
    if issubclass(cls, Precomputed):
        name = getattr(cls, "method_name", "") or cls.__name__
        raise CannotEncode(f"{name} has features of the dataset's images, and encodes no others")


def miscounted(learner: object, counts: Mapping[str, int]) -> str:
    """Return which split has another number of images than a learner has features of; empty if none has.

    Parameters
    ----------
    counts : the number of images of each split.
    """
    if not isinstance(learner, Precomputed):
        return ""
    for split, found in learner.counts().items():
        if split in counts and counts[split] != found:
            return f"there are features of {found} images for the {split} split, which has {counts[split]}"
    return ""
