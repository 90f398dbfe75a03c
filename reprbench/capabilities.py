"""What a learner may be able to do besides encoding: capabilities, which protocols ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Reconstructs(Protocol):
    """Can show what a layer kept of an image. A learner that has the method has the capability.

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
        """Return x̂ (N, C, H, W) in [0, 1] for the images `x`, of their shape, from `layer` (by default the last).

        Raises
        ------
        UserError
            If nothing can be reconstructed from `layer`.
        """
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can turn codes of its own into images. A learner that has the method has the capability.

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
        """Return the images (N, C, H, W), in [0, 1], of the codes `h` of the last layer, shaped as `encode` does."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """Can write down everything its training depends on and go on from there, bit for bit.

    `TorchLearner` does. The shared loop, `train`, keeps the state in its checkpoints, beside the run's generators.

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
        """Put the learner back where `training_state` was called."""
        ...
