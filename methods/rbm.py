"""The restricted Boltzmann machine on whole images, learned by persistent contrastive divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from reprbench import FeatureMaps, ImageShape, Run, TorchLearner, UserError, register


class TiedLayer(nn.Module):
    """Visible and hidden sigmoid units, connected by one matrix W that is used in both directions.

    The initialization is that of the deep learning tutorials, for machines and for autoencoders alike: W uniform
    between ±4 √(6 / (visible + hidden)), biases 0.

    Parameters
    ----------
    visible, hidden : how many units there are.
    """

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        bound = 4 * math.sqrt(6 / (visible + hidden))
        self.weight = nn.Parameter(nn.init.uniform_(torch.empty(visible, hidden), -bound, bound))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def hidden_logits(self, v: Tensor) -> Tensor:
        """Return c + vW, shape (N, hidden), of `v` (N, visible)."""
        return torch.addmm(self.hidden_bias, v, self.weight)

    def visible_logits(self, h: Tensor) -> Tensor:
        """Return b + hWᵀ, shape (N, visible), of `h` (N, hidden)."""
        return torch.addmm(self.visible_bias, h, self.weight.T)

    def forward(self, v: Tensor) -> Tensor:
        """Return σ(c + vW), the hidden units of `v`, in [0, 1]."""
        return torch.sigmoid(self.hidden_logits(v))

    def down(self, h: Tensor) -> Tensor:
        """Return σ(b + hWᵀ), the visible units of `h`, in [0, 1]."""
        return torch.sigmoid(self.visible_logits(h))


class BoltzmannMachine(TiedLayer):
    """p(v, h) ∝ exp(vᵀb + hᵀc + vᵀWh) for binary v and h: given one, the units of the other are independent."""

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F(v) = −log Σ_h exp(vᵀb + hᵀc + vᵀWh) = −vᵀb − Σ softplus(c + vW), shape (N,)."""
        return -v @ self.visible_bias - functional.softplus(self.hidden_logits(v)).sum(1)

    @torch.no_grad()
    def gibbs(self, h: Tensor, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Continue from hidden states `h` (N, hidden); return v and the h drawn from it, after `steps` ≥ 1 of both."""
        for _ in range(steps):
            v = torch.bernoulli(self.down(h), generator=generator)
            h = torch.bernoulli(self(v), generator=generator)
        return v, h

    @torch.no_grad()
    def contrast(self, data: Tensor, model: Tensor) -> Tensor:
        """Store in every weight the gradient of mean F(data) − mean F(model); return that difference.

        With `data` from p_data and `model` from p, it is the gradient of the mean negative log-likelihood, whereas the
        difference itself is not that likelihood. In closed form, as ∂F/∂W = −v σ(c + vW)ᵀ.
        """
        v = torch.cat([data, model])
        # Each image's weight in the difference of the two means, (N, 1).
        part = torch.cat([v.new_full((len(data), 1), 1 / len(data)), v.new_full((len(model), 1), -1 / len(model))])
        shared = part * v
        h = self(v)
        self.weight.grad = -shared.T @ h
        self.visible_bias.grad = -shared.sum(0)
        self.hidden_bias.grad = -(part * h).sum(0)
        return part[:, 0] @ self.free_energy(v)


@register("rbm")
class RBM(TorchLearner):
    """Restricted Boltzmann machine on whole images; its features are the probabilities of the hidden units.

    Sources: P. Smolensky, "Information processing in dynamical systems: foundations of harmony theory" (1986); T.
    Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient" (2008), for
    persistent contrastive divergence: the model's half of the gradient comes from Gibbs chains that continue from step
    to step. All defaults, the initial weights, and the chains (one per image of a batch, started with all hidden units
    at 0) are those of the deep learning tutorials (LISA lab, http://deeplearning.net/tutorial/rbm.html) for 28×28
    digits; they are not tuned to other images. A pixel, in [0, 1], is taken as the probability of a binary unit. Every
    channel of a pixel is a separate unit.

    Parameters
    ----------
    n_hidden : hidden units.
    gibbs_steps : steps of Gibbs sampling, of v and h, per update of the weights.
    lr : learning rate of plain gradient descent; gradients are means over the batch.

    Notes
    -----
    The history has ``reconstruction``, the cross-entropy between the images and their mean-field reconstruction, in
    nats per image, and ``free_energy_gap``, the mean free energy of the images minus that of the chains. PCD minimizes
    neither: only their trends are meaningful. Nothing runs in reduced precision: the chains would be drawn from another
    machine than the one that learns.
    """

    version: ClassVar[int] = 1

    n_hidden: PositiveInt = 500
    gibbs_steps: PositiveInt = 15
    lr: PositiveFloat = 0.1
    batch_size = 20

    machine: BoltzmannMachine

    def build(self, shape: ImageShape) -> None:
        """Make the machine."""
        self._shape = shape
        self.machine = BoltzmannMachine(math.prod(shape), self.n_hidden)

    def optimizers(self) -> dict[str, Optimizer]:
        """Return gradient descent without momentum."""
        return {"sgd": SGD(self.machine.parameters(), lr=self.lr)}

    def prepare(self, run: Run) -> None:
        """Start the chains, too."""
        super().prepare(run)
        self._chains = torch.zeros(self.batch_size, self.n_hidden, device=run.device)

    def training_state(self) -> dict[str, Any]:
        """Return the chains besides the machine."""
        return {**super().training_state(), "chains": self._chains}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore the chains, too."""
        super().load_training_state(state)
        self._chains = state["chains"].to(self._chains.device)

    @torch.no_grad()
    def step(self, x: Tensor, optimizers: Mapping[str, Optimizer], run: Run) -> Mapping[str, Tensor]:
        """Advance the chains, then learn from one batch and from them."""
        images = x.flatten(1)
        chains, self._chains = self.machine.gibbs(self._chains, self.gibbs_steps, run.generator("gibbs"))
        logits = self.machine.visible_logits(self.machine(images))
        cross_entropy = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
        gap = self.machine.contrast(images, chains)
        optimizers["sgd"].step()
        return {"reconstruction": cross_entropy, "free_energy_gap": gap}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return p(h = 1 | x), shape (N, n_hidden)."""
        return {"hidden": self.machine(x.flatten(1))}

    def decode(self, h: Tensor) -> Tensor:
        """Return p(v = 1 | h) as images."""
        return self.machine.down(h).view(-1, *self._shape)

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return the images of the hidden units' probabilities: mean field, without sampling.

        Raises
        ------
        UserError
            If `layer` is not "hidden".
        """
        if layer not in {None, "hidden"}:
            raise UserError(f"rbm reconstructs from its only layer, 'hidden', not from {layer!r}; leave it out")
        return self.decode(self.encode(x)["hidden"])
