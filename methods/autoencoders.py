"""Autoencoders with the networks of AME-AE: plain, denoising and sparse, with a common loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, register

from .last_layer import last_map
from .networks import Architecture, Decoder, Encoder

MASKED_SHARE = 0.25
GAUSSIAN_DEVIATION = 0.1


@register("ae")
class AE(TorchLearner):
    """Autoencoder: min over E and D of ‖x − D(E(x))‖².

    The partner of `ameae`, with the networks of `networks`. From the paper of AME-AE (X. Gao, H. Xiong): the blocks and
    Adam with rate 1e-4 and β = (0.5, 0.999). Our choices: the widths, the batch size, and the squared error as the mean
    over pixels and channels.

    Parameters
    ----------
    width : channels of the first layer; by default 64 for images from 32 pixels up, 32 below.
    lr : Adam's learning rate.

    Notes
    -----
    The history has ``loss`` and ``reconstruction``, the mean squared error on [0, 1] pixels, which is the whole loss.
    """

    version: ClassVar[int] = 1

    width: PositiveInt | None = None
    lr: PositiveFloat = 1e-4

    encoder: Encoder
    decoder: Decoder

    def build(self, shape: ImageShape) -> None:
        """Make the encoder, first, and the decoder."""
        architecture = Architecture.of(shape, self.width)
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)

    def optimizers(self) -> Optimizer | Mapping[str, Optimizer]:
        """Return one Adam for both networks."""
        return adam(self.lr, self.encoder, self.decoder)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the squared error, the penalties of the code, and their sum as the loss."""
        h = self.encoder.code(self.corrupt(x, run))
        reconstruction = functional.mse_loss(self.decoder(h), x)
        penalties = self.penalties(h)
        loss = sum(penalties.values(), start=reconstruction)
        return {"loss": loss, "reconstruction": reconstruction, **penalties, **self.code_values(h)}

    def corrupt(self, x: Tensor, run: Run) -> Tensor:
        """Return the encoder's input for `x`; by default `x` itself."""
        return x

    def penalties(self, h: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms, by name, that the codes `h` add to the loss."""
        return {}

    def code_values(self, h: Tensor) -> dict[str, Tensor]:
        """Return what is logged of the codes `h`, by name, besides the penalties."""
        return {}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder; the last is the code."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of the codes `h`, in [0, 1]."""
        images: Tensor = self.decoder(h)
        return images

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return D(E(x)).

        Raises
        ------
        UserError
            If `layer` is not the last: no other has a decoder.
        """
        return self.decode(last_map(self, x, layer))


@register("dae")
class DAE(AE):
    """Denoising autoencoder: min over E and D of ‖x − D(E(corrupt(x)))‖².

    Source: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with
    denoising autoencoders" (2008); the networks and everything else as in `ae`. The kind and amount of noise are our
    choices. Masking sets whole pixels, all channels together, to 0, as the robustness evaluation does. Gaussian noise
    is not clipped.

    Parameters
    ----------
    corruption : "mask" sets pixels to 0, "gaussian" adds noise.
    noise : the probability that a pixel is masked (default 0.25), or the standard deviation of the noise in units of
        the pixels' range (default 0.1).
    """

    version: ClassVar[int] = 1

    corruption: Literal["mask", "gaussian"] = "mask"
    noise: Annotated[float, Field(ge=0, le=1)] | None = None

    def corrupt(self, x: Tensor, run: Run) -> Tensor:
        """Return `x` with noise from the run's generator "noise"."""
        generator = run.generator("noise")
        if self.corruption == "mask":
            share = MASKED_SHARE if self.noise is None else self.noise
            drawn = torch.rand((len(x), 1, *x.shape[2:]), generator=generator, device=x.device)
            return x * (drawn >= share)
        deviation = GAUSSIAN_DEVIATION if self.noise is None else self.noise
        drawn = torch.randn(x.shape, generator=generator, device=x.device)
        return x + deviation * drawn


@register("sparse-ae")
class SparseAE(AE):
    """Sparse autoencoder: the objective of `ae` plus an L1 penalty on the code.

    The code is the output of a ReLU, so the penalty pushes units to exactly 0. Its weight, and the mean over the code's
    units instead of their sum, are our choices; the networks and everything else as in `ae`.

    Parameters
    ----------
    sparsity : weight of the mean absolute value of the code; the column ``zeros`` shows what it achieves. The default
        was chosen by the rule of docs/ame-ae-study.md (stage A, CIFAR-10): the smallest weight tried with which at
        least 60 % of the code is zero.

    Notes
    -----
    The history has, besides ``reconstruction``, ``sparsity``, the weighted penalty (``loss`` is their sum), and
    ``zeros``, the share of the code's numbers that are 0.
    """

    version: ClassVar[int] = 1

    sparsity: NonNegativeFloat = 0.3

    def penalties(self, h: Tensor) -> dict[str, Tensor]:
        """Return the weighted L1 penalty."""
        return {"sparsity": self.sparsity * h.abs().mean()}

    def code_values(self, h: Tensor) -> dict[str, Tensor]:
        """Return the share of zeros."""
        return {"zeros": (h == 0).float().mean()}


def adam(lr: float, *networks: nn.Module) -> Adam:
    """Return the optimizer of all methods with these networks, with β = (0.5, 0.999) from the paper of AME-AE."""
    weights = [weight for network in networks for weight in network.parameters()]
    return Adam(weights, lr=lr, betas=(0.5, 0.999), foreach=True)
