"""The base classes of learners that are trained with torch: networks, optimizers, a loss or a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from reprbench.images import Images, Indices, Labels, copied_to
from reprbench.learner import Learner, SupervisedLearner
from reprbench.run_context import Run
from reprbench.state import networks_of
from reprbench.training import Step, Values, train

if TYPE_CHECKING:
    from torch.optim import Optimizer

Optimizers = Mapping[str, "Optimizer"]
"""The optimizers returned by `optimizers`, by name."""


class TorchNetworks(Learner):
    """A learner with networks, made in `build` as attributes, and optimizers, whose training can be resumed."""

    batch_size: PositiveInt = 128

    @abstractmethod
    def optimizers(self) -> Optimizer | Optimizers:
        """Return a new optimizer, or several by name; called once per fit, when the networks are on their device.

        A single optimizer gets the name "optimizer".
        """

    def rate_factor(self, share: float) -> float | None:
        """Return the factor of all learning rates when `share` (0 to 1) of the budget is used; see `run.share`.

        Before each step the shared loop sets every rate to that which `optimizers` gave it, times the factor. A method
        with a cosine schedule and linear warm-up returns ``cosine_with_warmup(share, self.warmup)``. By default None:
        the loop leaves the rates alone.
        """
        return None

    def prepare(self, run: Run) -> None:
        """Move the networks to the run's device, in training mode, and make the optimizers.

        Called at the start of every fit; extend it to set up more, such as the chains of a sampler.
        """
        for network in self._networks().values():
            network.to(run.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        made = self.optimizers()
        self._optimizers: Optimizers = made if isinstance(made, Mapping) else {"optimizer": made}
        for name, optimizer in self._optimizers.items():
            if not isinstance(optimizer, torch.optim.Optimizer):
                kind = type(optimizer).__name__
                raise TypeError(f"{type(self).__name__}.optimizers: {name!r} is a {kind}, not an optimizer of torch")

    def training_state(self) -> dict[str, Any]:
        """Return the states of the networks and the optimizers."""
        return {
            "networks": {name: network.state_dict() for name, network in self._networks().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()},
        }

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore networks and optimizers to a state that `training_state` returned."""
        for name, network in self._networks().items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    def _networks(self) -> dict[str, nn.Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}

    def _learn(self, images: Images, run: Run, step: Step) -> None:
        """Learn with the shared loop; afterwards, even if it raises, all networks are in evaluation mode."""
        try:
            self.prepare(run)
            train(self, images, run, self._scheduled(step, run), self.batch_size)
        finally:
            for network in networks_of(vars(self)):
                network.eval()

    def _scheduled(self, step: Step, run: Run) -> Step:
        """Return `step`, with the learning rates set before it."""
        # Not the groups themselves: an optimizer that is restored has others.
        rates = {name: [group["lr"] for group in one.param_groups] for name, one in self._optimizers.items()}

        def scheduled(x: Tensor, rows: Indices) -> Values:
            factor = self.rate_factor(run.share)
            if factor is not None:
                for name, optimizer in self._optimizers.items():
                    for group, rate in zip(optimizer.param_groups, rates[name], strict=False):
                        group["lr"] = rate * factor
            return step(x, rows)

        return scheduled

    def _descend(self, optimizers: Optimizers, run: Run, loss: Callable[[], Tensor | Values]) -> Values:
        """Move all weights down the gradient of `loss`; return its values by name."""
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        with run.autocast():
            found = loss()
        values = found if isinstance(found, Mapping) else {"loss": found}
        torch.autograd.backward(self._minimized(values))
        for optimizer in optimizers.values():
            optimizer.step()
        return {name: torch.as_tensor(value) for name, value in values.items()}

    def _minimized(self, values: Values) -> Tensor:
        """Return the value that is minimized; raise a `TypeError` if it is none."""
        if "loss" not in values:
            raise TypeError(
                f"{type(self).__name__}.loss returned {', '.join(map(repr, values)) or 'nothing'}, but no 'loss': "
                "the value under that name is minimized, all others are only logged"
            )
        loss = values["loss"]
        if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
            what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise TypeError(
                f"{type(self).__name__}.loss returned {what}; expected a 0-d tensor that depends on the weights"
            )
        return loss


class TorchLearner(TorchNetworks):
    """A learner that the shared loop trains: batches, budget, log, checkpoints, exact resume.

    A subclass defines `build`, `optimizers`, `encode`, and either `loss`, if all its weights minimize one objective, or
    `step`; and `rate_factor`, if its learning rates follow a schedule. After `fit` all networks are in evaluation mode.

    Parameters
    ----------
    batch_size : images in a batch, 128 by default; fewer where there are fewer images.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from reprbench import Budget, Images, Run, TorchLearner, encode
    >>> class LinearAutoencoder(TorchLearner):
    ...     width: int = 4
    ...
    ...     def build(self, shape):
    ...         inputs = shape[0] * shape[1] * shape[2]
    ...         self.encoder = torch.nn.Linear(inputs, self.width)
    ...         self.decoder = torch.nn.Linear(self.width, inputs)
    ...
    ...     def optimizers(self):
    ...         return torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], lr=1e-3)
    ...
    ...     def loss(self, x, run):
    ...         x = x.flatten(1)
    ...         return torch.nn.functional.mse_loss(self.decoder(self.encoder(x)), x)
    ...
    ...     def encode(self, x):
    ...         return {"code": self.encoder(x.flatten(1))}
    >>> images = Images(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    >>> learner, run = LinearAutoencoder(batch_size=10), Run(seed=0, budget=Budget(epochs=2))
    >>> learner.build(images.shape)
    >>> learner.fit(images, run)
    >>> [sorted(row) for row in run.history]
    [['epoch', 'loss', 'seconds', 'step'], ['epoch', 'loss', 'seconds', 'step']]
    >>> encode(learner, images)["code"].shape
    (20, 4)

    A learner whose networks minimize different objectives defines `step` instead of `loss`:

    >>> class ProbedAutoencoder(LinearAutoencoder):
    ...     def build(self, shape):
    ...         super().build(shape)
    ...         self.probe = torch.nn.Linear(self.width, 1)
    ...
    ...     def optimizers(self):
    ...         return {"autoencoder": super().optimizers(), "probe": torch.optim.SGD(self.probe.parameters(), lr=0.1)}
    ...
    ...     def step(self, x, optimizers, run):
    ...         for optimizer in optimizers.values():
    ...             optimizer.zero_grad(set_to_none=True)
    ...         with run.autocast():
    ...             reconstruction = self.loss(x, run)
    ...             code = self.encoder(x.flatten(1)).detach()
    ...             brightness = (self.probe(code).squeeze(1) - x.mean((1, 2, 3))).square().mean()
    ...         reconstruction.backward()
    ...         optimizers["autoencoder"].step()
    ...         brightness.backward()
    ...         optimizers["probe"].step()
    ...         return {"reconstruction": reconstruction, "brightness": brightness}
    >>> learner, run = ProbedAutoencoder(batch_size=10), Run(seed=0, budget=Budget(epochs=1))
    >>> learner.build(images.shape)
    >>> learner.fit(images, run)
    >>> sorted(run.history[0])
    ['brightness', 'epoch', 'reconstruction', 'seconds', 'step']
    """

    def loss(self, x: Tensor, run: Run) -> Tensor | Values:
        """Return the loss of one batch of float32 images (N, C, H, W) in [0, 1], a 0-d tensor.

        Or return a mapping with that tensor as its entry "loss"; its other values, also 0-d, are only logged, without
        gradients. The harness calls it inside `run.autocast()`, with gradients zeroed, computes the gradient and steps
        all optimizers. The means of "loss" and of the other values over each epoch are written to ``history.csv``.
        """
        raise TypeError(
            f"{type(self).__name__} defines neither loss(x, run) nor step(x, optimizers, run); define one of them"
        )

    def step(self, x: Tensor, optimizers: Optimizers, run: Run) -> Values:
        """Learn from one batch of float32 images (N, C, H, W) in [0, 1]; return 0-d tensors to log.

        By default, minimize `loss`. A learner with several objectives overrides it: it zeroes gradients, runs its
        forward passes (inside `run.autocast()`) and backward passes, and steps the optimizers that `optimizers`
        returned. A value that is not finite ends the fit.
        """
        return self._descend(optimizers, run, lambda: self.loss(x, run))

    def fit(self, images: Images, run: Run) -> None:
        """Learn with the shared loop until the budget is used up."""
        self._learn(images, run, lambda x, rows: self.step(x, self._optimizers, run))


class TorchSupervisedLearner(SupervisedLearner, TorchNetworks):
    """A supervised learner that the shared loop trains: like `TorchLearner`, with labels.

    Parameters
    ----------
    batch_size : images in a batch, 128 by default; fewer where there are fewer images.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from reprbench import Budget, Images, Run, TorchSupervisedLearner, encode
    >>> class Perceptron(TorchSupervisedLearner):
    ...     def build(self, shape):
    ...         self.hidden = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(16), torch.nn.ReLU())
    ...         self.hidden(torch.zeros(1, *shape))
    ...         self.head = torch.nn.Linear(16, 10)
    ...
    ...     def optimizers(self):
    ...         return torch.optim.SGD([*self.hidden.parameters(), *self.head.parameters()], lr=0.1)
    ...
    ...     def loss(self, x, y, run):
    ...         logits = self.head(self.hidden(x))
    ...         accuracy = (logits.argmax(1) == y).float().mean()
    ...         return {"loss": torch.nn.functional.cross_entropy(logits, y), "accuracy": accuracy}
    ...
    ...     def encode(self, x):
    ...         return {"hidden": self.hidden(x)}
    >>> images = Images(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    >>> learner, run = Perceptron(batch_size=10), Run(seed=0, budget=Budget(epochs=1))
    >>> learner.build(images.shape)
    >>> learner.fit_labeled(images, np.arange(20) % 10, run)
    >>> sorted(run.history[0])
    ['accuracy', 'epoch', 'loss', 'seconds', 'step']
    >>> encode(learner, images)["hidden"].shape
    (20, 16)
    """

    def loss(self, x: Tensor, y: Tensor, run: Run) -> Tensor | Values:
        """Return the loss of a batch of images and their int64 labels (N,); see `TorchLearner.loss`."""
        raise TypeError(
            f"{type(self).__name__} defines neither loss(x, y, run) nor step(x, y, optimizers, run); define one of them"
        )

    def step(self, x: Tensor, y: Tensor, optimizers: Optimizers, run: Run) -> Values:
        """Learn from one batch of images and their int64 labels (N,); see `TorchLearner.step`."""
        return self._descend(optimizers, run, lambda: self.loss(x, y, run))

    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Learn with the shared loop until the budget is used up."""
        targets = torch.from_numpy(labels.astype(np.int64))

        def step(x: Tensor, rows: Indices) -> Values:
            return self.step(x, copied_to(run.device, targets[rows]), self._optimizers, run)

        self._learn(images, run, step)
