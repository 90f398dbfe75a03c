"""A binary classifier between two samples of codes, trained to convergence, and the bounds on their densities.

I. Goodfellow et al., "Generative adversarial nets" (2014), and propositions 1 and 2 of X. Gao, H. Xiong (AME-AE): the
best classifier between densities q_d and q_r is C* = q_d/(q_d + q_r), and the maximum of E_d[log C] + E_r[log(1 − C)],
at C = C*, is 2·JSD(q_d, q_r) − log 4. So any C, on codes that it was not trained on, gives a lower bound of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus
from torchmetrics.functional.classification import binary_calibration_error

from reprbench.errors import Diverged
from reprbench.images import Indices, copied_to
from reprbench.probes.calibration import BINS
from reprbench.probes.standardize import Standardizer, standardize
from reprbench.run_context import derive_seed, seeded

Codes = NDArray[np.float32]
"""Shape (2, n, D): the codes of n originals, then those of their n reconstructions, in the same order."""

TOLERANCE = 1e-4
"""Nats. A smaller decrease of the validation loss is not progress: a loss creeping to log 2 would never converge."""
EVALUATED_ROWS = 1024
"""Codes that C classifies at a time."""


@dataclass(frozen=True)
class Parts:
    """A split of pairs, by row; a pair is never split."""

    training: Indices
    validation: Indices
    evaluation: Indices


@dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    Attributes
    ----------
    width : of the two hidden layers.
    learning_rate : of Adam.
    batch_size : pairs per step.
    epochs : the most.
    patience : epochs without progress on the validation part after which it has converged.
    """

    width: int = 128
    learning_rate: float = 1e-3
    batch_size: int = 128
    epochs: int = 200
    patience: int = 10


@dataclass(frozen=True)
class RatioClassifier:
    """A trained C.

    Attributes
    ----------
    network : from standardized codes (n, D) to logits (n, 1).
    standardizer : fitted to the training part.
    epochs : how many it was trained for.
    best_epoch : the one whose weights it has, with the lowest validation loss; 0 is before training, where C = ½.
    converged : whether it stopped before the limit on epochs.
    """

    network: nn.Module
    standardizer: Standardizer
    epochs: int
    best_epoch: int
    converged: bool

    def logits(self, codes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return log(C / (1 − C)) for each of the codes (n, D), shape (n,)."""
        device = next(self.network.parameters()).device
        found = [np.empty(0)]
        with torch.inference_mode():
            for start in range(0, len(codes), EVALUATED_ROWS):
                block = torch.from_numpy(self.standardizer.apply(codes[start : start + EVALUATED_ROWS]))
                found.append(self.network(block.to(device))[:, 0].double().cpu().numpy())
        return np.concatenate(found)


@dataclass(frozen=True)
class Judgement:
    """The evaluation of a classifier on n originals and n reconstructions.

    Attributes
    ----------
    accuracy : share of codes classified correctly, in [0, 1]; C = ½ counts as a reconstruction.
    log_loss : nats per code; half of −`value`.
    calibration_error : expected, in [0, 1]: the mean over the codes of |share of originals − mean C| of their bin.
    value : V = mean log C(originals) + mean log(1 − C(reconstructions)), nats. At most 0; less than −log 4 where C is
        worse than a constant ½.
    standard_error : of `value`, nats, over pairs.
    divergence : the resulting lower bound of JSD, (V + log 4)/2, nats, in [0, log 2]; 0 where V is below −log 4.
    """

    accuracy: float
    log_loss: float
    calibration_error: float
    value: float
    standard_error: float
    divergence: float


def divide(count: int, generator: np.random.Generator) -> Parts:
    """Split `count` pairs (at least 10) randomly into training 50 %, validation 10 % and evaluation 40 %."""
    training, validation, evaluation = np.split(generator.permutation(count), [count // 2, count // 2 + count // 10])
    return Parts(np.sort(training), np.sort(validation), np.sort(evaluation))


def train_classifier(
    codes: Codes,
    parts: Parts,
    training: Training,
    seed: int,
    device: str = "cpu",
    advance: Callable[[float], None] = lambda share: None,
) -> RatioClassifier:
    """Train C on the training part until the loss on the validation part stops falling; the rest is not read.

    C is a perceptron with two hidden ReLU layers; its last layer starts at 0, so that C starts at ½. A pair stays
    together in a batch: where reconstructions equal originals, gradients are 0 up to rounding.

    Raises
    ------
    Diverged
        If codes or the validation loss are not finite.
    """
    network = _network(codes.shape[-1], training.width, seed).to(device)
    loss = _Loss(network, codes, parts, device)
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    order = np.random.default_rng(derive_seed(seed, "optimal-classifier/batches"))
    stopping = _EarlyStopping(network, loss.on_validation())
    while stopping.epochs < training.epochs and stopping.waited < training.patience:
        _train_epoch(loss, optimizer, order.permutation(parts.training), training.batch_size)
        stopping.add(loss.on_validation())
        advance(stopping.epochs / training.epochs)
    network.load_state_dict(stopping.best_weights)
    converged = stopping.waited >= training.patience
    return RatioClassifier(network, loss.standardizer, stopping.epochs, stopping.best_epoch, converged)


class _Loss:
    """The cross-entropy of C, nats per code, on pairs of codes standardized on the training part."""

    def __init__(self, network: nn.Module, codes: Codes, parts: Parts, device: str) -> None:
        self._network, self._validation, self._device = network, parts.validation, device
        self._pairs, self._rows = codes.shape[1], codes.reshape(-1, codes.shape[-1])
        self.standardizer = standardize(self._rows, self._both(parts.training))

    def __call__(self, pairs: Indices) -> Tensor:
        # Originals come first: their target is 1, that of reconstructions 0.
        batch = copied_to(self._device, torch.from_numpy(self.standardizer.apply(self._rows, self._both(pairs))))
        of_originals, of_reconstructions = self._network(batch)[:, 0].chunk(2)
        return (softplus(-of_originals).mean() + softplus(of_reconstructions).mean()) / 2

    def on_validation(self) -> float:
        """Return the loss on the validation part."""
        count = len(self._validation)
        with torch.inference_mode():
            blocks = np.array_split(self._validation, math.ceil(count / EVALUATED_ROWS))
            loss = sum(float(self(block)) * len(block) for block in blocks) / count
        if not math.isfinite(loss):
            raise Diverged(f"the validation loss of the classifier is {loss}")
        return loss

    def _both(self, pairs: Indices) -> Indices:
        """Return the rows of the originals and then of the reconstructions of `pairs`."""
        return np.concatenate([pairs, pairs + self._pairs])


class _EarlyStopping:
    """Counts epochs without progress of the validation loss, and keeps the weights with the lowest one."""

    def __init__(self, network: nn.Module, loss: float) -> None:
        self._network, self._best_loss, self._reference = network, loss, loss
        self.epochs = self.best_epoch = 0
        self.waited = 0
        """Epochs since the last progress."""
        self.best_weights = _copy(network)

    def add(self, loss: float) -> None:
        self.epochs += 1
        if loss < self._best_loss:
            self._best_loss, self.best_epoch, self.best_weights = loss, self.epochs, _copy(self._network)
        progressed = loss < self._reference - TOLERANCE
        self._reference, self.waited = (loss, 0) if progressed else (self._reference, self.waited + 1)


def _train_epoch(loss: _Loss, optimizer: torch.optim.Optimizer, pairs: Indices, batch_size: int) -> None:
    for start in range(0, len(pairs), batch_size):
        optimizer.zero_grad(set_to_none=True)
        loss(pairs[start : start + batch_size]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def judge(originals: NDArray[np.float64], reconstructions: NDArray[np.float64]) -> Judgement:
    """Evaluate the logits of n originals and of their n reconstructions, both of shape (n,)."""
    logits = torch.from_numpy(np.stack([originals, reconstructions]))
    values = (-softplus(-logits[0]) - softplus(logits[1])).numpy()
    value = float(values.mean())
    targets = torch.tensor([[1], [0]]).expand(2, len(originals))
    # For two classes torchmetrics compares the share of originals in a bin with its mean C, as `calibration` does.
    # But its bins are closed below: a C of exactly 1 has a bin of its own.
    error = binary_calibration_error(torch.sigmoid(logits).flatten(), targets.flatten(), BINS, "l1")
    return Judgement(
        accuracy=float(((originals > 0).mean() + (reconstructions <= 0).mean()) / 2),
        log_loss=-value / 2,
        calibration_error=float(error),
        value=value,
        standard_error=float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0,
        divergence=max(0.0, (value + math.log(4)) / 2),
    )


def _network(inputs: int, width: int, seed: int) -> nn.Sequential:
    """Return C's network, initialized on the CPU so that every device starts from the same weights."""
    with seeded(seed, "optimal-classifier/weights"):
        hidden = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        last = nn.Linear(width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*hidden, last)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
