"""The adversarial game: its losses, and a step in which each player updates only its own weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from reprbench import Run, TorchLearner, UserError

BETAS = (0.5, 0.999)
"""Of Adam, in the papers and the code of DCGAN, BiGAN and ALI."""
CHANCE_MARGIN = 0.02
NEARLY_PERFECT = 0.98
"""Accuracies in the last epoch at which a discriminator counts as at chance or nearly perfect; our choices."""

Inputs = tuple[Tensor, ...]
"""Inputs of the discriminator: (images,), or (images, codes)."""


class AdversarialLearner(TorchLearner):
    """A discriminator learns to distinguish originals from fakes, and the generator's player to fool it.

    Source: I. Goodfellow et al., "Generative adversarial nets" (2014), with the non-saturating loss of the generator.
    With c the discriminator's logit, all terms being means over the batch, the players descend

    * discriminator: softplus(−c(original)) + softplus(c(fake));
    * generator: softplus(−c(fake)), plus softplus(c(original)) if it also makes a part of the original's inputs
      (`infers`), as the encoder of BiGAN and ALI does.

    "alternating": the discriminator moves first; the generator's gradient is taken at the discriminator's new weights.
    "simultaneous": both gradients are taken at the same weights, from the same logits, and then both move. In either
    case, a step makes one batch of fakes, which both players see, and no gradient of one player's loss is computed for
    the other's weights.

    The discriminator's batch normalizations normalize originals and fakes by the statistics of their own batches. Their
    running averages come from the originals alone, once per step (our choice, as originals are what will be encoded).
    Those of the other networks come from the single pass per step through each. For evaluation, the averages of the
    networks that evaluation uses are measured anew.

    Parameters
    ----------
    lr : Adam's learning rate, for both players.
    weight_decay : weight of ½‖w‖², added to both players' losses.
    updates : the order of the players' moves, see above.

    Notes
    -----
    The history has ``discriminator_loss``, ``generator_loss``, and ``discriminator_accuracy``, the share of originals
    and fakes that the discriminator classified correctly before its move.
    """

    lr: PositiveFloat = 2e-4
    weight_decay: NonNegativeFloat = 0.0
    updates: Literal["alternating", "simultaneous"] = "alternating"

    infers: ClassVar[bool] = False
    """Whether the inputs for originals depend on the weights of the generator's player."""

    discriminator: nn.Module
    generator: nn.Module

    @abstractmethod
    def play(self, x: Tensor, run: Run) -> tuple[Inputs, Inputs]:
        """Return the discriminator's inputs for the originals `x` and for as many fakes, with their gradients."""

    def players(self) -> dict[str, list[nn.Module]]:
        """Return the networks that each optimizer updates."""
        return {"discriminator": [self.discriminator], "generator": [self.generator]}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return one Adam per player."""
        return {
            player: Adam(self._weights(player), self.lr, BETAS, weight_decay=self.weight_decay, foreach=True)
            for player in self.players()
        }

    def judge(self, inputs: Inputs, run: Run) -> Tensor:
        """Return the logits (N,) that `inputs` are those of originals."""
        logits: Tensor = self.discriminator(*inputs)
        return logits

    def step(self, x: Tensor, optimizers: Mapping[str, Optimizer], run: Run) -> Mapping[str, Tensor]:
        """Let both players move, at once or in turn."""
        if len(x) < 2:
            raise UserError(f"{self.method_name} has batch normalization, which needs at least two images; give more")
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        with run.autocast():
            originals, fakes = self.play(x, run)
        move = self._move_at_once if self.updates == "simultaneous" else self._move_in_turn
        real, fake, generator_loss = move(originals, fakes, optimizers, run)
        return {
            "discriminator_loss": discriminator_loss(real, fake),
            "generator_loss": generator_loss,
            "discriminator_accuracy": torch.cat([real > 0, fake < 0]).float().mean(),
        }

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return a warning if the discriminator was nearly perfect or at chance in the last epoch."""
        accuracies = [row["discriminator_accuracy"] for row in history if "discriminator_accuracy" in row]
        if not accuracies:
            return []
        accuracy = f"(right {accuracies[-1]:.0%} of the time)"
        if accuracies[-1] >= NEARLY_PERFECT:
            return [f"the discriminator had won by the last epoch {accuracy}: its loss taught the generator little"]
        if abs(accuracies[-1] - 0.5) <= CHANCE_MARGIN:
            return [
                f"the discriminator was at chance in the last epoch {accuracy}: fakes are perfect, or it is too weak"
            ]
        return []

    def _move_at_once(
        self, originals: Inputs, fakes: Inputs, optimizers: Mapping[str, Optimizer], run: Run
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move both players by gradients at the same weights; return the logits and the generator's loss."""
        real, fake = self._logits(originals, run, recorded=True), self._logits(fakes, run)
        loss = generator_loss(fake, real if self.infers else None)
        torch.autograd.backward(
            discriminator_loss(real, fake), inputs=self._weights("discriminator"), retain_graph=True
        )
        torch.autograd.backward(loss, inputs=self._weights("generator"))
        for optimizer in optimizers.values():
            optimizer.step()
        return real.detach(), fake.detach(), loss

    def _move_in_turn(
        self, originals: Inputs, fakes: Inputs, optimizers: Mapping[str, Optimizer], run: Run
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move the discriminator, then the generator; return the logits before and the generator's loss between."""
        real, fake = self._logits(detached(originals), run, recorded=True), self._logits(detached(fakes), run)
        torch.autograd.backward(discriminator_loss(real, fake), inputs=self._weights("discriminator"))
        optimizers["discriminator"].step()
        loss = generator_loss(self._logits(fakes, run), self._logits(originals, run) if self.infers else None)
        torch.autograd.backward(loss, inputs=self._weights("generator"))
        optimizers["generator"].step()
        return real.detach(), fake.detach(), loss

    def _logits(self, inputs: Inputs, run: Run, recorded: bool = False) -> Tensor:
        """Return the logits of `inputs` in float32, `recorded` or not in the running averages."""
        # One context per pass: autocast caches the weights it has cast, and they may change between passes.
        with run.autocast(), recording(self.discriminator, recorded):
            logits = self.judge(inputs, run)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _weights(self, player: str) -> list[nn.Parameter]:
        return [weight for network in self.players()[player] for weight in network.parameters()]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return −E log σ(c(original)) − E log(1 − σ(c(fake))) from the logits of both."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return −E log σ(c(fake)), minus E log(1 − σ(c(original))) if the logits of originals are given."""
    loss = functional.softplus(-fake).mean()
    return loss if real is None else loss + functional.softplus(real).mean()


def detached(inputs: Inputs) -> Inputs:
    """Return `inputs` detached from the graph."""
    return tuple(tensor.detach() for tensor in inputs)


@contextmanager
def recording(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Set whether batches in training mode update the running averages of `network` inside the block."""
    normalizations = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for module in normalizations:
        module.track_running_stats = wanted
    try:
        yield
    finally:
        for module in normalizations:
            module.track_running_stats = True


def start_normal(network: nn.Module, deviation: float) -> None:
    """Draw the weights of all convolutions and linear maps from N(0, deviation²) and set their biases to 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def uniform_codes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return codes (count, size), uniform in (−1, 1), on the generator's device."""
    return torch.rand((count, size), generator=generator, device=generator.device) * 2 - 1
