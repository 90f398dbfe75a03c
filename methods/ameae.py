"""AME-AE: the adversarial mechanism, and the autoencoders it is added to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from reprbench import ImageShape, Run, register

from .adversarial import discriminator_loss, generator_loss
from .autoencoders import AE, DAE, SparseAE, adam
from .networks import Architecture, CodeClassifier

CLASSIFIER_CHANCE_MARGIN = 0.05
"""The classifier counts as at chance if it was right between 45 and 55 percent of the time in the last epoch; our
choice, wider than that for the discriminator of a GAN, `adversarial.CHANCE_MARGIN`."""
LARGEST_GAIN = 300.0
"""A classifier's gain above which reconstructions are taught more about C than about images; our choice."""


class Adversarial(AE):
    """The adversarial mechanism of AME-AE, a mixin before the base class of an autoencoder, its partner.

    Source: X. Gao, H. Xiong, "Unsupervised representation learning with prior-free and adversarial mechanism embedded
    autoencoders", eq. 1–4. A binary classifier C on top of the encoder E distinguishes codes of originals x from codes
    of reconstructions x̂ = D(h). With c its logit, two players descend simultaneously, each with the other held fixed:

    * E and C: λ_rec ‖x − x̂‖² + λ_dis [softplus(−c(E(x))) + softplus(c(E(x̂)))], plus the partner's penalties on h;
    * D: λ_rec ‖x − x̂‖² + λ_dis softplus(−c(E(x̂))).

    The squared error is summed over the d pixels and channels of an image, as in the paper. What is minimized is the
    objective divided by d, so that the reconstruction is a mean, as in the partner, and the partner's penalties keep
    their weights: the mechanism then has the weight λ_dis/d. A weight λ against the mean is λ_dis = λ·d (d = 784 for
    MNIST, 3072 for CIFAR-10, 27,648 for STL-10).

    The paper specifies neither λ nor how batch statistics are shared; both, the classifier's layers, and that the
    players move simultaneously rather than in turn, are our choices. Everything else is inherited from the partner, so
    that the two differ only in the mechanism. With noise, h = E(corrupt(x)) and C compares the clean x with x̂.

    Parameters
    ----------
    lambda_dis, lambda_rec : weights of the discrimination and of the summed squared error; by default the paper's 1. On
        CIFAR-10, stage A of docs/ame-ae-study.md chose lambda_dis=15 for `ameae` and `denoising-ameae`, and 1 for
        `sparse-ameae`; 15 ruins the reconstructions of 8×8 digits (docs/results.md), as a gradient at x̂ weighs more
        beside a sum over fewer pixels.
    instance_noise : standard deviation of Gaussian noise, in units of the pixels' range, that is added to x and x̂ where
        C sees them, drawn from the run's generator "instance noise" (C. Sønderby et al., "Amortised MAP inference for
        image super-resolution", 2017). It bounds how well C can tell them apart, and costs another pass through E. The
        default is what stage A chose for all three.
    statistics : what the batch normalizations of E normalize by when C sees reconstructions: the statistics of the
        batch of originals, so that both pass the very same function and no reconstruction's logit depends on another
        ("originals", the cheapest: virtual batch normalization, Salimans et al. 2016); their own ("separate"); or those
        of one batch of both, for which the encoder runs once more ("joint"). The running averages that
        training keeps come from the pass that computes h alone, as in the partner.
    detach_reconstruction : whether x̂ is a constant in the objective of E and C. False is the literal eq. 2, in which
        the E that made x̂ also learns to make it easier to detect.

    Notes
    -----
    The history has, besides the partner's columns but ``loss``, ``discrimination`` and ``generation``, the unweighted
    losses of C and of D, and ``classifier_accuracy``, the share of originals and reconstructions that C gets right.
    If neither λ is 0, it also has ``classifier_gain``, the median over a batch of ‖∂c/∂x̂‖ of each image, and
    ``gradient_ratio``, the norm of the gradient of D's adversarial term at x̂ over that of its reconstruction term, both
    over the batch and with their λ. (Unless `statistics` is "originals", ∂c/∂x̂ is the derivative of all logits of the
    batch, each weighted by its σ(−c) over that of the image's own.)
    """

    lambda_dis: NonNegativeFloat = 1.0
    lambda_rec: NonNegativeFloat = 1.0
    instance_noise: NonNegativeFloat = 0.1
    statistics: Literal["originals", "separate", "joint"] = "originals"
    detach_reconstruction: bool = True

    classifier: CodeClassifier

    def build(self, shape: ImageShape) -> None:
        """Make the partner's networks, then the classifier."""
        super().build(shape)
        self.classifier = CodeClassifier(Architecture.of(shape, self.width))
        self.encoder.remember(self.statistics == "originals")

    def players(self) -> dict[str, list[nn.Module]]:
        """Return the networks that each optimizer updates; the classifier belongs to the encoder's player."""
        return {"encoder": [self.encoder, self.classifier], "decoder": [self.decoder]}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return one Adam per player: "encoder" and "decoder"."""
        return {player: adam(self.lr, *networks) for player, networks in self.players().items()}

    def step(self, x: Tensor, optimizers: Mapping[str, Optimizer], run: Run) -> Mapping[str, Tensor]:
        """Move both players simultaneously, each down the gradient of its own objective."""
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        values = self.backward(x, run)
        for optimizer in optimizers.values():
            optimizer.step()
        return values

    def backward(self, x: Tensor, run: Run) -> dict[str, Tensor]:
        """Leave in every weight the gradient of its player's objective; return the values to log.

        Every feature map is computed once.
        """
        weight = self.lambda_dis / x[0].numel()
        with run.autocast():
            shown = self.corrupt(x, run)
            h = self.encoder.code(shown)
            x_hat = self.decoder(h)
            reconstruction, penalties = functional.mse_loss(x_hat, x), self.penalties(h)
            judged = x_hat.detach().requires_grad_() if self.detach_reconstruction else x_hat
            seen = self._seen(x, run)
            real, fake = self._logits(seen, self._seen(judged, run), h if shown is seen else None)
            discrimination, generation = discriminator_loss(real, fake), generator_loss(fake)
        weighted = self.lambda_rec * reconstruction
        encoding = sum(penalties.values(), start=weighted) + weight * discrimination
        deceit = self._backward_encoder(encoding, weight * generation, judged, fake)
        torch.autograd.backward([weighted, x_hat], [None, deceit], inputs=self._weights("decoder"))
        return {
            "reconstruction": reconstruction,
            **penalties,
            **self.code_values(h),
            "discrimination": discrimination,
            "generation": generation,
            "classifier_accuracy": torch.cat([real > 0, fake < 0]).float().mean(),
            **self._gradient_values(deceit, fake, reconstruction, weight),
        }

    def _backward_encoder(self, encoding: Tensor, generation: Tensor, judged: Tensor, fake: Tensor) -> Tensor:
        """Leave the gradients of the objective `encoding` of E and C; return that of `generation` at x̂."""
        if self.statistics == "originals" and self.detach_reconstruction:
            torch.autograd.backward(encoding, inputs=[*self._weights("encoder"), judged], retain_graph=True)
            return turned(judged.grad, fake.detach())
        (deceit,) = torch.autograd.grad(generation, judged, retain_graph=True)
        torch.autograd.backward(encoding, inputs=self._weights("encoder"), retain_graph=True)
        return deceit

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if the classifier was at chance in the last epoch, or its gain exploded."""
        accuracies = [row["classifier_accuracy"] for row in history if "classifier_accuracy" in row]
        gains = [row["classifier_gain"] for row in history if "classifier_gain" in row]
        found = []
        if accuracies and abs(accuracies[-1] - 0.5) <= CLASSIFIER_CHANCE_MARGIN:
            found.append(f"the classifier was at chance in the last epoch (right {accuracies[-1]:.0%} of the time)")
        if gains and gains[-1] > LARGEST_GAIN:
            found.append(
                f"the classifier's gain exploded: its logit changed by {gains[-1]:.0f} per unit of distance between "
                f"images in the last epoch (more than {LARGEST_GAIN:.0f}); lower lambda_dis, or give instance_noise"
            )
        return found

    def _seen(self, images: Tensor, run: Run) -> Tensor:
        """Return what C sees of `images`: with instance noise, if there is any."""
        if not self.instance_noise:
            return images
        noise = torch.randn(images.shape, generator=run.generator("instance noise"), device=images.device)
        return images + self.instance_noise * noise

    def _gradient_values(
        self, deceit: Tensor, fake: Tensor, reconstruction: Tensor, weight: float
    ) -> dict[str, Tensor]:
        known = weight and self.lambda_rec
        return gradient_values(deceit, fake, reconstruction, weight, self.lambda_rec) if known else {}

    def _logits(self, x: Tensor, judged: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return C's logits of the originals, from their codes `h` if these are known, and of x̂."""
        if self.statistics == "joint":
            real, fake = self.classifier(self.encoder.code(torch.cat([x, judged]), "unrecorded")).chunk(2)
            return real, fake
        originals = self.encoder.code(x, "unrecorded") if h is None else h
        reconstructions = self.encoder.code(judged, "previous" if self.statistics == "originals" else "unrecorded")
        return self.classifier(originals), self.classifier(reconstructions)

    def _weights(self, player: str) -> list[nn.Parameter]:
        return [weight for network in self.players()[player] for weight in network.parameters()]


def turned(blame: Tensor, logits: Tensor) -> Tensor:
    """Return ∂ softplus(−c)/∂x̂ from `blame` = ∂ softplus(c)/∂x̂, where no image's logit c depends on another image.

    Both are multiples of ∂c/∂x̂, with the factors −σ(−c) and σ(c): their quotient saves a second pass back through E.
    """
    # Beyond e⁶⁰ float32 would soon be infinite; C is then so sure that nothing of `blame` is left to turn.
    factor = logits.neg().clamp(max=60).exp().neg()
    return blame * factor.view(-1, 1, 1, 1).to(blame.dtype)


def gradient_values(
    deceit: Tensor, logits: Tensor, reconstruction: Tensor, weight: float, lambda_rec: float
) -> dict[str, Tensor]:
    """Return the classifier's gain and the ratio of the two gradients at x̂, see the notes of `Adversarial`.

    Parameters
    ----------
    deceit : the gradient of `weight` times the mean of softplus(−c) over the batch, at x̂ (N, C, H, W).
    logits : c of the reconstructions, (N,).
    reconstruction : the mean squared error of x̂.
    """
    norms = torch.linalg.vector_norm(deceit.detach().float(), dim=(1, 2, 3))
    smallest = torch.finfo(norms.dtype).tiny
    slopes = (torch.sigmoid(-logits.detach().float()) * (weight / len(norms))).clamp(min=smallest)
    # ∂/∂x̂ of the mean of (x̂ − x)² is 2 (x̂ − x) / n.
    error = 2 * (reconstruction.detach().float() / deceit.numel()).sqrt()
    return {
        "classifier_gain": (norms / slopes).median(),
        "gradient_ratio": norms.norm() / (lambda_rec * error).clamp(min=smallest),
    }


@register("ameae")
class AMEAE(Adversarial, AE):
    """AME-AE: `ae` with the adversarial mechanism (see `Adversarial`)."""

    version: ClassVar[int] = 2


@register("sparse-ameae")
class SparseAMEAE(Adversarial, SparseAE):
    """Sparse AME-AE: `sparse-ae` with the adversarial mechanism (see `Adversarial`)."""

    version: ClassVar[int] = 2


@register("denoising-ameae")
class DenoisingAMEAE(Adversarial, DAE):
    """Denoising AME-AE: `dae` with the adversarial mechanism (see `Adversarial`)."""

    version: ClassVar[int] = 2
