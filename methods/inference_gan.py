"""GANs that learn to infer codes: what BiGAN and ALI have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from reprbench import FeatureMaps, Run

from .adversarial import AdversarialLearner, Inputs
from .last_layer import last_map


class InferenceGAN(AdversarialLearner):
    """The game of BiGAN and ALI: an encoder E and a generator G learn to make indistinguishable (image, code) pairs.

    Originals are pairs (x, E(x)), fakes (G(z), z) with z from the prior; E and G are one player.
    """

    infers = True

    encoder: nn.Module

    @abstractmethod
    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` codes z (count, D) from the prior, on the generator's device."""

    @abstractmethod
    def infer(self, x: Tensor, run: Run) -> Tensor:
        """Return the codes (N, D) that go with `x` in training."""

    def players(self) -> dict[str, list[nn.Module]]:
        """Return the networks that each optimizer updates."""
        return {"discriminator": [self.discriminator], "generator": [self.generator, self.encoder]}

    def play(self, x: Tensor, run: Run) -> tuple[Inputs, Inputs]:
        """Return (x, E(x)) and (G(z), z), with z from the run's generator "codes"."""
        z = self.prior(len(x), run.generator("codes"))
        return (x, self.infer(x, run)), (self.generator(z), z)

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the hidden layers of E and, last, the code (N, D)."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps

    def decode(self, h: Tensor) -> Tensor:
        """Return G(h), the images of the codes `h`, in [0, 1]."""
        images: Tensor = self.generator(h)
        return images

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return G(E(x)).

        Raises
        ------
        UserError
            If `layer` is not the last: no other is a code.
        """
        return self.decode(last_map(self, x, layer))
