"""The variational autoencoder with the networks of AME-AE, with the weight β of β-VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, register

from .autoencoders import adam
from .last_layer import last_map
from .networks import Architecture, Decoder, Encoder

ACTIVE_VARIANCE = 0.01
"""A unit is active if its posterior mean varies more than this over images (Burda et al. 2016)."""


@register("vae")
class VAE(TorchLearner):
    """β-VAE: min over E and D of −log p(x|z) + β KL(q(z|x) ‖ N(0, I)), in nats per image, with z drawn from q(z|x).

    The bound and the reparametrization are those of D. Kingma, M. Welling, "Auto-encoding variational Bayes" (2014);
    the weight β of I. Higgins et al., "β-VAE: learning basic visual concepts with a constrained variational framework"
    (2017), is 1 in a VAE. Our choices: the networks and the optimizer, which are those of `ae`; one draw of z for each
    image; and a Gaussian likelihood of fixed deviation.

    Two heads on the encoder's code give the mean and the log-variance of q, a Gaussian with as many independent units
    as the code has numbers: a vector for small images, from 32 pixels up a map, over whose channels and positions the
    KL divergence is summed. The representation is the mean; images are decoded from it.

    With a Gaussian likelihood −log p(x|z) is ‖x − D(z)‖² / (2σ²), summed over pixels and channels, without the constant
    d/2·log(2πσ²). Only βσ² then matters to the minimum: against the *summed* squared error the divergence has the
    weight 2βσ², against its *mean* over the d numbers of an image 2βσ²/d. With a Bernoulli likelihood, it is the
    binary cross-entropy, summed likewise, with pixels in [0, 1] taken as probabilities.

    Parameters
    ----------
    width : channels of the first layer; as in `ae`.
    lr : Adam's learning rate.
    beta : weight of the KL divergence.
    likelihood : of a pixel, given the code.
    deviation : σ of the Gaussian likelihood, in units of the pixels' range.

    Notes
    -----
    The history has ``loss``, ``reconstruction``, which is −log p(x|z) as above, and ``kl``, unweighted: all in nats per
    image. ``active_units`` is the number of units whose posterior mean has a variance of more than 0.01 over images
    (Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders", 2016), here those of a batch.
    """

    version: ClassVar[int] = 1

    width: PositiveInt | None = None
    lr: PositiveFloat = 1e-4
    beta: NonNegativeFloat = 1.0
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    deviation: PositiveFloat = 0.1

    encoder: Encoder
    decoder: Decoder
    mean_head: nn.Module
    log_variance_head: nn.Module

    def build(self, shape: ImageShape) -> None:
        """Make the encoder, first, the decoder, and the two heads."""
        architecture = Architecture.of(shape, self.width)
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        self.mean_head, self.log_variance_head = head(architecture), head(architecture)

    def optimizers(self) -> Optimizer:
        """Return one Adam for all networks."""
        return adam(self.lr, self.encoder, self.decoder, self.mean_head, self.log_variance_head)

    def loss(self, x: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the negative bound and its terms in nats per image, and the number of active units."""
        mean, log_variance = self.posterior(x)
        noise = torch.randn(mean.shape, generator=run.generator("posterior"), device=x.device)
        reconstruction = self.negative_log_likelihood(x, mean + (log_variance / 2).exp() * noise)
        kl = divergence(mean, log_variance)
        active = mean.detach().flatten(1).var(0, correction=0) > ACTIVE_VARIANCE
        return {
            "loss": reconstruction + self.beta * kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "active_units": active.sum(),
        }

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and the log-variances of q(z|x), float32, each of the code's shape."""
        h = self.encoder.code(x)
        return self.mean_head(h).float(), self.log_variance_head(h).float()

    def negative_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return −log p(x|z), summed over pixels and channels, the mean over the batch."""
        if self.likelihood == "gaussian":
            error = functional.mse_loss(self.decoder(z).float(), x, reduction="sum")
            return error / (2 * self.deviation**2 * len(x))
        to_logits, _ = self.decoder.image
        logits = to_logits(self.decoder.blocks(self.decoder.spread(z)))
        return functional.binary_cross_entropy_with_logits(logits.float(), x, reduction="sum") / len(x)

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder, and the posterior mean."""
        layers = dict(self.encoder(x))
        *_, h = layers.values()
        return {**layers, "mean": self.mean_head(h)}

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of the codes `h`, in [0, 1]."""
        images: Tensor = self.decoder(h)
        return images

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return the images decoded from the posterior means.

        Raises
        ------
        UserError
            If `layer` is another one: no other has a decoder.
        """
        return self.decode(last_map(self, x, layer))

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if no unit was active in the last epoch."""
        rows = [row for row in history if "active_units" in row]
        if not rows or rows[-1]["active_units"] >= 1:
            return []
        return [
            f"posterior collapse: no unit of the code was active in the last epoch, KL = {rows[-1]['kl']:.2g} nats per "
            "image; lower beta, or deviation"
        ]


def head(architecture: Architecture) -> nn.Module:
    """Return a linear map of the code to as many numbers; of a map, at each position."""
    channels = architecture.code_channels
    return nn.Conv2d(channels, channels, 1) if architecture.deep else nn.Linear(channels, channels)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, I)) in nats, summed over all units, the mean over the batch."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum() / (2 * len(mean))
