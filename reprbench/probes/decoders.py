"""Decoders from layers of a learner to images: the learner itself where it can, otherwise mirror decoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from reprbench.capabilities import Reconstructs
from reprbench.errors import UserError
from reprbench.outputs import checked_images
from reprbench.probes.mirror_decoder import MirrorDecoder, encoded
from reprbench.state import evaluating

if TYPE_CHECKING:
    from reprbench.learner import Learner


@dataclass(frozen=True, eq=False)
class Decoders:
    """The decoders of some layers of a learner.

    Attributes
    ----------
    learner : the fitted learner.
    own : the names of the layers from which the learner itself reconstructs.
    mirrors : the decoders of other layers, by name.
    """

    learner: Learner
    own: frozenset[str]
    mirrors: Mapping[str, MirrorDecoder]

    def kind(self, layer: str) -> Literal["own", "mirror"] | None:
        """Return the kind of decoder that a layer has; None for a layer without one."""
        return "own" if layer in self.own else "mirror" if layer in self.mirrors else None

    def reconstructions(self, x: Tensor, layers: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's reconstruction of the images `x` (N, C, H, W)."""
        maps = encoded(self.learner, x) if self.mirrors else {}
        for name in layers:
            if name in self.mirrors:
                with torch.inference_mode():
                    yield name, self.mirrors[name](maps[name])
            else:
                yield name, _reconstructed(self.learner, x, name)


def own_layers(learner: Learner, x: Tensor, layers: Sequence[str]) -> frozenset[str]:
    """Return the layers from which the learner itself reconstructs images such as `x` without a `UserError`."""
    return frozenset(name for name in layers if _reconstructs(learner, x, name))


def _reconstructs(learner: Learner, x: Tensor, layer: str) -> bool:
    if not isinstance(learner, Reconstructs):
        return False
    try:
        _reconstructed(learner, x, layer)
    except UserError:
        return False
    return True


def _reconstructed(learner: Learner, x: Tensor, layer: str) -> Tensor:
    if not isinstance(learner, Reconstructs):
        raise TypeError(f"{type(learner).__name__} does not reconstruct")
    with evaluating(learner):
        return torch.cat(
            [
                checked_images(learner.reconstruct(part, layer), part.shape, f"reconstruct (layer {layer!r})")
                for part in torch.split(x, learner.encode_batch_size)
            ]
        )
