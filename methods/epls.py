"""EPLS: one-hot targets that every unit wins equally often, and logistic units that learn to meet them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from reprbench import Run, register

from .iterations import State, iterate
from .single_layer import SingleLayer, split_polarity

Floats = NDArray[np.floating[Any]]


@register("epls")
class EPLS(SingleLayer):
    """Enforcing population and lifetime sparsity: minimize ‖H − T‖², H = σ(XWᵀ + b), over W and b.

    Source: A. Romero, P. Radeva, C. Gatta, "Meta-parameter free unsupervised sparse feature learning" (2014). A row of
    the target T is 1 at the unit that wins the patch and 0 elsewhere (population sparsity); an inhibitor ensures that
    no unit wins much more often than another (lifetime sparsity; see `Inhibitor`). The targets are constants in a step:
    no gradient goes through them, nor through the rescaling of H by which they are found. The 1600 units and patches of
    10×10 are the paper's.

    Our choices: Adam with a fixed rate instead of the paper's own adaptive rates; the loss as a sum over units and a
    mean over patches; batches of 100; the numbers of patches and passes; contrast and whitening as in `SingleLayer`.
    Weights start as N(0, 1/d), for patches of d numbers, and every bias at −log(units − 1): the mean activation is then
    about that of the targets, which saves the passes that would lower it.

    Parameters
    ----------
    n_features : units.
    passes : over all patches, each in a new random order and with a new inhibitor.
    batch_size : patches per step.
    lr : Adam's learning rate.
    strict : whether a unit that has won its share of a pass is excluded until all have; see `Inhibitor`.
    encoder : "linear" is the polarity split of the linear responses, [max(r, 0), max(−r, 0)] with r = Wx, without bias:
        the bias makes about one unit fire per patch, and max(−r − b, 0) would be positive nearly everywhere. "logistic"
        is what the units compute, with the polarity split as units of weights −W and the same bias:
        [σ(r + b), σ(−r + b)].
    receptive_field, stride, downsample, n_patches, contrast, whitening : see `SingleLayer`.

    Notes
    -----
    The history has ``loss``, the mean of ‖h − t‖² over the patches of a pass (1 for units that never fire), and
    ``agreement``, the share of patches that were won by the most active unit.
    """

    version: ClassVar[int] = 1

    receptive_field = 10
    n_patches = 100_000
    n_features: PositiveInt = 1600
    passes: PositiveInt = 20
    batch_size: PositiveInt = 100
    lr: PositiveFloat = 3e-3
    strict: bool = True
    encoder: Literal["linear", "logistic"] = "linear"

    bias: Tensor
    """(n_features,)"""

    @property
    def n_maps(self) -> int:
        """Two maps per unit."""
        return 2 * self.n_features

    def activate(self, patches: Tensor) -> Tensor:
        """Return the features (n, 2·n_features) of patches (n, d)."""
        responses = self.responses(patches)
        if self.encoder == "linear":
            return split_polarity(responses)
        return torch.cat([self.bias + responses, self.bias - responses], 1).sigmoid_()

    def learn(self, patches: Tensor, run: Run) -> Tensor:
        """Learn weights and biases; return the weights and keep the biases."""

        def step(state: State) -> tuple[State, Mapping[str, float]]:
            weights, bias = (nn.Parameter(state[name].to(patches.device)) for name in ("weights", "bias"))
            optimizer = Adam([weights, bias], self.lr)
            if state["optimizer"]:
                optimizer.load_state_dict(state["optimizer"])
            order = run.numpy_generator(f"order/{state['passes']}").permutation(len(patches))
            values = self.one_pass(patches, torch.from_numpy(order).to(patches.device), weights, bias, optimizer)
            following = {"weights": weights.detach(), "bias": bias.detach(), "optimizer": optimizer.state_dict()}
            return {**following, "passes": state["passes"] + 1}, values

        size = patches.shape[1]
        noise = torch.randn(self.n_features, size, generator=run.generator("weights"), device=patches.device)
        begin: State = {
            "weights": noise / math.sqrt(size),
            "bias": noise.new_full((self.n_features,), -math.log(max(self.n_features - 1, 1))),
            "optimizer": {},
            "passes": 0,
        }
        final = iterate(run, self.passes, begin, step)
        self.bias = final["bias"].to(patches.device)
        weights: Tensor = final["weights"].to(patches.device)
        return weights

    def one_pass(
        self, patches: Tensor, order: Tensor, weights: nn.Parameter, bias: nn.Parameter, optimizer: Adam
    ) -> Mapping[str, float]:
        """Take a step for each batch of `patches` in the given `order`; return the values of the history."""
        inhibitor = Inhibitor(self.n_features, len(patches), self.strict)
        loss, agreed = torch.zeros((), dtype=torch.float64, device=patches.device), 0
        for start in range(0, len(order), self.batch_size):
            batch = patches[order[start : start + self.batch_size]]
            activations = functional.linear(batch, weights.detach(), bias.detach()).sigmoid_()
            # The inhibitor is sequential over patches and runs on the CPU.
            scores = rescaled(activations.cpu().numpy())
            winners = inhibitor.winners(scores)
            agreed += int((scores.argmax(1) == winners).sum())
            targets = torch.from_numpy(winners).to(patches.device)
            mean, weights.grad, bias.grad = loss_and_gradients(batch, activations, targets)
            optimizer.step()
            loss += mean * len(batch)
        return {"loss": float(loss / len(patches)), "agreement": agreed / len(patches)}


def rescaled(activations: Floats) -> Floats:
    """Return the activations (n, units) of a batch, shifted and scaled as a whole so that they span [0, 1].

    Rescaling the whole batch, not each unit, follows code of the first author (github.com/adri-romsor/DietNetworks,
    ``epls.py``). A batch of equal activations becomes 0.
    """
    low, high = activations.min(), activations.max()
    scores: Floats = (activations - low) / (high - low if high > low else 1)
    return scores


class Inhibitor:
    """Chooses the unit that wins each sample, and inhibits a unit the more, the more it has won.

    Of the activations h in [0, 1], unit k = argmax (h − a) wins, and then a_k grows by units / samples, so that a unit
    that has won its share of the samples is inhibited by 1. The inhibitor works from sample to sample, inside a batch
    and from one batch to the next; a new pass takes a new one.

    That alone bounds the difference of inhibitions of any two units by 1 + units / samples, but does not make the wins
    equal: a unit inhibited by 1 still wins with h = 1 against one inhibited by 0.5, with h = 0.1. With `strict`, a unit
    that has won ⌊samples / units⌋ times is excluded until all have, and no unit wins two of the samples that are then
    left: every unit wins samples / units times, rounded down or up. That the published rule means this is our
    interpretation of "lifetime sparsity".

    Parameters
    ----------
    units : how many there are.
    samples : how many samples there will be.
    strict : whether units that have won their share are excluded.
    """

    def __init__(self, units: int, samples: int, strict: bool = True) -> None:
        self.inhibition = np.zeros(units, dtype=np.float32)
        self.wins = np.zeros(units, dtype=np.int64)
        self._growth = units / samples
        self._strict = strict
        # With fewer samples than units no unit wins twice.
        self._share = max(1, samples // units)
        self._short_of_it = units

    def winners(self, activations: Floats) -> NDArray[np.int64]:
        """Return the unit that wins each sample, shape (n,), for activations (n, units); the first in case of ties."""
        winners = np.empty(len(activations), dtype=np.int64)
        scores = np.empty(len(self.wins), dtype=np.result_type(activations, self.inhibition))
        for sample, activation in enumerate(activations):
            np.subtract(activation, self.inhibition, out=scores)
            winners[sample] = winner = scores.argmax()
            self.wins[winner] += 1
            self.inhibition[winner] += self._growth
            if self._strict and self.wins[winner] == self._share:
                self._exclude(winner)
        return winners

    def _exclude(self, unit: np.intp) -> None:
        self.inhibition[unit] = np.inf
        self._short_of_it -= 1
        if self._short_of_it == 0:
            # All have won equally often, and none is excluded; each may win once more.
            self.inhibition.fill(0)
            self._share += 1
            self._short_of_it = len(self.wins)


def loss_and_gradients(batch: Tensor, activations: Tensor, winners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean of ‖h − t‖² over a batch, and its gradients with respect to weights and biases.

    Parameters
    ----------
    batch : the patches (n, d).
    activations : h = σ(XWᵀ + b), shape (n, units).
    winners : where each target t is 1, int64 of shape (n,).
    """
    errors = activations.clone()
    errors[torch.arange(len(errors), device=errors.device), winners] -= 1
    # σ' = h(1 − h)
    slopes = (activations - activations.square()).mul_(errors).mul_(2 / len(batch))
    return errors.square().sum() / len(batch), slopes.T @ batch, slopes.sum(0)
