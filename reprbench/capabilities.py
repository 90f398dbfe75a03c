"""Capabilities: what a learner may be able to do besides encoding, and protocols may need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


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
